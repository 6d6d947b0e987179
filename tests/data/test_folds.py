"""Groups stay whole, folds stay what they were, and whatever would leak is refused."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.audio import channel
from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.core.config import load_config
from fakevoice.core.errors import FoldsError
from fakevoice.core.tables import write_table
from fakevoice.data import audit, folds
from fakevoice.data.groups import make_channels, make_groups
from fakevoice.pipeline.stages import folds as stage

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
    waveform = channel.filtered(rng.standard_normal(2 * RATE).astype(np.float32), [channel.equalizer(RATE, 30.0, rng)])
    return waveform * (1.2 + np.sin(2 * np.pi * rng.uniform(1, 8) * np.arange(2 * RATE) / RATE))


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [recording(seed) for seed in range(200)]


def test_random_recordings_do_not_become_one_group(recordings):
    clips = clips_with(["fake", "real"] * 100, [""] * 200)
    groups = make_groups(clips, fingerprints(recordings), NO_DUPLICATES, "known_or_derived")
    assert groups.nunique() > 80 and groups.value_counts().max() < 20


def test_many_random_fingerprints_do_not_become_one_group():
    points = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)
    groups = make_groups(clips_with(["a"] * 3000, [""] * 3000), points, NO_DUPLICATES, "known_or_derived")
    assert groups.value_counts().max() < 300


def test_a_recording_and_its_equalized_copy_share_a_group(recordings):
    rng = np.random.default_rng(1)
    copies = [
        channel.filtered(waveform, [channel.equalizer(RATE, 3.0, rng)]) * channel.gain(rng.uniform(-20, 0))
        for waveform in recordings
    ]
    clips = clips_with(["fake", "real"] * 200, [""] * 400)
    groups = make_groups(clips, fingerprints([*recordings, *copies]), NO_DUPLICATES, "known_or_derived")
    together = groups.to_numpy()[:200] == groups.to_numpy()[200:]
    assert together.mean() > 0.4  # the nearest half is linked
    assert groups.value_counts().max() < 40


def test_exact_copies_in_derived_groups_stay_together(recordings):
    clips = clips_with(["fake", "real"] * 110, [""] * 220)
    groups = make_groups(clips, fingerprints([*recordings, *recordings[:20]]), NO_DUPLICATES, "known_or_derived")
    assert (groups.to_numpy()[:20] == groups.to_numpy()[200:]).all()


@pytest.mark.parametrize("how", ["known_or_derived", "derived", "none"])
def test_duplicates_always_share_a_group(how):
    duplicates = pd.DataFrame({"train_id": ["000", "004"], "split": "train", "id": ["005", "055"]})
    points = np.random.default_rng(0).standard_normal((60, 10)).astype(np.float32)
    groups = make_groups(CLIPS, points, duplicates, how)
    of = dict(zip(CLIPS["id"], groups, strict=True))
    assert of["000"] == of["005"] and of["004"] == of["055"]


def test_known_groups_are_kept_and_unknown_ones_derived():
    names = ["a"] * 5 + ["b"] * 5 + [""] * 20
    points = np.random.default_rng(0).standard_normal((30, 10)).astype(np.float32)
    points[29] = points[28]
    groups = make_groups(clips_with(["fake"] * 30, names), points, NO_DUPLICATES, "known_or_derived").tolist()
    assert len(set(groups[:5])) == len(set(groups[5:10])) == 1
    assert not set(groups[:10]) & set(groups[10:]) and groups[0] != groups[5]
    assert groups[28] == groups[29]


def test_derived_folds_do_not_look_at_the_groups():
    points = np.random.default_rng(0).standard_normal((60, 10)).astype(np.float32)
    derived = make_groups(CLIPS, points, NO_DUPLICATES, "derived")
    unnamed = make_groups(CLIPS.assign(group=""), points, NO_DUPLICATES, "known_or_derived")
    assert derived.tolist() == unnamed.tolist()


def test_each_clip_alone_where_groups_do_not_matter():
    groups = make_groups(CLIPS, np.zeros((60, 10), np.float32), NO_DUPLICATES, "none")
    assert groups.nunique() == len(CLIPS)


@pytest.mark.parametrize("n_clips", [1, 2, 6])
def test_few_clips_are_groups_of_their_own(n_clips):
    groups = make_groups(
        clips_with(["fake"] * n_clips, [""] * n_clips), np.zeros((n_clips, 4)), NO_DUPLICATES, "known_or_derived"
    )
    assert groups.nunique() == n_clips


def test_folds_keep_groups_whole_and_classes_balanced():
    rows = made(CLIPS)
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    counts = pd.crosstab(rows["fold"], rows["label"])
    assert counts.shape == (N_FOLDS, 2) and (counts == 10).all(axis=None)
    folds.check_folds(rows, CLIPS, NO_DUPLICATES, N_FOLDS)


def recording_facts(n_channels: int, n_groups: int, n_clips: int = 2) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Groups of clips, their spectra (own resonances of some dB under the curve of their channel), their channels."""
    rng = np.random.default_rng(4)
    curves = rng.normal(0, 10, (n_channels, 24))
    channel_of = np.arange(n_groups) % n_channels
    spectra = curves[channel_of] + rng.normal(0, 2, (n_groups, 24))
    points = np.repeat(spectra, n_clips, axis=0) + rng.normal(0, 1, (n_groups * n_clips, 24))
    groups = pd.Series(np.repeat([f"g{i}" for i in range(n_groups)], n_clips))
    return groups, points.astype(np.float32), np.repeat(channel_of, n_clips)


