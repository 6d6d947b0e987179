"""What facts about files tell of their labels: known strengths, leaking groups, degenerate tables, the verdict."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.core.config import Config
from fakevoice.core.config_sections import Scenes
from fakevoice.core.tables import read_table
from fakevoice.data.shortcuts import (
    FACTS,
    LEAST_WEIGHT,
    REMEDIES,
    describe_shortcuts,
    measure_shortcuts,
    overlap_weights,
    scene_weights,
)
from fakevoice.pipeline.stages import folds as folds_stage

N_FOLDS, PER_GROUP = 4, 5
NAMES = [*FACTS, "spectrum", "all"]


def clips_of(labels: list[str], **facts) -> pd.DataFrame:
    """Five clips of each group; a label per group, facts per clip, constant where not given."""
    group = np.repeat(np.arange(len(labels)), PER_GROUP)
    table = pd.DataFrame({column: np.ones(len(group)) for columns in FACTS.values() for column in columns} | facts)
    return table.assign(label=np.array(labels)[group], group=[f"g{g:03d}" for g in group], fold=group // 2 % N_FOLDS)


def measured(clips: pd.DataFrame, fingerprints: np.ndarray | None = None, seed: int = 0) -> pd.DataFrame:
    table = measure_shortcuts(clips, np.zeros((len(clips), 80)) if fingerprints is None else fingerprints, seed)
    return table.set_index("shortcut")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def two_labels() -> list[str]:
    return ["fake", "real"] * 40


def test_a_fact_that_gives_the_label_away(two_labels, rng):
    clips = clips_of(two_labels, level_dbfs=rng.normal(-25, 5, 400))
    table = measured(clips.assign(duration_s=np.where(clips["label"] == "fake", 5.0, 3.0)))
    assert table.index.tolist() == NAMES and set(table["label"]) == {"fake"}
    assert table.loc["length", "auc"] == table.loc["all", "auc"] == 1.0
    assert 0.4 < table.loc["level", "auc"] < 0.6


def test_a_difference_of_known_size(two_labels, rng):
    clips = clips_of(two_labels * 5)
    shifted = rng.normal(0, 1, len(clips)) + (clips["label"] == "real")
    row = measured(clips.assign(noise_floor_db=shifted)).loc["noise floor"]
    assert row["auc"] == pytest.approx(0.760, abs=0.03)  # Phi(1 / sqrt(2))
    assert row["low"] < row["auc"] < row["high"] and row["high"] - row["low"] < 0.1


def test_constant_facts_tell_nothing_whatever_the_shares_of_the_folds(two_labels):
    clips = clips_of([*two_labels, *["real"] * 37])
    assert len({(part == "fake").mean() for _, part in clips.groupby("fold")["label"]}) > 1
    table = measured(clips)
    assert (table[["auc", "low", "high", "auc_random_split"]] == 0.5).all(axis=None)


def test_a_random_split_pretends_what_groups_leak(two_labels, rng):
    own = np.repeat(rng.normal(-25, 5, 80), PER_GROUP)  # each group has its own level, which says nothing of others
    table = measured(clips_of(two_labels, level_dbfs=own))
    assert table.loc["level", "auc"] < 0.6 < 0.75 < table.loc["level", "auc_random_split"]


def test_the_interval_is_of_groups(two_labels, rng):
    clips = clips_of(two_labels, peak=np.repeat(rng.normal(0, 1, 80), PER_GROUP))
    clips["peak"] += clips["label"] == "real"
    whole = measured(clips).loc["peak"]
    single = measured(clips.assign(group=np.arange(len(clips)))).loc["peak"]
    assert single["auc"] == whole["auc"]
    assert whole["high"] - whole["low"] > 1.5 * (single["high"] - single["low"])


def test_spectrum_is_the_mean_of_the_bands_alone(two_labels, rng):
    clips = clips_of(two_labels)
    tilted = rng.normal(0, 1, (len(clips), 80)).astype(np.float32)
    tilted[:, 7] += 3 * (clips["label"] == "fake")
    assert measured(clips, tilted).loc["spectrum", "auc"] > 0.9
    assert measured(clips, np.roll(tilted, 40, axis=1)).loc["spectrum", "auc"] < 0.65


def test_three_labels_each_against_the_others(rng):
    clips = clips_of(["low", "mid", "high"] * 30, silence_fraction=rng.random(450))
    table = measured(clips.assign(bandwidth_hz=np.where(clips["label"] == "mid", 4000.0, 8000.0))).reset_index()
    assert len(table) == 3 * len(NAMES)
    of = table.set_index(["shortcut", "label"])["auc"]
    assert of["bandwidth", "mid"] == 1.0 and 0.6 < of["bandwidth", "low"] < 0.9
    text = describe_shortcuts(table)
    assert len(text.splitlines()) <= 2 + len(NAMES) + 1 and "bandwidth 1.00" in text


def test_same_seed_same_table(two_labels, rng):
    clips = clips_of(two_labels, duration_s=rng.random(400), level_dbfs=rng.random(400))
    pd.testing.assert_frame_equal(measured(clips), measured(clips))
    assert not measured(clips, seed=1)["auc_random_split"].equals(measured(clips)["auc_random_split"])


def test_missing_facts_are_a_fact(two_labels, rng):
    clips = clips_of(two_labels, level_dbfs=np.nan, peak=rng.random(400))
    table = measured(clips.assign(duration_s=np.where(clips["label"] == "fake", np.nan, 3.0)))
    assert table.loc["level", "auc"] == 0.5 and table.loc["length", "auc"] == 1.0


@pytest.mark.parametrize("labels", [["fake", "real"], ["fake"], ["fake", "real", "real"], ["a", "b", "c", "d"] * 2])
def test_few_groups(labels, rng):
    clips = clips_of(labels, duration_s=rng.random(len(labels) * PER_GROUP))
    table = measured(clips)
    assert table[["low", "high"]].isna().all(axis=None)
    assert table["auc"].isna().all() == (len(labels) == 1)
    assert describe_shortcuts(table.reset_index())


def verdict(**auc) -> list[str]:
    table = pd.DataFrame({"shortcut": NAMES, "label": "fake", "low": 0.4, "high": 0.9, "auc_random_split": 0.9})
    table["auc"] = [auc.get(name, 0.5) for name in NAMES]
    return describe_shortcuts(table).splitlines()[1 + len(NAMES) :]


def test_verdict_names_the_strong_ones_and_their_remedy_strongest_first():
    head, *lines = verdict(length=0.6, level=0.599, spectrum=0.85, all=0.9)
    assert "together 0.90" in head
    assert [line.split(":")[0].strip() for line in lines] == ["spectrum 0.85", "length 0.60"]
    assert all(REMEDIES[name] in line for name, line in zip(("spectrum", "length"), lines, strict=True))


def test_verdict_of_nothing_strong():
    (line,) = verdict(all=0.7)
    assert line.startswith("no shortcut alone is strong") and "together 0.70" in line


def test_every_shortcut_has_a_remedy_and_the_config_has_its_keys():
    assert list(REMEDIES) == NAMES[:-1]
    keys = [word.strip(",;") for text in REMEDIES.values() for word in text.split() if "_" in word]
    assert keys and all(
        key.removeprefix("scenes.") in (Scenes if key.startswith("scenes.") else Config).model_fields for key in keys
    )


def test_the_stage_measures_the_clips_in_their_order(damageable, capsys):
    path, places = damageable.paths.stage("folds") / "shortcuts.csv", damageable.paths
    table = read_table(path, ("shortcut", "label"))
    assert table["shortcut"].tolist() == NAMES and set(table["label"]) == {"fake"}
    rows = pd.read_csv(places.folds_csv, dtype=str)
    rows.sample(frac=1, random_state=0).to_csv(places.folds_csv, index=False)  # a user may sort it by any column
    assert folds_stage.run(damageable.config, places) == [
        places.stage("folds") / f"{name}.csv" for name in ("folds", "shortcuts")
    ]
    pd.testing.assert_frame_equal(read_table(path, ("shortcut", "label")), table)
    assert "groups never seen" in capsys.readouterr().out


def crowd_and_studio(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Reals are mostly recorded by a crowd and fakes in a studio; a fifth of each is the other way round."""
    labels = ["fake", "real"] * 100
    studio = (np.array(labels) == "fake") ^ (np.arange(200) % 10 < 2)
    clips = clips_of(labels)
    is_studio = np.repeat(studio, PER_GROUP)
    return clips.assign(studio=is_studio), rng.normal(0, 0.3, (len(clips), 80)) + is_studio[:, None]


