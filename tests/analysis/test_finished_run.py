"""What a run says about its scenes: conditions from rows, the sound that the features heard, refusals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from fakevoice.analysis.exploration import average_spectra, clip_spectrogram, load_clips
from fakevoice.analysis.finished_run import Run, describe_scenes, load_run, render_scene, worst_scenes
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.tasks import sides_of_states
from fakevoice.features.extract import extract
from fakevoice.features.store import CachedFeature
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.measures import auc
from fakevoice.metrics.slices import (
    auc_with_interval,
    label_and_probability,
    pair_aucs,
    reliability,
    slice_aucs,
    slice_scores,
    voice_aucs,
)
from tests.support.sealing import seal

RATE = 16_000


@pytest.fixture(scope="module")
def run(finished_run) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        return load_run(finished_run.config)


@pytest.fixture(scope="module")
def described(run) -> pd.DataFrame:
    return describe_scenes(run)


def scene_run(run, voices, **columns):
    """A run of one scene with some voices: (offset_s, duration_s, gain_db), all real and of group A, B, ..."""
    state = "+".join(["real"] * len(voices)) or "none"
    scenes = run.scenes.iloc[:1].assign(scene="S", fold=0, state=state, **columns)
    oof = run.oof.iloc[:1].assign(scene="S", fold=0, state=state, label_fake=0, label_real=int(bool(voices)))
    rows = [
        {**run.voices.iloc[0], "scene": "S", "slot": slot, "part": part, "group": "AB"[slot], "vocoder": "", **timing}
        for slot, voice in enumerate(voices)
        for part in range(2)  # two recordings make one voice
        for timing in [dict(zip(("offset_s", "duration_s", "gain_db"), voice, strict=True))]
    ]
    return replace(run, scenes=scenes, oof=oof, voices=pd.DataFrame(rows, columns=run.voices.columns))


def conditions(run, voices, **columns):
    return describe_scenes(scene_run(run, voices, **columns)).iloc[0]


def test_two_voices(run):
    row = conditions(run, [(0.0, 3.0, 2.0), (1.5, 2.5, -3.0)], snr_db=7.0, noise="mined:4", event="", codec="mp3")
    assert (row["n_voices"], row["overlap_s"], row["level_difference_db"]) == (2, 1.5, 5.0)
    assert (row["noise_kind"], row["event_kind"], row["codec"]) == ("mined", "none", "mp3")
    assert (row["snr_band"], row["overlap_band"], row["level_band"]) == ("6 to 12 dB", "1 to 2 s", "4.8 to 7.2 dB")
    assert (row["groups"], row["vocoders"]) == ("A|B", "")


def test_voices_apart_one_and_none(run):
    apart = conditions(run, [(0.0, 1.0, 0.0), (2.0, 1.0, 0.0)], snr_db=np.nan, noise="")
    assert (apart["overlap_s"], apart["overlap_band"], apart["snr_band"]) == (0.0, "apart", "no noise")
    one = conditions(run, [(0.0, 1.0, 0.0)])
    assert (one["overlap_band"], one["level_band"]) == ("one voice", "one voice")
    assert np.isnan(one["level_difference_db"])
    none = conditions(run, [], snr_db=np.nan, noise="rain")
    assert (none["n_voices"], none["snr_band"], none["overlap_band"]) == (0, "no voice", "no voice")
    assert (none["noise_kind"], none["groups"]) == ("rain", "")


def test_overlap_does_not_run_over_scenes(run, described):
    for scene in described[described["n_voices"] == 2].head(20).itertuples():
        (a, b), (c, d) = (
            run.voices[run.voices["scene"] == scene.scene]
            .drop_duplicates("slot")[["offset_s", "duration_s"]]
            .to_numpy()
        )
        assert scene.overlap_s == pytest.approx(max(0.0, min(a + b, c + d) - max(a, c)))


def test_loss_and_worst(run, described):
    label, probability = label_and_probability(described, ["fake", "real"])
    right = np.where(label == 1, probability, 1 - probability)
    assert described["loss"].to_numpy() == pytest.approx(-np.log(right).mean(axis=1))
    worst = worst_scenes(described, 5)
    assert worst["loss"].tolist() == sorted(described["loss"], reverse=True)[:5]
    assert not [column for column in worst if column.startswith("logit_")]


def test_rendered_as_the_features_heard_it(run):
    folder = run.paths.cache / read_json(run.paths.stage("features") / "features.json")["mel"]
    cached = CachedFeature(folder, "scenes").take(np.array([0, 40]))
    for row, feature in zip((0, 40), cached, strict=True):
        mel = extract(render_scene(run, run.scenes["scene"][row]), run.config, ["mel"])["mel"]
        assert np.abs(mel - feature).max() < 0.05  # the cache holds float16


def test_unknown_scene(run):
    with pytest.raises(ArtifactError, match="no scene 'X'"):
        render_scene(run, "X")


def test_the_run_tells_its_own_config(finished_run, run, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(finished_run.home))
    assert load_run(load_config("demo")).config == run.config == finished_run.config


def test_not_finished(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    with pytest.raises(ArtifactError, match="all --config demo"):
        load_run(load_config("demo"))
    with pytest.raises(ArtifactError, match="folds --config demo"):
        load_clips(load_config("demo"))


def test_other_scenes(damageable):
    table = damageable.paths.stage("scenes") / "scenes.csv"
    table.write_text(table.read_text().replace("S000003,1", "S000003,0"))
    seal(damageable.paths, "scenes")
    with pytest.raises(ArtifactError, match="other scenes"):
        load_run(damageable.config)


def test_clips(run):
    clips, is_train = run.clips, run.clips["split"] == "train"
    assert (len(clips), is_train.sum()) == (84, 60)
    assert set(clips.loc[is_train, "label"]) == {"fake", "real"} and set(clips.loc[~is_train, "label"]) == {""}
    assert clips.loc[is_train, "fold"].notna().all() and clips.loc[~is_train, "fold"].isna().all()


def test_average_spectra(finished_run, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(finished_run.home))
    spectra = average_spectra(finished_run.config)
    assert set(spectra) == {"train fake", "train real", "test", "unlabeled"}
    assert spectra.index.is_monotonic_increasing and spectra.index[-1] < RATE / 2
    assert spectra.mean().to_numpy() == pytest.approx(0, abs=1e-3)


def test_spectrogram_axes():
    waveform = np.zeros(2 * RATE, np.float32)
    waveform[RATE:] = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE)
    time_s, frequency_hz, level_db = clip_spectrogram(waveform, RATE)
    assert level_db.shape == (len(frequency_hz), len(time_s))
    assert frequency_hz[level_db[:, time_s > 1.1].mean(axis=1).argmax()] == pytest.approx(2000, rel=0.05)
    assert time_s[np.flatnonzero(level_db.max(axis=0) > level_db.max() - 20)[0]] == pytest.approx(1.0, abs=0.05)


def test_one_class_has_no_auc(run, described):
    scores = slice_scores(described, "state", run.config)
    states, missing = scores.drop(index="all"), ["dacon_score", "auc", "eer"]
    assert states[missing].isna().all(axis=None) and scores.loc["all", missing].notna().all()
    assert scores.loc["all", "n"] == states["n"].sum() == len(described)
    assert scores.loc["all", "dacon_score"] == pytest.approx(run.metrics["oof_score"])
    assert tuple(scores.loc["real+fake", ["share_fake", "share_real"]]) == (1, 1)


def test_one_label_each_is_not_taken_for_multiclass(run, described):
    alone = described[described["state"] == "real"].assign(probability_fake=0.9, probability_real=0.95)
    scores = slice_scores(alone, "state", run.config).loc["real"]
    assert scores["accuracy"] == 0.5  # fake is wrong, real is right; the larger of the two would be right
    assert scores["log_loss"] == pytest.approx(-np.log([0.1, 0.95]).mean())


def test_slices_in_the_order_of_the_bands(run, described):
    order = list(slice_scores(described, "snr_band", run.config).index)
    assert order.index("0 to 6 dB") < order.index("6 to 12 dB") < order.index("24 to 30 dB") < order.index("all")


def test_pairs():
    state = pd.Series(["none", "fake", "real+fake", "real", "fake"])
    probability = np.array([[0.1, 0.1], [0.9, 0.5], [0.6, 0.5], [0.7, 0.9], [0.05, 0.5]])
    table = pair_aucs(state, probability, sides_of_states(state.unique(), load_config("demo"))).set_index(
        ["output", "state", "against"]
    )
    assert table.loc[("fake", "fake", "none"), ["auc", "n"]].tolist() == [0.5, 3]
    assert table.loc[("fake", "real+fake", "real"), ["auc", "n"]].tolist() == [0.0, 2]
    assert table.loc[("real", "real+fake", "fake"), ["auc", "n"]].tolist() == [0.5, 3]
    assert len(table) == 4 + 4


def test_what_pairs_lose_adds_up(run, described):
    label, probability = label_and_probability(described, run.config.outputs)
    sides = sides_of_states(described["state"].unique(), run.config)
    pairs = pair_aucs(described["state"], probability, sides, described["first_group"])
    lost = pairs.groupby("output")["lost"].sum()
    for place, output in enumerate(run.config.outputs):
        assert lost[output] == pytest.approx(1 - auc.measure(label[:, place], probability[:, place]))
    alone = pair_aucs(described["state"], probability, sides)
    assert np.abs(pairs["high"] - alone["high"]).max() > 0.01  # scenes of a group err together


def test_voices():
    scenes = {"scene": ["a", "b", "c", "d"], "label_fake": [1, 1, 0, 0], "probability_fake": [0.9, 0.3, 0.2, 0.4]}
    voices = {
        "scene": ["a", "a", "b", "b", "c"],
        "label": ["fake", "fake", "fake", "real", "real"],
        "vocoder": ["lpc", "lpc", "", "never", "never"],
        "group": ["A", "A", "B", "C", "C"],
    }
    table = voice_aucs(pd.DataFrame(voices), pd.DataFrame(scenes), "vocoder", "fake", load_config("demo"))
    assert table.index.tolist() == ["none", "lpc"]
    assert table["n"].tolist() == [1, 1] and table["auc"].tolist() == [0.5, 1.0]
    assert table.loc["none", "low"] < 0.5 < table.loc["none", "high"]
    assert voice_aucs(
        pd.DataFrame(voices), pd.DataFrame(scenes), "group", "fake", load_config("demo")
    ).index.tolist() == ["B", "A"]


def test_voices_of_a_group_err_together():
    score = [0.9, 0.8, 0.45, 0.45, 0.5, 0.4]
    scenes = pd.DataFrame({"scene": list("abcdef"), "label_fake": [1, 1, 1, 1, 0, 0], "probability_fake": score})
    voices = pd.DataFrame({"scene": list("abcde"), "label": ["fake"] * 4 + ["real"], "group": list("AABBA")})
    table = voice_aucs(voices.assign(vocoder="lpc"), scenes, "vocoder", "fake", load_config("demo"))
    by_group = auc_with_interval(scenes["label_fake"], score, list("AABBAf"))
    assert tuple(table.loc["lpc", ["auc", "low", "high"]]) == pytest.approx(by_group)
    assert by_group != pytest.approx(auc_with_interval(scenes["label_fake"], score))


def clips_that_err_together(n_groups=60, n_clips=1500):
    rng = np.random.default_rng(0)
    group = rng.integers(n_groups, size=n_clips)
    label = rng.integers(2, size=n_groups)[group] ^ (rng.random(n_clips) < 0.2)
    return label, expit(label + rng.normal(0, 0.7, n_groups)[group] + rng.normal(0, 1, n_clips)), group


@pytest.mark.parametrize("grouped", [True, False])
def test_interval_is_that_of_the_bootstrap(grouped):
    label, score, group = clips_that_err_together()
    groups = group if grouped else None
    measured, low, high = auc_with_interval(label, score, groups)
    drawn_low, drawn_high = bootstrap_interval(auc.measure, label, score, groups, 500)
    assert measured == pytest.approx(auc.measure(label, score))
    assert high - low == pytest.approx(drawn_high - drawn_low, rel=0.15)
    assert (low, high) == pytest.approx((drawn_low, drawn_high), abs=0.01)


def test_interval_of_little():
    assert np.isnan(auc_with_interval([1, 1], [0.1, 0.2])).all()
    assert auc_with_interval([0, 1], [-3, 7]) == (1.0, 1.0, 1.0)
    measured, *ends = auc_with_interval([0, 1, 1], [0.5, 0.1, 0.9], ["g"] * 3)
    assert measured == 0.5 and np.isnan(ends).all()
    assert auc_with_interval([0, 0, 1, 1], [0.3, 0.6, 0.5, 0.9])[2] == 1.0  # and not above


def test_slices_with_one_class_are_left_out(run, described):
    table = slice_aucs(described.assign(half=np.arange(len(described)) % 2), "half", run.config)
    assert table[["slice", "output"]].apply(tuple, axis=1).tolist() == [
        ("0", "fake"), ("0", "real"), ("1", "fake"), ("1", "real")
    ]  # fmt: skip
    assert table["n"].tolist() == [48] * 4
    expected = [auc_with_interval(part[f"label_{o}"], part[f"probability_{o}"], part["first_group"])
                for part in (described[::2], described[1::2]) for o in run.config.outputs]  # fmt: skip
    np.testing.assert_allclose(table[["auc", "low", "high"]], expected)
    assert slice_aucs(described, "state", run.config).empty


def test_first_group_is_of_the_first_voice(run, described):
    first = run.voices.groupby("scene")["group"].first()
    unit, is_voiced = described.set_index("scene")["first_group"], (described["n_voices"] > 0).to_numpy()
    assert unit[is_voiced].equals(first.reindex(unit.index[is_voiced]).rename("first_group"))
    assert (unit[~is_voiced] == unit.index[~is_voiced]).all() and (~is_voiced).any()


def test_reliability():
    table = reliability(np.array([0, 1, 1, 1]), np.array([0.1, 0.15, 0.999, 1.0]))
    assert table["count"].tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 0, 2]  # an edge belongs to the bin above
    assert table.loc[1, ["centre", "predicted", "observed"]].tolist() == pytest.approx([0.15, 0.125, 0.5])
    assert table["observed"].isna().sum() == 8
