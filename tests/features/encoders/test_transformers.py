"""Pretrained encoders: every family on a tiny random checkpoint, and Whisper's real ones where they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.core.third_party import import_transformers
from fakevoice.features import embed
from tests.support import tiny_encoders
from tests.support.tiny_encoders import FAMILIES

RATE_HZ = 16_000
N_SAMPLES = 2 * RATE_HZ
MODELS = Path(os.environ.get("FAKEVOICE_MODELS", "no models"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Family → its folder."""
    return tiny_encoders.write(tmp_path_factory.mktemp("models"))


@pytest.fixture
def waveforms() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.05, (3, N_SAMPLES)).astype(np.float32)


def arguments(folder: Path, **more) -> dict:
    return {
        "encoder": "transformers",
        "checkpoint": str(folder),
        "layers": [0, 2],
        "statistics": ["mean", "std"],
        "precision": "fp32",
        **more,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_mean_and_deviation_of_the_chosen_layers(checkpoints, waveforms, family, capfd):
    args = arguments(checkpoints[family])
    values = embed.embed(waveforms, RATE_HZ, args)
    frames = embed.embed(waveforms, RATE_HZ, args | {"statistics": None})
    assert values.shape == (3, 2 * 2 * 32, 1) and frames.shape[:2] == (3, 2 * 32)
    expected = [f(frames[:, start : start + 32], axis=2) for start in (0, 32) for f in (np.mean, np.std)]
    assert np.allclose(values[:, :, 0], np.concatenate(expected, axis=1), atol=1e-5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_transformers(checkpoints, waveforms, family):
    transformers = import_transformers()
    model = transformers.AutoModel.from_pretrained(checkpoints[family], dtype=torch.float32).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(checkpoints[family])
    padding = {"padding": "max_length", "max_length": N_SAMPLES} if family == "Whisper" else {}
    given = extractor(list(waveforms), sampling_rate=RATE_HZ, return_tensors="pt", **padding)
    if family == "Whisper":
        model = model.get_encoder()
        model.embed_positions = torch.nn.Embedding.from_pretrained(model.embed_positions.weight[: N_SAMPLES // 320])
        model.config.max_source_positions = model.max_source_positions = N_SAMPLES // 320
    with torch.inference_mode():
        states = model(given.get("input_values", given.get("input_features")), output_hidden_states=True).hidden_states
    frames = embed.embed(waveforms, RATE_HZ, arguments(checkpoints[family], statistics=None))
    for place, layer in enumerate((0, 2)):
        ours = frames[:, 32 * place : 32 * (place + 1)].transpose(0, 2, 1)
        assert np.allclose(ours, states[layer].numpy(), atol=1e-5), layer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_does_not_depend_on_its_batch(checkpoints, waveforms, family):
    args = arguments(checkpoints[family])
    together = embed.embed(waveforms, RATE_HZ, args)
    alone = np.concatenate([embed.embed(waveform[None], RATE_HZ, args) for waveform in waveforms])
    assert np.allclose(together, alone, atol=1e-6)


def test_frames_are_decimated_by_their_mean(checkpoints, waveforms):
    args = arguments(checkpoints["WavLM"], statistics=None)
    frames, every_third = (embed.embed(waveforms, RATE_HZ, args | {"every": every}) for every in (1, 3))
    n_frames = frames.shape[2] // 3
    expected = frames[:, :, : 3 * n_frames].reshape(3, 64, n_frames, 3).mean(axis=3)
    assert every_third.shape == (3, 64, n_frames) and np.allclose(every_third, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("args", "message"),
    [({"every": 2}, "every: 2 needs frames"), ({"every": 200, "statistics": None}, "every: 200 of a clip that has 99")],
)
def test_impossible_decimation(checkpoints, waveforms, args, message):
    with pytest.raises(ConfigError, match=message):
        embed.embed(waveforms, RATE_HZ, arguments(checkpoints["WavLM"], **args))


def test_values_too_large_for_the_cache_are_named(checkpoints, waveforms, monkeypatch):
    monkeypatch.setattr(embed, "LARGEST", 1e-6)
    with pytest.raises(FakevoiceError, match=r"layers \[0, 2\] exceed the float16"):
        embed.embed(waveforms, RATE_HZ, arguments(checkpoints["WavLM"]))


def test_bf16_is_close(checkpoints, waveforms):
    args = arguments(checkpoints["Whisper"])
    exact, rounded = (embed.embed(waveforms, RATE_HZ, args | {"precision": name}) for name in ("fp32", "bf16"))
    assert not np.array_equal(exact, rounded)
    assert np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()


def test_any_sample_rate_is_brought_to_16_khz(checkpoints):
    time_s = np.arange(2 * 32_000) / 32_000
    tone = (0.1 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)[None]
    args = arguments(checkpoints["Whisper"])
    assert np.allclose(embed.embed(tone, 32_000, args), embed.embed(tone[:, ::2], RATE_HZ, args), atol=0.05)


def test_silence_gives_finite_values(checkpoints):
    for folder in checkpoints.values():
        assert np.isfinite(embed.embed(np.zeros((1, N_SAMPLES), np.float32), RATE_HZ, arguments(folder))).all()


def test_a_layer_that_does_not_exist(checkpoints, waveforms):
    with pytest.raises(ConfigError, match="layers: 4 of an encoder that has 3"):
        embed.embed(waveforms, RATE_HZ, arguments(checkpoints["WavLM"], layers=[4]))


def test_a_missing_model_names_the_command_that_downloads_it(monkeypatch, tmp_path):
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"openai/whisper-none is not in .*fetch-models.*preset=scratch"):
        embed.weight_files({"encoder": "transformers", "checkpoint": "openai/whisper-none", "layers": [1]})


@pytest.mark.parametrize("name", ["openai/whisper-x", "whisper-x"])
def test_models_are_found_with_and_without_their_owner(monkeypatch, tmp_path, checkpoints, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(checkpoints["Whisper"])
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path))
    files = embed.weight_files({"encoder": "transformers", "checkpoint": "openai/whisper-x", "layers": [1]})
    assert all(file.is_file() for file in files)


def test_a_checkpoint_without_some_encoder_weights_is_refused(tmp_path, checkpoints, waveforms):
    """transformers alone would continue with random values."""
    from safetensors.torch import load_file, save_file

    for file in checkpoints["Whisper"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layers.1.fc1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 tensors, e\.g\. encoder\.layers\.1\.fc1\.weight"):
        embed.embed(waveforms, RATE_HZ, arguments(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "text", "other rate"])
def test_a_damaged_checkpoint_is_named(tmp_path, checkpoints, waveforms, damage):
    for file in checkpoints["WavLM"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if damage == "cut":
        content = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif damage == "text":
        (tmp_path / "config.json").write_text("no JSON")
    else:
        settings = json.loads((tmp_path / "preprocessor_config.json").read_text()) | {"sampling_rate": 8000}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=str(tmp_path)):
        embed.embed(waveforms, RATE_HZ, arguments(tmp_path))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"encoder": "transformer"}, "no features/encoders/transformer.py; did you mean 'transformers'"),
        ({"encoder": "transformers", "layers": [1]}, r"features\.x: missing a required argument: 'checkpoint'"),
        ({"encoder": "transformers", "layer": [1]}, "unknown key 'layer'; did you mean 'layers'"),
        ({"encoder": "transformers", "layers": []}, r"features\.x\.layers"),
        ({"encoder": "transformers", "layers": [-1]}, r"features\.x\.layers"),
        ({"encoder": "transformers", "statistics": ["median"]}, r"features\.x\.statistics"),
    ],
)
def test_wrong_arguments_are_named(args, message):
    with pytest.raises(ConfigError, match=message):
        embed.check_encoder("x", args)


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
def test_whisper_itself(name):
    if not (MODELS / name).is_dir():
        pytest.skip(f"needs {name} in FAKEVOICE_MODELS")
    waveform = np.random.default_rng(0).normal(0, 0.05, (1, 5 * RATE_HZ)).astype(np.float32)
    values = embed.embed(waveform, RATE_HZ, arguments(MODELS / name))
    assert np.isfinite(values).all() and values.std() > 0.1
