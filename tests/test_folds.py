"""Groups stay whole, folds stay what they were, and whatever would leak is refused."""

import numpy as np
import pandas as pd
import pytest

from fakevoice import audit, channel, folds
from fakevoice.errors import FoldsError
from fakevoice.spectrum import power_spectrogram

RATE, N_FOLDS = 16_000, 3
NO_DUPLICATES = pd.DataFrame(columns=["train_id", "split", "id"])


def clips_with(labels: list[str], groups: list[str] | None = None) -> pd.DataFrame:
    ids = [f"{i:03d}" for i in range(len(labels))]
    return pd.DataFrame({"id": ids, "label": labels, "group": groups or [f"g{i}" for i in ids]})


def made(clips: pd.DataFrame, competition: str = "demo", n_folds: int = N_FOLDS) -> pd.DataFrame:
    return clips.assign(competition=competition, fold=folds.assign_folds(clips, n_folds, 0))[folds.COLUMNS]


CLIPS = clips_with(["fake", "real"] * 30, [f"{label}{i}" for i in range(15) for label in ("f", "r")] * 2)


def fingerprints(waveforms: list[np.ndarray]) -> np.ndarray:
    spectra = [power_spectrogram(waveform, 512, 256) for waveform in waveforms]
    return np.array([audit._fingerprint(power, RATE) for power in spectra], np.float32)


def recording(seed: int) -> np.ndarray:
    """Two seconds of noise through its own resonances, swelling at its own pace: a voice as the spectrum sees it."""
    rng = np.random.default_rng(seed)
    waveform = channel.equalize(rng.standard_normal(2 * RATE).astype(np.float32), RATE, 30.0, rng)
    return waveform * (1.2 + np.sin(2 * np.pi * rng.uniform(1, 8) * np.arange(2 * RATE) / RATE))


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [recording(seed) for seed in range(200)]


def test_random_recordings_do_not_become_one_group(recordings):
    clips = clips_with(["fake", "real"] * 100, [""] * 200)
    groups = folds.make_groups(clips, fingerprints(recordings), NO_DUPLICATES, known=True)
    assert groups.nunique() > 80 and groups.value_counts().max() < 20


def test_many_random_fingerprints_do_not_become_one_group():
    points = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)
    groups = folds.make_groups(clips_with(["a"] * 3000, [""] * 3000), points, NO_DUPLICATES, known=True)
    assert groups.value_counts().max() < 300


def test_a_recording_and_its_equalized_copy_share_a_group(recordings):
    rng = np.random.default_rng(1)
    copies = [channel.equalize(waveform, RATE, 3.0, rng) * channel.gain(rng.uniform(-20, 0)) for waveform in recordings]
    clips = clips_with(["fake", "real"] * 200, [""] * 400)
    groups = folds.make_groups(clips, fingerprints([*recordings, *copies]), NO_DUPLICATES, known=True)
    together = groups.to_numpy()[:200] == groups.to_numpy()[200:]
    assert together.mean() > 0.4  # the nearest half is linked
    assert groups.value_counts().max() < 40


def test_exact_copies_in_derived_groups_stay_together(recordings):
    clips = clips_with(["fake", "real"] * 110, [""] * 220)
    groups = folds.make_groups(clips, fingerprints([*recordings, *recordings[:20]]), NO_DUPLICATES, known=True)
    assert (groups.to_numpy()[:20] == groups.to_numpy()[200:]).all()


@pytest.mark.parametrize("known", [True, False])
def test_duplicates_always_share_a_group(known):
    duplicates = pd.DataFrame({"train_id": ["000", "004"], "split": "train", "id": ["005", "055"]})
    points = np.random.default_rng(0).standard_normal((60, 10)).astype(np.float32)
    groups = folds.make_groups(CLIPS, points, duplicates, known)
    of = dict(zip(CLIPS["id"], groups, strict=True))
    assert of["000"] == of["005"] and of["004"] == of["055"]


def test_known_groups_are_kept_and_unknown_ones_derived():
    names = ["a"] * 5 + ["b"] * 5 + [""] * 20
    points = np.random.default_rng(0).standard_normal((30, 10)).astype(np.float32)
    points[29] = points[28]
    groups = folds.make_groups(clips_with(["fake"] * 30, names), points, NO_DUPLICATES, known=True).tolist()
    assert len(set(groups[:5])) == len(set(groups[5:10])) == 1
    assert not set(groups[:10]) & set(groups[10:]) and groups[0] != groups[5]
    assert groups[28] == groups[29]


def test_derived_folds_do_not_look_at_the_groups():
    points = np.random.default_rng(0).standard_normal((60, 10)).astype(np.float32)
    derived = folds.make_groups(CLIPS, points, NO_DUPLICATES, known=False)
    unnamed = folds.make_groups(CLIPS.assign(group=""), points, NO_DUPLICATES, known=True)
    assert derived.tolist() == unnamed.tolist()