def test_with_overlap_weights_the_channel_tells_nothing(rng):
    clips, fingerprints = crowd_and_studio(rng)
    table = overlap_weights(clips, fingerprints, exponent=0.0, seed=0)
    fake = (clips["label"] == "fake").to_numpy()
    weight = np.where(fake, table["fake"], table["real"])
    share = [np.average(clips["studio"][rows], weights=weight[rows]) for rows in (fake, ~fake)]
    assert clips["studio"][fake].mean() == pytest.approx(0.8) and clips["studio"][~fake].mean() == pytest.approx(0.2)
    assert share == pytest.approx([0.5, 0.5], abs=0.06)


def test_overlap_weights_balance_clips_as_they_are_heard(rng):
    """One large group of fakes from the studio: by clip most fakes are from there, by group few."""
    n_large = 300
    small = pd.DataFrame({"group": [f"g{i}" for i in range(160)], "label": ["fake", "real"] * 80})
    large = pd.DataFrame({"group": ["large"] * n_large, "label": "fake"})
    clips = pd.concat([small, large], ignore_index=True)
    tenth = np.arange(len(clips)) // 2 % 10
    studio = (tenth < np.where(clips["label"] == "fake", 2, 5)) | (clips["group"] == "large")
    clips = clips.assign(noise_floor_db=np.nan, bandwidth_hz=np.nan)
    fingerprints = rng.normal(0, 0.3, (len(clips), 80)) + studio.to_numpy()[:, None]
    others = studio & (clips["group"] != "large")
    mean = {e: overlap_weights(clips, fingerprints, exponent=e, seed=0)["real"][others].mean() for e in (0.0, 1.0)}
    # What a real clip of the studio weighs is how likely a fake is there: .2 of the fakes and .5 of the reals are,
    # or .83 of the fakes. Models that overfit a little are a little surer than .29 and .62.
    assert 0.2 < mean[0.0] < 0.4 and 0.55 < mean[1.0] < 0.8


