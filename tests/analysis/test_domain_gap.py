"""Scenes against unlabeled clips: known differences, no clip beside its own noise, what the run itself counted."""

from dataclasses import replace

import numpy as np
import pytest

from fakevoice.analysis import domain_gap
from fakevoice.analysis.finished_run import Run, load_run, render_scene
from fakevoice.core.errors import ArtifactError
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import estimate_shares
from fakevoice.scenes.noise_bank import mine_noises


@pytest.fixture(scope="module")
def run(finished_run) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        yield load_run(finished_run.config)


def test_columns_by_hand():
    scenes = np.array([[0.0, 5.0, 1.0], [1.0, 5.0, 2.0], [2.0, 5.0, 3.0]])
    unlabeled = np.array([[1.0, 5.0, 0.0], [3.0, 5.0, -4.0]])
    table = domain_gap.compare_columns(scenes, unlabeled, ["first", "same", "below"])
    assert table.index.tolist() == ["below", "first", "same"]
    assert table["auc"].tolist() == pytest.approx([0.0, 4.5 / 6, 0.5])
    assert table.loc["below", ["scenes_median", "unlabeled_median"]].tolist() == [2.0, -2.0]
    assert table.loc["first", ["scenes_p10", "scenes_p90"]].tolist() == pytest.approx([0.2, 1.8])


def test_separation(run):
    found = domain_gap.separate(run, 40)
    assert found.low <= found.auc <= found.high
    assert len(found.scenes) == 40 and found.scenes["scene"].is_unique and found.scenes["scene"].is_monotonic_increasing
    assert found.clips["id"].tolist() == run.clips.loc[run.clips["split"] == "unlabeled", "id"].tolist()
    again = domain_gap.separate(run, 40)
    assert again.scenes.equals(found.scenes) and again.columns.equals(found.columns)
    everything = domain_gap.separate(run)
    assert everything.scenes["scene"].tolist() == run.scenes["scene"].tolist()
    assert (everything.columns["auc"] - 0.5).abs().is_monotonic_decreasing


def test_a_clip_is_in_the_fold_of_its_noise(run, monkeypatch):
    seen = {}

    def listen(columns, is_unlabeled, fold, seed):
        seen["fold"] = fold[is_unlabeled]
        return np.zeros(len(columns))

    monkeypatch.setattr(domain_gap, "held_out_log_odds", listen)
    monkeypatch.setattr("fakevoice.scenes.noise_bank._voiceless", lambda search: [(0.0, np.ones(3, np.float32))])
    clips = domain_gap.separate(run).clips.assign(fold=lambda table: seen["fold"])
    mined = mine_noises(
        domain_gap.unlabeled_clips(run), run.paths.raw, run.config.sample_rate_hz, run.config.folds.n_folds
    ).table
    assert mined.set_index("clip")["fold"].to_dict() == clips.set_index("id")["fold"].to_dict()


def test_nothing_to_compare_with(run):
    lonely = replace(run, clips=run.clips[run.clips["split"] != "unlabeled"])
    with pytest.raises(ArtifactError, match="0 unlabeled clips"):
        domain_gap.separate(lonely)


def test_unreadable_clips_are_not_in_the_cache(run):
    clips = run.clips.copy()
    clips.loc[clips.index[clips["split"] == "unlabeled"][2], "error"] = "cut"
    assert len(domain_gap.unlabeled_clips(replace(run, clips=clips))) == len(domain_gap.unlabeled_clips(run)) - 1 == 7


def test_scenes_are_audited_as_they_sound(run):
    facts, spectra_db = domain_gap.audit_scenes(run, 3)
    assert len(facts) == len(spectra_db) == 3 and facts["id"].isin(run.scenes["scene"]).all()
    assert (facts["error"] == "").all() and facts["duration_s"].tolist() == [run.config.clip_duration_s] * 3
    waveform = render_scene(run, facts["id"][0])
    assert facts["level_dbfs"][0] == pytest.approx(10 * np.log10(np.mean(np.square(waveform))), abs=1e-3)
    assert spectra_db.mean(axis=1) == pytest.approx(0, abs=1e-3)
    assert np.abs(spectra_db[0] - spectra_db[1]).max() > 1


def test_predictions_are_those_that_the_shares_were_counted_from(run):
    probability, told = domain_gap.predict_unlabeled(run), Shares.from_dict(run.metrics["combinations"])
    assert probability.shape == (2 * 8, len(told.simulated)) and probability.sum(axis=1) == pytest.approx(1)
    found = estimate_shares(probability, told.simulated)
    assert found == pytest.approx(told.expected, abs=1e-5)
    assert told.expected != pytest.approx(told.simulated, abs=1e-3)
    assert told.n_counted == 8 and told.of_outputs(run.config.outputs).to_dict() == run.metrics["shares"]
    assert run.metrics["count_errors"].keys() == set(run.config.outputs)
    assert all(0 < error < 1 for error in run.metrics["count_errors"].values())


def test_shares_of_an_earlier_version_are_refused_by_what_mends_them(run):
    saved = run.metrics["combinations"]
    assert Shares.from_dict(saved).to_dict() == saved
    with pytest.raises(ArtifactError, match=r"errors.*\./run\.sh ensemble"):
        Shares.from_dict({name: saved[name] for name in ("combinations", "simulated", "expected")} | {"errors": []})


def test_what_is_asked_for_is_what_tells_scenes_apart(run, monkeypatch):
    codec = run.scenes.set_index("scene")["codec"]
    assert (codec == "mp3").sum() > 3

    def prefer_mp3(columns, is_unlabeled, fold, seed):
        return np.concatenate([3.0 * (run.scenes["codec"] == "mp3"), np.zeros(is_unlabeled.sum())])

    monkeypatch.setattr(domain_gap, "held_out_log_odds", prefer_mp3)
    asked = domain_gap.separate(run).asked
    assert asked.idxmax() == "codec=mp3" and asked["codec=mp3"] > 0.1 > asked.drop("codec=mp3").max() / 2
    plain = run.config.model_copy(update={"scenes": run.config.scenes.model_copy(update={"states": {}})})
    assert domain_gap.separate(replace(run, config=plain)).asked.empty
