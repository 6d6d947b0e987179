"""Estimates of size and time: against counts by hand and against built networks, without any weights."""

import pytest

from fakevoice.cli import estimate
from fakevoice.cli.command_line import main
from fakevoice.core.config import load_config, validate
from fakevoice.training.networks import build_model

N_SCENES, N_CLIPS = 1000, 100


@pytest.fixture
def no_models(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path))


def test_a_linear_network_by_hand(models):
    words = ["preset=encoder", "features.whisper.layers=[1,2]", "networks.mel=null", "networks.mfcc=null"]
    config = load_config(
        "demo", [*words, "networks.probe.training.n_epochs=3", "networks.probe.model.args.hidden=0", "folds.n_folds=4"]
    )
    (cost,) = estimate.network_costs(config, N_SCENES, N_CLIPS)
    n_weights = 2 * 2 * 32  # two layers of 32 channels, two outputs
    assert cost.n_parameters == n_weights + 2
    n_clip_passes = 3 * (3 * N_SCENES * 3) + N_SCENES + 4 * N_CLIPS
    assert cost.n_operations == 2 * n_weights * n_clip_passes
    assert estimate.hours(cost, 1e9) == pytest.approx(cost.n_operations / estimate.EFFICIENCY / 1e9 / 3600)


def test_parameters_and_cache_of_the_demo(no_models):
    config = load_config("demo")
    features = {cost.name: cost for cost in estimate.feature_costs(config, N_CLIPS)}
    n_frames = 1 + config.n_samples // 256
    assert features["mel"].cache_bytes == 64 * n_frames * 2 * N_CLIPS
    for cost in estimate.network_costs(config, N_SCENES, N_CLIPS):
        built = build_model(config.networks[cost.name].model, (64 if cost.name == "mel" else 40, n_frames), 2)
        assert cost.n_parameters == sum(parameter.numel() for parameter in built.parameters())


def test_gradient_checkpointing_costs_a_forward_pass(no_models):
    config = load_config("dacon")
    tree = config.model_dump()
    tree["networks"] = {"finetuned": tree["networks"]["finetuned"]}
    with_it = validate(tree)
    tree["networks"]["finetuned"]["model"]["args"]["gradient_checkpointing"] = False
    without = validate(tree)
    (more,), (less,) = (list(estimate.network_costs(each, N_SCENES, 0)) for each in (with_it, without))
    n_trained = config.networks["finetuned"].training.n_epochs * N_SCENES * (config.folds.n_folds - 1)
    assert more.n_operations / less.n_operations == pytest.approx(
        (4 * n_trained + N_SCENES) / (3 * n_trained + N_SCENES)
    )


def test_large_encoders_have_the_published_size_before_they_are_downloaded(no_models):
    config = load_config("dacon", ["features.wavlm.layers=[24]"])
    costs = {cost.name: cost for cost in estimate.feature_costs(config, N_CLIPS)}
    assert costs["wavlm"].n_parameters == pytest.approx(315e6, rel=0.01)  # 316.6 M in Chen et al. 2022
    assert costs["wavlm"].cache_bytes == 1024 * 2 * N_CLIPS
    assert costs["waveform_16khz"].cache_bytes == 80_000 * 2 * N_CLIPS


def test_the_doctor_shows_every_member_of_dacon(no_models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    assert main(["doctor", "--config", "dacon"]) == 1  # the data is missing
    shown = capsys.readouterr().out
    assert "100,000 scenes and 50,000 test clips" in shown
    for name in load_config("dacon").networks:
        assert f"network     {name}: " in shown
    assert "waveform_16khz: 24.0 GB in the cache" in shown


def test_an_encoder_of_unknown_size_is_named(no_models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    main(["doctor", "--config", "voices"])
    assert "openai/whisper-base is not in" in capsys.readouterr().out