def test_groups_recorded_alike_become_one_channel():
    groups, points, truth = recording_facts(n_channels=12, n_groups=60)
    channels = make_channels(groups, points, N_FOLDS)
    assert channels.nunique() == 12
    assert (channels.groupby(truth).nunique() == 1).all()


def test_recordings_equalized_alike_become_one_channel(recordings):
    rng = np.random.default_rng(5)
    microphone = np.repeat(np.arange(13), 5)
    heard = [
        channel.filtered(waveform, [channel.equalizer(RATE, 60.0, np.random.default_rng([6, k]))])
        for waveform, k in zip(recordings[:65], microphone, strict=True)
    ]
    groups = pd.Series([f"g{i}" for i in range(65)])
    channels = make_channels(groups, fingerprints(heard), N_FOLDS).to_numpy()
    pairs = rng.integers(65, size=(2000, 2))
    same_microphone, together = (x[pairs[:, 0]] == x[pairs[:, 1]] for x in (microphone, channels))
    assert together[same_microphone].mean() > 0.6 and together[~same_microphone].mean() < 0.1


def test_channels_keep_groups_whole():
    groups, points, _ = recording_facts(n_channels=12, n_groups=60, n_clips=4)
    points[::4] = points[::4][::-1]  # a clip of each group sounds like another group's
    channels = make_channels(groups.set_axis(groups.index + 100), points, N_FOLDS)
    assert (channels.groupby(groups.to_numpy()).nunique() == 1).all()
    assert channels.index.tolist() == [*range(100, 340)]


def test_channels_do_not_depend_on_level_scale_or_chance():
    groups, points, _ = recording_facts(n_channels=12, n_groups=60)
    first, second = (make_channels(groups, points, N_FOLDS) for _ in range(2))
    scaled = make_channels(groups, 8 * points + np.arange(24, dtype=np.float32), N_FOLDS)
    assert first.tolist() == second.tolist() == scaled.tolist()


@pytest.mark.parametrize(("n_groups", "joined"), [(5, False), (59, False), (60, True)])
def test_few_groups_are_channels_of_their_own(n_groups, joined):
    groups, points, _ = recording_facts(n_channels=5, n_groups=n_groups)
    channels = make_channels(groups, points, N_FOLDS)
    assert (channels.nunique() < n_groups) == joined
    assert joined or channels.equals(groups)


def test_channels_that_lie_far_apart_are_no_warning():
    groups, points, truth = recording_facts(n_channels=2, n_groups=200)
    channels = make_channels(groups, points + 1e4 * truth[:, None].astype(np.float32), N_FOLDS)
    assert (pd.Series(truth).groupby(channels).nunique() == 1).all()


