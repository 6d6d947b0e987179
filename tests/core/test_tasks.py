"""What the three tasks mean, and a competition of three classes and one of two, end to end."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf
from scipy.special import expit, softmax

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.paths import paths
from fakevoice.core.tables import read_table
from fakevoice.core.tasks import head_states, membership, network_targets, normalise, one_output_each, targets
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline

RATE_HZ = 8000
BANDS_HZ = {"low": (150, 400), "mid": (700, 1300), "high": (2000, 3500)}


@pytest.fixture
def config(finished_run):
    return lambda **changes: finished_run.config.model_copy(update=changes)


def test_targets_of_two_voices(config):
    states = pd.Series(["none", "real", "fake", "real+real", "fake+fake", "real+fake"])
    expected = [[0, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 1]]  # columns fake, real
    assert targets(states, config()).tolist() == expected


def test_targets_of_exclusive_classes(config):
    three = config(task="multiclass", classes=["low", "mid", "high"])
    assert targets(pd.Series(["high", "low"]), three).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets(pd.Series(["fake", "real"]), config(task="binary")).tolist() == [[1], [0]]


def test_a_class_whose_name_is_part_of_another(config):
    digits = config(task="multiclass", classes=["one", "twentyone"])
    assert targets(pd.Series(["twentyone"]), digits).tolist() == [[0, 1]]


def test_states_and_the_outputs_that_hold_in_them(config):
    network = config().networks["mel"].model_copy(update={"head": "states"})
    states = head_states(network, config())
    assert states == ["fake", "fake+fake", "none", "real", "real+fake", "real+real"]
    assert membership(states, ["fake", "real"]).tolist() == [[1, 0], [1, 0], [0, 0], [0, 1], [1, 1], [0, 1]]


@pytest.mark.parametrize("head", ["labels", "states"])
def test_targets_of_a_network_agree_with_those_of_the_line(config, head):
    network = config().networks["mel"].model_copy(update={"head": head})
    labels = pd.Series(["none", "real", "fake", "real+real", "fake+fake", "real+fake"])
    own, states = network_targets(labels, network, config()), head_states(network, config())
    assert own.dtype == np.float32 and own.shape == (6, len(states) or 2)
    if states:
        assert (own.sum(axis=1) == 1).all()
        own = own @ membership(states, config().outputs)
    assert np.array_equal(own, targets(labels, config()))


def test_softmax_logits_become_one_against_the_rest():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    assert np.allclose(expit(one_output_each(logits, "multiclass")), softmax(logits, axis=1))
    assert np.isfinite(one_output_each(np.array([[1000.0, -1000.0]]), "multiclass")).all()
    assert one_output_each(logits, "multilabel") is logits


def test_exclusive_classes_sum_to_one():
    probability = np.random.default_rng(0).random((20, 3))
    assert np.allclose(normalise(probability, "multiclass").sum(axis=1), 1)
    assert np.array_equal(normalise(probability, "multiclass").argmax(axis=1), probability.argmax(axis=1))
    assert normalise(probability, "multilabel") is probability


def write_tones(folder, classes: list[str], columns: list[str]) -> pd.DataFrame:
    """A DACON-shaped folder of noisy tones; returns id and label of the test clips."""
    rng, tables = np.random.default_rng(0), {}
    for split, n_clips in (("train", 72), ("test", 24)):
        (folder / split).mkdir(parents=True)
        rows = pd.DataFrame({"id": [f"{split}{index:03d}" for index in range(n_clips)]})
        rows["path"], rows["label"] = f"./{split}/" + rows["id"] + ".wav", np.resize(classes, n_clips)
        for path, label in zip(rows["path"], rows["label"], strict=True):
            time_s = np.arange(RATE_HZ) / RATE_HZ
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(*BANDS_HZ[label]) * time_s + rng.uniform(0, 6))
            soundfile.write(folder / path, tone + rng.normal(0, 0.02, RATE_HZ), RATE_HZ)
        tables[split] = rows
    tables["train"].to_csv(folder / "train.csv", index=False)
    tables["test"][["id", "path"]].to_csv(folder / "test.csv", index=False)
    groups = [f"g{index // (3 * len(classes))}-{index % len(classes)}" for index in range(72)]
    tables["train"][["id"]].assign(group=groups).to_csv(folder / "train_meta.csv", index=False)
    sample = tables["test"][["id"]].assign(**dict.fromkeys(columns, 1 / len(columns)))
    sample.to_csv(folder / "sample_submission.csv", index=False)
    return tables["test"][["id", "label"]]


@pytest.mark.parametrize(("task", "classes"), [("multiclass", ["low", "mid", "high"]), ("binary", ["high", "low"])])
def test_a_competition_without_mixing(tmp_path, monkeypatch, task, classes):
    config = {
        "competition": "tones",
        "dataset": {"name": "dacon"},
        "task": task,
        "classes": classes,
        "metric": "accuracy",
        "sample_rate_hz": RATE_HZ,
        "clip_duration_s": 1.0,
        "folds": {"n_folds": 2},
        "features": {"mel": {"n_mels": 32}},
        "pooled": ["mel"],
        "networks": {
            "mel": {
                "feature": "mel",
                "model": {"name": "resnet", "args": {"width": 4}},
                "training": {"n_epochs": 6, "batch_size": 8, "learning_rate": 0.01, "ema_decay": 0.8},
            }
        },
        "stacker": {"n_rounds": 20, "min_rows_per_leaf": 3},
        "ensemble": {"n_bootstrap": 20},
    }
    OmegaConf.save(OmegaConf.create(config), tmp_path / "tones.yaml")
    outputs = classes if task == "multiclass" else classes[:1]
    solution = write_tones(tmp_path / "data" / "tones", classes, outputs)
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.delenv("FAKEVOICE_DATA", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    config = load_config(str(tmp_path / "tones.yaml"))
    run_pipeline(config)

    (file,) = (tmp_path / "submissions").glob("tones-*.csv")
    submission = read_table(file, ("id",))
    assert list(submission.columns) == ["id", *outputs]
    probability = submission[outputs].to_numpy()
    if task == "multiclass":
        assert np.allclose(probability.sum(axis=1), 1, atol=1e-5)
    truth = np.stack([solution["label"] == name for name in outputs], axis=1)
    assert plugins.load("metrics", "accuracy").measure(truth, probability) > 0.9

    answers = answer(Predictor.load(paths(config)), list_sources([str(tmp_path / "data/tones/test.csv")]))
    assert np.abs(answers.table[outputs].to_numpy() - probability).max() < 1e-5
    assert answers.unreadable.empty
