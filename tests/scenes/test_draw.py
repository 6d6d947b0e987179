"""Scenes stay inside their fold, follow their prior, and say truly what is heard."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.audio.channel import CODECS
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import FoldsError
from fakevoice.data.groups import group_chances
from fakevoice.scenes.draw import (
    MIN_VOICE_S,
    RT60_S,
    SCENE_COLUMNS,
    VOICE_COLUMNS,
    VOICE_GAIN_DB,
    draw_files,
    plain_scenes,
)
from fakevoice.scenes.draw import draw_scenes as draw_some

N_FOLDS, N_SCENES = 3, 1500


def table_of_clips() -> pd.DataFrame:
    """Per fold and class: one group of 20 clips, two of 2, durations from 0.3 to 5 s."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{label}{fold}{group}{i}", f"{label}-g{fold}{group}", label, fold, rng.uniform(0.3, 5.0))
        for fold in range(N_FOLDS)
        for label in ("fake", "real")
        for group, size in enumerate((20, 2, 2))
        for i in range(size)
    ]
    return pd.DataFrame(rows, columns=["id", "group", "label", "fold", "duration_s"])


def config_with(*words: str):
    everything = ["scenes.codecs=[]", "scenes.gate_probability=0.15"]  # the demo draws less
    return load_config("demo", [f"scenes.n_scenes={N_SCENES}", f"folds.n_folds={N_FOLDS}", *everything, *words])


