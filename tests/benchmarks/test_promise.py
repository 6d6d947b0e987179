"""The line's own promise, asked on sources that are held out: what is held out stays out, and what is told is right."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from fakevoice.core.config import REPOSITORY
from fakevoice.core.errors import ArtifactError, DataError

_spec = importlib.util.spec_from_file_location("promise", REPOSITORY / "benchmarks" / "promise.py")
promise = importlib.util.module_from_spec(_spec)
sys.modules["promise"] = promise  # dataclasses look their module up
_spec.loader.exec_module(promise)


@pytest.fixture(scope="module", autouse=True)
def home(finished_run):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        yield


@pytest.fixture(scope="module")
def material(finished_run, home):
    return promise.load_material(finished_run.config, None)


def test_each_repeat_holds_out_every_source_once(material):
    parts = list(promise.held_out_parts(material, 2))
    assert len(parts) == 2 * promise.N_PARTS and parts[:3] != parts[3:]
    for repeat in (parts[:3], parts[3:]):
        assert sorted(name for part in repeat for name in part) == sorted(material.sources.unique())


def test_no_scene_is_both_fitted_and_asked_and_no_held_out_voice_is_fitted(material):
    voices = material.run.voices.assign(source=material.run.voices["clip"].map(material.sources))
    for held_out in promise.held_out_parts(material, 1):
        known, new = promise.split_scenes(material, held_out)
        assert not set(known) & set(new)
        heard = [voices[voices["scene"].isin(material.run.scenes["scene"].iloc[rows])] for rows in (known, new)]
        assert len(heard[0]) and not heard[0]["source"].isin(held_out).any()
        assert len(heard[1]) and heard[1]["source"].isin(held_out).all() and (heard[1]["vocoder"] == "").all()
        silent = (material.run.scenes["state"] == "none").to_numpy()
        assert silent[known].sum() + silent[new].sum() == silent.sum()


def test_every_test_has_a_promise_and_a_score(finished_run, capsys):
    tests = promise.main(["--config", "demo", "--repeats", "1", *finished_run.overrides])
    assert tests.groupby(["set", "tests"]).size().to_dict() == {
        (index, kind): promise.N_TESTS for index in range(3) for kind in ("as simulated", "shortcuts discounted")
    }
    values = tests.dropna()[["measured", "expected", "low", "high"]].to_numpy()  # of 16 clips all may be fake
    assert len(values) > 150 and (values > 0).all() and (values < 1).all()
    assert (tests["low"] < tests["high"]).all() and tests["measured"].nunique() > 100
    assert "3 sets of held-out sources" in capsys.readouterr().out


def test_sources_of_a_file_are_taken(finished_run, tmp_path):
    named = promise.load_material(finished_run.config, None).sources
    file = tmp_path / "sources.csv"
    half = pd.Series(np.where(np.arange(len(named)) % 2, "b", "a"), named.index)
    half.rename_axis("id").rename("source").iloc[::-1].to_csv(file)  # in any order
    assert promise.load_material(finished_run.config, file).sources.equals(half.rename("source"))


def test_a_clip_without_a_source_is_named(finished_run, tmp_path):
    file = tmp_path / "sources.csv"
    file.write_text("id,source\nTRAIN_00000,a\n")
    with pytest.raises(DataError, match=r"59 training clips have no source .*TRAIN_00001"):
        promise.load_material(finished_run.config, file)


def test_without_unlabeled_clips_nothing_is_asked(finished_run, monkeypatch):
    monkeypatch.setattr(promise.Material, "n_clips", lambda self: (0, 16))
    with pytest.raises(ArtifactError, match="demo has no unlabeled clips"):
        promise.main(["--config", "demo", *finished_run.overrides])


def test_what_is_told_is_counted():
    tests = pd.DataFrame(
        {
            "set": [0, 0, 1, 1, 1],
            "tests": [*["as simulated", "shortcuts discounted"] * 2, "as simulated"],
            "measured": [0.10, 0.20, 0.20, 0.30, np.nan],
            "expected": [0.11, 0.20, 0.25, 0.20, 0.20],
            "low": [0.05, 0.15, 0.21, 0.10, 0.10],
            "high": [0.15, 0.25, 0.30, 0.25, 0.25],
        }
    )
    lines = [line.split() for line in promise.describe(tests).splitlines()]
    assert lines[3][-7:] == ["all", "0.2000", "0.1900", "0.0400", "0.5000", "0.5000", "0.1100"]
    assert lines[-1][-1] == f"{np.std([0.15, 0.25], ddof=1):.4f}"
