"""The classifier finds planted differences, and the right condition explains them."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.analysis import separation
from fakevoice.core.config import load_config
from fakevoice.scenes.draw import draw_scenes

N_FOLDS, RATE = 2, 16_000
EVERYTHING = ["scenes.codecs=[]", "scenes.gate_probability=0.15"]  # the demo draws less
CONFIG = load_config("demo", ["scenes.n_scenes=1200", f"folds.n_folds={N_FOLDS}", *EVERYTHING])


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [(f"{label}{fold}{i}", f"{label}{fold}{i}", label, fold, 4.0)
            for fold in range(N_FOLDS) for label in ("fake", "real") for i in range(3)]  # fmt: skip
    clips = pd.DataFrame(rows, columns=["id", "group", "label", "fold", "duration_s"]).assign(weight=1.0)
    noises = pd.DataFrame({"segment": range(8), "kind": ["mined"] * 4 + ["hum"] * 2 + ["rain"] * 2, "fold": [0, 1] * 4})
    return draw_scenes(clips, noises, CONFIG, CONFIG.scenes.n_scenes)


@pytest.fixture(scope="module")
def table(tables) -> pd.DataFrame:
    return separation.conditions(*tables)


def columns_of(n_rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Twelve columns of noise; half of them are shifted, since each tree looks at some alone."""
    columns = np.random.default_rng(seed).standard_normal((n_rows, 12)).astype(np.float32)
    columns[:, ::2] += shift
    return columns