def draw_scenes(clips: pd.DataFrame, noises: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw_some(clips, noises, config, config.scenes.n_scenes)


KINDS = ["mined", "mined", "mined", "hum", "rain"]
NOISES = pd.DataFrame(
    {"segment": range(15), "kind": [KINDS[i // N_FOLDS] for i in range(15)], "fold": [i % N_FOLDS for i in range(15)]}
)


@pytest.fixture(scope="module")
def clips() -> pd.DataFrame:
    return table_of_clips()


@pytest.fixture(scope="module")
def drawn(clips) -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw_scenes(clips, NOISES, config_with())


def with_clips(voices: pd.DataFrame, scenes: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    both = voices.merge(scenes[["scene", "fold", "state"]], on="scene", validate="m:1")
    return both.merge(clips.rename(columns={"id": "clip"}), on="clip", suffixes=("", "_clip"), validate="m:1")


def test_every_voice_comes_from_the_fold_of_its_scene(drawn, clips):
    joined = with_clips(drawn[1], drawn[0], clips)
    assert len(joined) == len(drawn[1])
    assert (joined["fold"] == joined["fold_clip"]).all()
    assert (joined["group"] == joined["group_clip"]).all()


def test_every_noise_comes_from_the_fold_of_its_scene(drawn):
    scenes = drawn[0]
    for column in ("noise", "event"):
        noisy = scenes[scenes[column] != ""]
        kind, segment = noisy[column].str.split(":", expand=True).to_numpy().T
        assert pd.Series(kind).value_counts().min() > 50 and set(kind) == set(KINDS)
        assert (segment.astype(int) % N_FOLDS == noisy["fold"]).all()
        assert [KINDS[int(number) // N_FOLDS] for number in segment] == kind.tolist()


def test_folds_are_of_equal_size(drawn):
    assert drawn[0]["fold"].value_counts().to_dict() == dict.fromkeys(range(N_FOLDS), N_SCENES // N_FOLDS)


def test_states_follow_their_prior(clips):
    uneven = {"none": 0.4, "real": 0.3, "fake": 0.05, "real+real": 0.1, "fake+fake": 0.1, "real+fake": 0.05}
    scenes, _ = draw_scenes(clips, NOISES, config_with(*(f"scenes.states.{k}={v}" for k, v in uneven.items())))
    expected = pd.Series(uneven) * N_SCENES
    counts = scenes["state"].value_counts().reindex(expected.index, fill_value=0)
    assert ((counts - expected) ** 2 / expected).sum() < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


def test_voices_are_what_the_state_says(drawn):
    scenes, voices = drawn
    heard = voices.groupby(["scene", "slot"])["label"].first().groupby("scene").apply("+".join)
    state = scenes.set_index("scene")["state"]
    assert (heard == state[state != "none"]).all()
    assert set(state.index) - set(heard.index) == set(state[state == "none"].index)


def test_a_resynthesised_voice_is_a_real_one_of_the_same_fold_called_fake(drawn, clips):
    joined = with_clips(drawn[1], drawn[0], clips)
    copied = joined["vocoder"] != ""
    assert (joined.loc[copied, "label"] == "fake").all() and (joined.loc[copied, "label_clip"] == "real").all()
    assert (joined.loc[copied, "fold"] == joined.loc[copied, "fold_clip"]).all()
    assert (joined.loc[~copied, "label"] == joined.loc[~copied, "label_clip"]).all()
    share = copied[joined["label"] == "fake"].mean()
    assert share == pytest.approx(config_with().scenes.resynthesis_probability, abs=0.06)


def test_groups_are_drawn_evenly_however_large(clips):
    _, voices = draw_scenes(clips, NOISES, config_with("scenes.group_exponent=0"))
    voices = voices.drop_duplicates(["scene", "slot"])
    share = voices.loc[voices["label"] == "real", "group"].value_counts(normalize=True)
    assert len(share) == 3 * N_FOLDS
    assert share.between(0.6 / len(share), 1.4 / len(share)).all()  # by clips, the large ones would have 0.28


@pytest.mark.parametrize(("exponent", "large"), [(0, 1 / 3), (0.5, 20**0.5 / (20**0.5 + 2 * 2**0.5)), (1, 20 / 24)])
def test_large_groups_are_heard_as_the_exponent_says(clips, exponent, large):
    _, voices = draw_scenes(clips, NOISES, config_with(f"scenes.group_exponent={exponent}"))
    is_large = voices.drop_duplicates(["scene", "slot"])["group"].str.endswith("0")  # 20 of the 24 clips of its class
    assert is_large.mean() == pytest.approx(large, abs=0.04)


def test_chances_of_groups():
    assert group_chances([1, 4, 16], 0.0) == pytest.approx([1 / 3] * 3)
    assert group_chances([1, 4, 16], 0.5) == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert group_chances([1, 4, 16], 1.0) == pytest.approx([1 / 21, 4 / 21, 16 / 21])


def test_pieces_of_a_voice_share_a_group_and_settings(drawn):
    shared = [column for column in VOICE_COLUMNS if column not in ("part", "clip")]
    per_voice = drawn[1].groupby(["scene", "slot"])
    assert (per_voice[shared].nunique(dropna=False) == 1).all(axis=None)
    assert (per_voice["clip"].nunique() == per_voice.size()).all()


def test_voices_lie_inside_the_clip(drawn):
    voices, clip_s = drawn[1], config_with().clip_duration_s
    assert (voices["offset_s"] >= 0).all() and (voices["duration_s"] >= MIN_VOICE_S - 1e-3).all()
    assert (voices["offset_s"] + voices["duration_s"] <= clip_s + 2e-3).all()
    assert voices["start"].between(0, 1).all()


def test_voices_lie_inside_a_clip_shorter_than_the_shortest_voice(clips):
    _, voices = draw_scenes(clips, NOISES, config_with("scenes.n_scenes=60", "clip_duration_s=1"))
    assert (voices["offset_s"] >= 0).all() and (voices["offset_s"] + voices["duration_s"] <= 1.002).all()


def test_lengths_do_not_tell_the_class(drawn):
    voices = drawn[1].drop_duplicates(["scene", "slot"])
    for column in ("duration_s", "offset_s", "gain_db", "rt60_s", "band_limit_hz"):
        mean, spread = voices.groupby("label")[column].mean(), voices[column].std()
        assert abs(mean["fake"] - mean["real"]) < 0.15 * spread


def test_values_stay_in_their_ranges(drawn):
    (scenes, voices), law = drawn, config_with().scenes
    assert scenes["snr_db"].dropna().between(*law.snr_db).all()
    assert scenes["level_dbfs"].between(*law.level_dbfs).all()
    assert voices["gain_db"].between(*VOICE_GAIN_DB).all()
    assert voices.loc[voices["rt60_s"] > 0, "rt60_s"].between(*RT60_S).all()
    assert voices.loc[voices["band_limit_hz"] > 0, "band_limit_hz"].between(*law.band_limit_hz).all()
    assert set(scenes["codec"]) == {"", *CODECS}
    assert scenes["clipped"].between(0, 0.02).all()
    limited = scenes["noise_band_limit_hz"]
    assert limited[limited > 0].between(*law.band_limit_hz).all()
    assert scenes["noise_active"].between(0.2, 1.0).all()
    assert scenes["noise_period_s"].between(1.0, 2 * config_with().clip_duration_s).all()


@pytest.mark.parametrize(
    ("column", "normal", "key"),
    [
        ("noise_active", 1.0, "gate_probability"),
        ("noise_band_limit_hz", 0, "noise_band_limit_probability"),
        ("event", "", "event_probability"),
        ("codec", "", "codec_probability"),
    ],
)
def test_conditions_are_as_frequent_as_configured(clips, drawn, column, normal, key):
    asked = getattr(config_with().scenes, key)
    assert (drawn[0][column] != normal).mean() == pytest.approx(asked, abs=0.04)
    for probability in (0, 1):
        scenes, _ = draw_scenes(clips, NOISES, config_with("scenes.n_scenes=60", f"scenes.{key}={probability}"))
        assert ((scenes[column] != normal) == bool(probability)).all()


def test_scenes_without_a_voice_always_have_noise(drawn):
    silent = drawn[0][drawn[0]["state"] == "none"]
    assert (silent["noise"] != "").all() and silent["snr_db"].isna().all()


def test_same_seed_same_tables_other_seed_others(clips, drawn):
    again = draw_scenes(clips, NOISES, config_with())
    for ours, theirs in zip(drawn, again, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
    other = draw_scenes(clips, NOISES, config_with("seed=1"))
    assert (other[0]["state"] != drawn[0]["state"]).any()


def test_clips_of_other_folds_do_not_matter(clips, drawn):
    reordered = pd.concat([clips[clips["fold"] == 0], clips[clips["fold"] != 0].sample(frac=1, random_state=0)])
    scenes, voices = draw_scenes(reordered[reordered["id"] != "real111"], NOISES, config_with())
    of_fold_0 = drawn[0]["scene"][drawn[0]["fold"] == 0]
    for ours, theirs in ((drawn[0], scenes), (drawn[1], voices)):
        ours, theirs = (t[t["scene"].isin(of_fold_0)].reset_index(drop=True) for t in (ours, theirs))
        pd.testing.assert_frame_equal(ours, theirs)


def test_more_scenes_keep_the_first_ones(clips, drawn):
    fewer = draw_some(clips, NOISES, config_with(), 30)
    pd.testing.assert_frame_equal(fewer[0], drawn[0].head(30))
    pd.testing.assert_frame_equal(fewer[1], drawn[1].head(len(fewer[1])))


@pytest.mark.parametrize("label", ["fake", "real"])
def test_a_fold_without_a_class_is_an_error(clips, label):
    lacking = clips[~((clips["fold"] == 1) & (clips["label"] == label))]
    with pytest.raises(FoldsError, match=f"fold 1 has no clip of class '{label}'"):
        draw_scenes(lacking, NOISES, config_with())


def test_without_mined_noises_all_are_made(clips):
    made = NOISES[NOISES["kind"] != "mined"]
    scenes, _ = draw_scenes(clips, made, config_with("scenes.n_scenes=90", "scenes.mined_noise_probability=1"))
    assert set(scenes["noise"].str.partition(":")[0]) == {"", "hum", "rain"}


def test_mined_noises_are_heard_as_often_as_asked(clips):
    scenes, _ = draw_scenes(clips, NOISES, config_with("scenes.mined_noise_probability=0.2"))
    noisy = scenes.loc[scenes["noise"] != "", "noise"]
    assert noisy.str.startswith("mined:").mean() == pytest.approx(0.2, abs=0.04)


def test_vocoders_can_be_chosen(clips):
    _, voices = draw_scenes(clips, NOISES, config_with("scenes.n_scenes=90", "scenes.vocoders=[lpc]"))
    assert set(voices["vocoder"]) == {"", "lpc"}


def test_copies_have_the_label_that_the_config_gives_them(clips):
    _, voices = draw_scenes(clips, NOISES, config_with("scenes.resynthesis={real: real, fake: fake}"))
    copied = voices[voices["vocoder"] != ""]
    assert set(copied["label"]) == {"real", "fake"}
    assert (copied["clip"].str.startswith("real") == (copied["label"] == "real")).all()


def test_copies_may_go_through_codecs(clips):
    words = ["scenes.vocoders=[lpc]", "scenes.resynthesis_codecs=[gsm]"]
    _, voices = draw_scenes(clips, NOISES, config_with(*words))
    assert set(voices["vocoder"]) == {"", "lpc", "gsm"}


@pytest.mark.parametrize("probability", [0, 1])
def test_voices_one_after_the_other(clips, probability):
    _, voices = draw_scenes(clips, NOISES, config_with(f"scenes.sequence_probability={probability}"))
    slots = voices.drop_duplicates(["scene", "slot"]).sort_values(["scene", "offset_s"])
    following = slots[slots["scene"] == slots["scene"].shift(-1)]
    next_offset_s = slots.groupby("scene")["offset_s"].shift(-1).loc[following.index]
    overlaps = following["offset_s"] + following["duration_s"] > next_offset_s + 0.002  # rounded to milliseconds
    assert not overlaps.any() if probability else overlaps.mean() > 0.5
    if probability:
        together = slots[slots.duplicated("scene", keep=False)]
        assert together["duration_s"].min() > 5.0 / 4.1  # of clips of 5 s, split 1 to 3 at most
        first = together.drop_duplicates("scene")
        assert set(first.loc[first["scene"].isin(together["scene"]), "slot"]) == {0, 1}  # in either order


def test_files_are_long_scenes_of_one_fold(clips):
    config = config_with("files.n_files=300", "files.duration_s=[4,40]")
    files, voices = draw_files(clips, NOISES, config)
    assert len(files) == 300 and files["scene"].is_unique and files["duration_s"].between(4, 40).all()
    assert (files["duration_s"] < np.sqrt(4 * 40)).mean() == pytest.approx(0.5, abs=0.1)  # uniform logarithm
    both = with_clips(voices, files, clips)
    assert (both["fold"] == both["fold_clip"]).all()
    ends_s = voices["offset_s"] + voices["duration_s"]
    assert (ends_s <= voices["scene"].map(files.set_index("scene")["duration_s"]) + 0.002).all()
    assert ends_s.max() > 20
    assert not set(files["seed"]) & set(range(config.scenes.n_scenes))
    more, _ = draw_files(clips, NOISES, config_with("files.n_files=310", "files.duration_s=[4,40]"))
    pd.testing.assert_frame_equal(more[:300], files)


def test_recorded_noises_are_heard_as_mined_ones_are(clips):
    noises = NOISES.assign(kind=NOISES["kind"].replace("mined", "recorded"))
    scenes, _ = draw_scenes(clips, noises, config_with("scenes.mined_noise_probability=0.6"))
    share = scenes.loc[scenes["noise"] != "", "noise"].str.startswith("recorded").mean()
    assert share == pytest.approx(0.6, abs=0.05)


def test_codecs_can_be_chosen(clips):
    scenes, _ = draw_scenes(clips, NOISES, config_with("scenes.n_scenes=90", "scenes.codecs=[mp3,gsm]"))
    assert set(scenes["codec"]) == {"", "mp3", "gsm"}


def test_plain_scenes_are_the_clips(clips):
    scenes, voices = plain_scenes(clips.set_index(clips.index + 7))
    assert list(scenes) == SCENE_COLUMNS and list(voices) == VOICE_COLUMNS
    assert len(scenes) == len(voices) == len(clips) and scenes["scene"].is_unique
    assert voices["scene"].tolist() == scenes["scene"].tolist()
    assert voices["clip"].tolist() == clips["id"].tolist()
    assert scenes["state"].tolist() == voices["label"].tolist() == clips["label"].tolist()
    assert scenes["fold"].tolist() == clips["fold"].tolist()