@pytest.mark.parametrize("n_clips", [1, 2, 6])
def test_few_clips_are_groups_of_their_own(n_clips):
    groups = folds.make_groups(
        clips_with(["fake"] * n_clips, [""] * n_clips), np.zeros((n_clips, 4)), NO_DUPLICATES, known=True
    )
    assert groups.nunique() == n_clips


def test_folds_keep_groups_whole_and_classes_balanced():
    rows = made(CLIPS)
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    counts = pd.crosstab(rows["fold"], rows["label"])
    assert counts.shape == (N_FOLDS, 2) and (counts == 10).all(axis=None)
    folds.check_folds(rows, CLIPS, N_FOLDS)


def test_same_seed_same_folds_other_seed_others():
    first, second = (folds.assign_folds(CLIPS, N_FOLDS, 0) for _ in range(2))
    assert first.dtype == np.int64 and np.array_equal(first, second)
    assert not np.array_equal(first, folds.assign_folds(CLIPS, N_FOLDS, 1))


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (clips_with(["fake"] * 20), "all 20 training clips are 'fake'"),
        (clips_with(["fake"] * 20 + ["real"] * 2), "class 'real' has 2 clips, fewer than 3 folds"),
        (clips_with(["fake", "real"] * 10, ["a", "b", "c", "d"] * 5), "has 2 groups, fewer than 3 folds"),
        (clips_with([]), "no training clips"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(clips, message):
    with pytest.raises(FoldsError, match=message):
        folds.assign_folds(clips, N_FOLDS, 0)


def edited(**changes) -> pd.DataFrame:
    rows = made(CLIPS)
    for column, value in changes.items():
        rows.loc[0, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (made(CLIPS).iloc[1:], r"1 clips have no row, 0 rows have no clip, e\.g\. '000'"),
        (pd.concat([made(CLIPS), edited(id="x").head(1)]), "0 clips have no row, 1 rows have no clip, e.g. 'x'"),
        (pd.concat([made(CLIPS), made(CLIPS).head(1)]), "an id stands twice"),
        (edited(id="x"), "1 clips have no row, 1 rows have no clip"),
        (edited(fold=(made(CLIPS)["fold"][0] + 1) % N_FOLDS), "group 'f0' stands in two folds"),
        (edited(fold=7), r"folds \[0, 1, 2, 7\], the config wants 0 to 2"),
        (edited(label="real"), "other labels than the clips"),
        (made(CLIPS, n_folds=4), r"folds \[0, 1, 2, 3\], the config wants 0 to 2"),
        (made(CLIPS, n_folds=2), r"folds \[0, 1\], the config wants 0 to 2"),
        (made(CLIPS).assign(fold=CLIPS["group"].map(lambda g: 0 if g[0] == "f" else 1 + int(g[1:]) % 2)), "no clip of"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_way_out(rows, message):
    with pytest.raises(FoldsError, match=message) as caught:
        folds.check_folds(rows, CLIPS, N_FOLDS)
    assert "./run.sh folds --force" in str(caught.value)


def test_rows_may_be_in_any_order():
    folds.check_folds(made(CLIPS).sample(frac=1, random_state=0), CLIPS, N_FOLDS)


def test_folds_csv_round_trip(tmp_path):
    rows = made(CLIPS)
    folds.write_folds(tmp_path / "folds.csv", rows, "demo")
    pd.testing.assert_frame_equal(folds.read_folds(tmp_path / "folds.csv", "demo"), rows, check_dtype=False)
    assert (tmp_path / "folds.csv").read_text().splitlines()[0] == "competition,id,group,label,fold"


def test_rows_of_other_competitions_stay(tmp_path):
    path = tmp_path / "folds.csv"
    folds.write_folds(path, made(CLIPS, "first"), "first")
    folds.write_folds(path, made(CLIPS, "second"), "second")
    before = folds.read_folds(path, "first")
    folds.write_folds(path, made(CLIPS, "second", n_folds=4), "second")
    pd.testing.assert_frame_equal(folds.read_folds(path, "first"), before)
    assert folds.read_folds(path, "second")["fold"].max() == 3
    assert len(path.read_text().splitlines()) == 1 + 2 * len(CLIPS)


def test_no_file_no_rows(tmp_path):
    assert folds.read_folds(tmp_path / "folds.csv", "demo").empty


@pytest.mark.parametrize(
    "text",
    [
        "competition,id,label,fold\ndemo,1,fake,0\n",
        "competition,id,group,label,fold\ndemo,1,a,fake,\n",
        "competition,id,group,label,fold\ndemo,1,a,fake,first\n",
        "competition,id,group,label,fold\ndemo,1,a,fake,1.5\n",
    ],
)
def test_a_broken_folds_csv_is_refused(tmp_path, text):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(FoldsError, match=r"folds\.csv"):
        folds.read_folds(tmp_path / "folds.csv", "demo")