@pytest.fixture
def prepared(tmp_path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Clips of 60 named groups on 12 channels, beside an empty table of duplicates."""
    groups, points, truth = recording_facts(n_channels=12, n_groups=60)
    write_table(tmp_path / "duplicates.csv", NO_DUPLICATES)
    label = np.where(np.arange(120) // 24 % 2 == 0, "fake", "real")  # 12 groups of one class, 12 of the other, ...
    return clips_with(label.tolist(), groups.tolist()), points, truth


@pytest.mark.parametrize("unit", ["channel", "group"])
def test_a_fold_holds_back_what_the_config_says(prepared, tmp_path, capsys, unit):
    clips, points, truth = prepared
    config = load_config("demo", [f"folds.unit={unit}", f"folds.n_folds={N_FOLDS}"])
    rows = stage._new_rows(clips, points, folds.read_duplicates(tmp_path), config)
    folds.check_folds(rows, clips, NO_DUPLICATES, N_FOLDS)
    assert (rows["group"].groupby(clips["group"].to_numpy()).nunique() == 1).all()
    assert rows["group"].nunique() == 60  # scenes draw groups evenly, also where folds hold back channels
    folds_per_channel = rows["fold"].groupby(truth).nunique()
    assert (folds_per_channel.max() == 1) == (unit == "channel")
    assert ("12 channels, each in one fold" in capsys.readouterr().out) == (unit == "channel")


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
        folds.check_folds(rows, CLIPS, NO_DUPLICATES, N_FOLDS)
    assert "./run.sh folds --force" in str(caught.value)


def test_the_same_sound_in_two_folds_is_a_leak_whatever_its_groups_are_called():
    rows = made(CLIPS)
    first, other = rows["id"][0], rows.loc[rows["fold"] != rows["fold"][0], "id"].iloc[0]
    together = rows.loc[rows["fold"] == rows["fold"][0], "id"].iloc[1]
    pairs = pd.DataFrame({"train_id": first, "split": "train", "id": [together, other]})
    folds.check_folds(rows, CLIPS, pairs[:1], N_FOLDS)
    with pytest.raises(FoldsError, match=f"'{first}' and '{other}' hold the same sound in two folds"):
        folds.check_folds(rows, CLIPS, pairs, N_FOLDS)


def test_rows_may_be_in_any_order():
    folds.check_folds(made(CLIPS).sample(frac=1, random_state=0), CLIPS, NO_DUPLICATES, N_FOLDS)


def test_folds_csv_round_trip(tmp_path):
    rows = made(CLIPS)
    folds.update_folds(tmp_path / "folds.csv", "demo", lambda _: rows)
    pd.testing.assert_frame_equal(folds.read_folds(tmp_path / "folds.csv", "demo"), rows, check_dtype=False)
    assert (tmp_path / "folds.csv").read_text().splitlines()[0] == "competition,id,group,label,fold"


def test_rows_of_other_competitions_stay(tmp_path):
    path = tmp_path / "folds.csv"
    folds.update_folds(path, "first", lambda _: made(CLIPS, "first"))
    folds.update_folds(path, "second", lambda _: made(CLIPS, "second"))
    before = folds.read_folds(path, "first")
    folds.update_folds(path, "second", lambda _: made(CLIPS, "second", n_folds=4))
    pd.testing.assert_frame_equal(folds.read_folds(path, "first"), before)
    assert folds.read_folds(path, "second")["fold"].max() == 3
    assert len(path.read_text().splitlines()) == 1 + 2 * len(CLIPS)


def test_an_error_leaves_folds_csv_as_it_is(tmp_path):
    path = tmp_path / "folds.csv"
    folds.update_folds(path, "demo", lambda _: made(CLIPS))
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        folds.update_folds(path, "demo", lambda _: 1 / 0)
    assert path.read_bytes() == before


def test_no_rows_make_no_file(tmp_path):
    assert folds.update_folds(tmp_path / "folds.csv", "demo", lambda rows: rows).empty
    assert not (tmp_path / "folds.csv").exists()


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


def later(*clips: tuple[str, str, str]) -> pd.DataFrame:
    """The known clips and some new ones: id, label, and the group that is made of them now."""
    new = pd.DataFrame(clips, columns=["id", "label", "group"])
    return pd.concat([new, CLIPS], ignore_index=True)  # numbers and order of the known ones have changed


def test_known_clips_keep_their_folds_and_new_ones_join_their_group():
    known = made(CLIPS)
    clips = later(("n1", "fake", "f3"), ("n2", "real", "r0"), ("n3", "fake", "alone"), ("n4", "fake", "alone"))
    rows = folds.extend_folds(known, clips, clips["group"], N_FOLDS)
    of = rows.set_index("id")
    assert rows["id"].tolist() == clips["id"].tolist()
    for column in ("group", "label", "fold"):
        assert of.loc[known["id"], column].tolist() == known[column].tolist()
    for new, group in (("n1", "f3"), ("n2", "r0")):
        assert of.at[new, "fold"] == known.set_index("group")["fold"][group].iloc[0] and of.at[new, "group"] == group
    assert of.at["n3", "group"] == of.at["n4", "group"] == "g000000" and of.at["n3", "fold"] == of.at["n4", "fold"]
    folds.check_folds(rows, clips, NO_DUPLICATES, N_FOLDS)


def test_new_groups_go_where_there_are_fewest_of_their_label():
    known = made(CLIPS)
    few = known[~((known["fold"] == 1) & (known["label"] == "real")) | known["group"].isin(["r1"])]
    clips = CLIPS[CLIPS["id"].isin(few["id"])]
    clips = pd.concat([clips, clips_with(["real"] * 3, ["a", "b", "c"]).assign(id=["x", "y", "z"])], ignore_index=True)
    rows = folds.extend_folds(few, clips, clips["group"], N_FOLDS).set_index("id")
    assert rows.loc[["x", "y", "z"], "fold"].tolist() == [1, 1, 1] and rows.loc[["x", "y", "z"], "group"].nunique() == 3


def test_new_groups_of_a_known_channel_go_to_its_fold():
    known = made(CLIPS)
    clips = later(*((f"n{i}", "fake", f"new{i}") for i in range(6)))
    fold_of = known.set_index("group")["fold"].groupby(level=0).first()
    channel_of = dict(fold_of.map({0: "a", 1: "b", 2: "c"})) | {f"new{i}": "abc"[i % 3] for i in range(6)}
    rows = folds.extend_folds(known, clips, clips["group"].map(channel_of), N_FOLDS)
    assert rows["fold"].tolist()[:6] == [0, 1, 2, 0, 1, 2]


def test_a_new_clip_stays_with_its_group_whatever_it_was_recorded_with():
    known = made(CLIPS)
    clips, group = later(("n", "fake", "f3")), known.set_index("group")["fold"].groupby(level=0).first()
    other = (group["f3"] + 1) % N_FOLDS
    channel = clips["group"].map(group).where(clips["id"] != "n", other)
    rows = folds.extend_folds(known, clips, channel, N_FOLDS).set_index("id")
    assert rows.at["n", "fold"] == group["f3"]


def test_names_of_new_groups_are_nobodys():
    known = made(CLIPS.assign(group=CLIPS["group"].map(lambda name: f"g{int(name[1:]) + 15 * (name[0] == 'r'):06d}")))
    clips = known[["id", "label", "group"]]
    clips = pd.concat([clips.assign(group="made" + clips["group"]), clips_with(["fake"], ["g000003"]).assign(id="n")])
    rows = folds.extend_folds(known, clips.reset_index(drop=True), clips["group"], N_FOLDS).set_index("id")
    assert rows.at["n", "group"] == "g000030"


def test_clips_that_are_gone_leave_their_rows():
    rows = folds.extend_folds(made(CLIPS), CLIPS.iloc[5:], CLIPS["group"].iloc[5:], N_FOLDS)
    assert rows["id"].tolist() == CLIPS["id"].tolist()[5:]
