"""A whole run with a pretrained encoder: cache keys, prediction, export, and what happens without the model."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from fastapi.testclient import TestClient

from fakevoice.audio.read import read_audio
from fakevoice.cli.command_line import main
from fakevoice.core.config import load_config
from fakevoice.core.paths import paths
from fakevoice.export.exporter import export
from fakevoice.features.embed import exact
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.stream import Listener
from fakevoice.pipeline.feature_shards import feature_folders
from fakevoice.pipeline.runner import run_pipeline, stale_stages
from fakevoice.serve.app import create_app
from tests.conftest import TINY

CHECKPOINT = "openai/whisper-base"
WORDS = [
    *TINY,
    "features.whisper.encoder=transformers",
    f"features.whisper.checkpoint={CHECKPOINT}",
    "features.whisper.layers=[2,3]",
    "networks.mfcc=null",
    "features.mfcc=null",
    "pooled=[mel]",
    "networks.probe.feature=whisper",
    "networks.probe.model.name=linear",
    "features.frames.encoder=transformers",
    f"features.frames.checkpoint={CHECKPOINT}",
    "features.frames.layers=[1,2]",
    "features.frames.statistics=null",
    "features.frames.every=10",
    "networks.frames.feature=frames",
    "networks.frames.model.name=frame_attention",
    "networks.frames.model.args.n_layers=2",
    "networks.frames.model.args.width=8",
    *(
        f"networks.{name}.training.{word}"
        for name in ("probe", "frames")
        for word in ("n_epochs=2", "batch_size=16", "precision=fp32")
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, models):
    """A finished run whose home and models are those of the environment during this module."""
    home = tmp_path_factory.mktemp("encoder_run")
    config = load_config("demo", WORDS)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        run_pipeline(config)
        yield config


def test_a_recording_gets_the_probability_of_the_submission(run, tmp_path):
    test = paths(run).raw / "test"
    assert main(["predict", str(test), "--config", "demo", "--out", str(tmp_path / "scores.csv"), *WORDS]) == 0
    scores = pd.read_csv(tmp_path / "scores.csv").set_index("id")
    (file,) = paths(run).submissions.glob("demo-*.csv")
    submission = pd.read_csv(file).set_index("id")
    for output in run.outputs:
        assert np.allclose(scores[output], submission[output], rtol=0, atol=1e-6)


def test_stream_serve_and_monitor_use_the_encoder(run, tmp_path, capsys):
    predictor = Predictor.load(paths(run))
    file = min((paths(run).raw / "test").iterdir())
    waveform = read_audio(file, run.sample_rate_hz).waveform[: run.n_samples]
    samples = (waveform * 32767).round().astype("<i2")
    soundfile.write(tmp_path / "clip.wav", samples, run.sample_rate_hz)
    expected = predictor.score_files([tmp_path / "clip.wav"]).probability[0]

    listener = Listener(predictor, run.sample_rate_hz)
    last = [*listener.push(samples.tobytes()), *listener.end()][-1]
    assert np.allclose(last.scores.probability[0], expected, rtol=0, atol=1e-6)

    with TestClient(create_app(predictor), base_url="http://127.0.0.1:8000") as client:
        files = [("files", ("clip.wav", (tmp_path / "clip.wav").read_bytes()))]
        (recording,) = client.post("/api/predict", files=files).json()["recordings"]
    assert np.allclose([recording["row"][output] for output in run.outputs], expected, rtol=0, atol=1e-4)

    main(["monitor", str(paths(run).raw / "test"), "--config", "demo", "--out", str(tmp_path / "monitor"), *WORDS])
    assert "verdict: " in capsys.readouterr().out


def test_the_encoder_is_inside_the_exported_files(run, tmp_path):
    export(run, tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    assert max(facts["largest_difference"].values()) < 1e-5
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert f"`whisper`: encoder of {CHECKPOINT}" in card and f"`frames`: encoder of {CHECKPOINT}" in card
    assert "licence MIT" in card


def test_other_weights_make_the_features_stale(run, models, monkeypatch, tmp_path):
    assert not any(reason for _, reason in stale_stages(run))
    before = feature_folders(paths(run).cache, run, {})
    copy = shutil.copytree(models, tmp_path / "models")
    monkeypatch.setenv("FAKEVOICE_MODELS", str(copy))
    weights = copy / CHECKPOINT / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert dict(stale_stages(run))["features"].startswith("input weights of ")
    after = feature_folders(paths(run).cache, run, {})
    assert [name for name in before if before[name] != after[name]] == ["whisper", "frames"]


def test_without_the_model_a_run_stops_before_prepare(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    assert main(["all", "--config", "voices"]) == 2
    message = capsys.readouterr().err
    assert CHECKPOINT in message and "./run.sh fetch-models" in message and "preset=scratch" in message
    assert not list((tmp_path / "home").rglob("clips.csv"))


@pytest.mark.parametrize("name", ["voices", "dacon", "demo", "digits", "emotion"])
def test_the_scratch_preset_needs_no_model(name):
    config = load_config(name, ["preset=scratch"])
    assert not any("encoder" in args for args in config.features.values())
    assert config.networks


def test_models_are_fetched_only_when_they_are_missing(monkeypatch, models, tmp_path, capsys):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: asked.append((name, options)))
    assert main(["fetch-models", "--config", "voices"]) == 0
    assert asked == [] and str(models / CHECKPOINT) in capsys.readouterr().out
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path))
    assert main(["fetch-models", "--config", "voices"]) == 1  # the stand-in downloaded nothing
    (name, options), *_ = asked
    assert name == CHECKPOINT and len(options["revision"]) == 40
    assert os.fspath(options["local_dir"]) == os.fspath(tmp_path / CHECKPOINT)


def test_exported_encoders_are_exact(run):
    assert exact(run).features["whisper"]["precision"] == "fp32"
    assert "precision" not in exact(run).features["mel"]