def told_apart(scene_columns: np.ndarray, unlabeled: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of scenes and of unlabeled clips."""
    is_unlabeled = np.repeat([False, True], [len(scene_columns), len(unlabeled)])
    fold = np.concatenate([np.arange(len(scene_columns)), np.arange(len(unlabeled))]) % 5
    log_odds = separation.held_out_log_odds(np.concatenate([scene_columns, unlabeled]), is_unlabeled, fold, seed)
    return log_odds[~is_unlabeled], log_odds[is_unlabeled]


def auc_of(zeros: np.ndarray, ones: np.ndarray) -> float:
    return (ones[:, None] > zeros).mean()


def test_planted_differences_are_found():
    scenes, clips = told_apart(columns_of(300, 0), columns_of(100, 1, shift=4.0))
    assert auc_of(scenes, clips) > 0.98
    assert scenes.shape == (300,) and scenes.dtype == np.float64 and np.median(scenes) < -2


def test_where_nothing_differs_nothing_is_told_apart():
    scenes, clips = told_apart(columns_of(300, 0), columns_of(100, 1))
    assert abs(auc_of(scenes, clips) - 0.5) < 0.08  # rows of its own fit would be told apart
    assert abs(np.median(scenes)) < 1


def test_a_small_difference_is_found_as_well_as_it_can_be():
    difference = 2 * (np.arange(6) == 2)
    rng = np.random.default_rng(3)
    scenes, clips = told_apart(rng.normal(size=(530, 6)), rng.normal(size=(270, 6)) + difference)
    assert 0.8 < auc_of(scenes, clips) < 0.95  # at best 0.921: Phi(sqrt(2))


def test_rows_of_a_fold_are_asked_about_together():
    rng = np.random.default_rng(3)
    source = np.arange(800) // 8  # eight copies of each, all in one fold: a model that saw one knows the others
    is_unlabeled = (rng.random(100) < 0.5)[source]
    columns = rng.normal(size=(100, 6)).astype(np.float32)[source]
    together, apart = (
        separation.held_out_log_odds(columns, is_unlabeled, fold % 4, 0) for fold in (source, np.arange(800))
    )
    assert auc_of(together[~is_unlabeled], together[is_unlabeled]) < 0.65
    assert auc_of(apart[~is_unlabeled], apart[is_unlabeled]) > 0.9


def test_scenes_that_sound_like_unlabeled_clips_score_higher():
    scene_columns = np.concatenate([columns_of(200, 0), columns_of(100, 2, shift=4.0)])
    scenes, _ = told_apart(scene_columns, columns_of(100, 1, shift=4.0))
    assert np.median(scenes[200:]) > np.median(scenes[:200]) + 2


def test_same_seed_same_log_odds_other_seed_others():
    first, second, other = (told_apart(columns_of(80, 0), columns_of(40, 1), seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_conditions_say_what_was_drawn(tables, table):
    scenes, voices = tables
    assert len(table) == len(scenes) and table.index.tolist() == list(range(len(scenes)))
    assert table["noise"].tolist() == [noise.split(":")[0] for noise in scenes["noise"]]
    assert set(table["noise"]) == {"", "mined", "hum", "rain"}
    assert table["codec"].tolist() == scenes["codec"].tolist()
    loud = scenes["level_dbfs"] > -19
    assert (table.loc[loud, "level_dbfs"] == "(-19.0, inf]").all() and loud.any()
    heard_s = voices.drop_duplicates(["scene", "slot"]).groupby("scene")["duration_s"].sum().reindex(scenes["scene"])
    assert (table["voices_s"] == "(8.0, inf]").tolist() == (heard_s > 8).tolist()


def test_scenes_without_voices_noise_or_event(tables, table):
    scenes, _ = tables
    silent, quiet = (scenes["state"] == "none").to_numpy(), (scenes["noise"] == "").to_numpy()
    no_event = (scenes["event"] == "").to_numpy()
    assert silent.any() and quiet.any() and no_event.any()
    assert (table.loc[silent, "voices_s"] == "(-1.0, 0.0]").all() and (
        table.loc[~silent, "voices_s"] != "(-1.0, 0.0]"
    ).all()
    assert table.loc[silent, ["snr_db", "rt60_s", "band_limit_hz", "low_cut_hz", "equalizer_db"]].isna().all(axis=None)
    assert table.loc[~silent, ["rt60_s", "band_limit_hz", "low_cut_hz", "equalizer_db"]].notna().all(axis=None)
    assert ((table[["noise_band_limit_hz", "noise_active"]] == "no noise").all(axis=1) == quiet).all()
    assert ((table["event_db"] == "no event") == no_event).all()


def test_every_drawn_value_has_a_bin(tables, table):
    scenes, _ = tables
    voiced, noisy = scenes["state"] != "none", scenes["noise"] != ""
    assert table.drop(columns="snr_db")[voiced.to_numpy()].notna().all(axis=None)
    assert table.loc[(voiced & noisy).to_numpy(), "snr_db"].notna().all()
    assert {"noise_active", "noise_band_limit_hz", "clipped", "rt60_s"} <= set(table) and table.shape[1] == len(
        separation.BINS
    ) + 3


def test_the_planted_condition_gets_the_largest_weight(tables, table):
    log_odds = np.random.default_rng(0).normal(-2, 0.5, len(table)) + 3 * (table["codec"] == "gsm").to_numpy()
    explained = separation.explain(table, tables[0]["state"], log_odds)
    assert explained.idxmax() == "codec=gsm" and explained.max() > 1.0
    assert explained.drop("codec=gsm").max() < 0.4 * explained.max()


def test_what_a_state_sounds_like_weighs_nothing(tables, table):
    is_two = tables[0]["state"].str.contains("+", regex=False).to_numpy()
    explained = separation.explain(table, tables[0]["state"], np.where(is_two, 3.0, -3.0))
    assert explained.abs().max() < 1e-9  # two voices last longer, and are not to become frequent for it
    unaware = separation.explain(table, pd.Series("any", index=tables[0].index), np.where(is_two, 3.0, -3.0))
    assert unaware.abs().max() > 1.0


def test_one_sure_scene_is_no_more_than_a_likely_one(tables, table):
    odds = np.where(table["codec"] == "gsm", 2 * separation.MAX_LOG_ODDS, 0.0)
    sure, surer = (separation.explain(table, tables[0]["state"], k * odds) for k in (1, 100))
    pd.testing.assert_series_equal(sure, surer)


def test_a_condition_seen_once_is_hardly_believed():
    table = pd.DataFrame({"codec": ["rare"] + ["frequent", "other"] * 100})
    state, log_odds = pd.Series("real", index=table.index), np.array([4.0] + [4.0, -4.0] * 100)
    explained = separation.explain(table, state, log_odds)
    assert 0 < explained["codec=rare"] < 0.2 and explained["codec=frequent"] > 1.0