def test_overlap_weights_are_of_groups_and_do_not_vanish(rng):
    clips, fingerprints = crowd_and_studio(rng)
    certain = fingerprints + 9 * (clips["label"] == "fake").to_numpy()[:, None]
    for values in (fingerprints, certain, np.zeros_like(fingerprints)):
        table = overlap_weights(clips, values, exponent=0.0, seed=0)
        assert table.min(axis=None) >= LEAST_WEIGHT and table.max(axis=None) <= 1
        assert (table.groupby(clips["group"]).nunique() == 1).all(axis=None)
    assert table.sub(0.5).abs().max(axis=None) < 0.1  # nothing known: all alike
    pd.testing.assert_frame_equal(overlap_weights(clips, values, 0.0, 0), table)


def test_scenes_weigh_what_their_voices_weigh_within_each_state():
    scenes = pd.DataFrame({"scene": ["a", "b", "c", "d"], "state": ["real", "real", "real+fake", "none"]})
    rows = [("a", 0, "x", "real"), ("a", 0, "y", "real"), ("b", 0, "z", "real")]
    rows += [("c", 0, "x", "real"), ("c", 1, "z", "fake")]
    voices = pd.DataFrame(rows, columns=["scene", "slot", "clip", "label"])
    weights = pd.DataFrame({"fake": [0.9, 0.9, 0.25], "real": [0.1, 0.1, 0.3]}, index=["x", "y", "z"])
    assert scene_weights(scenes, voices, weights).tolist() == pytest.approx([0.5, 1.5, 1.0, 1.0])
