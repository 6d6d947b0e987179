"""The stacker: columns known by name, models kept as text, out-of-fold rows held against the folds."""

import numpy as np
import pytest

from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Stacker
from fakevoice.core.errors import ArtifactError, ConfigError, LeakError
from fakevoice.data.leakage import check_oof
from fakevoice.ensemble.stacker import (
    column_names,
    fit_fold,
    fitted_names,
    load_boosters,
    predict_logits,
    save_boosters,
)

SETTINGS = Stacker(n_rounds=15, min_rows_per_leaf=5, feature_fraction=1.0)
NAMES = ["mel_00_mean", "mel_01_mean", "logit_mel_fake", "logit_mel_real"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (240, 2)).astype(np.float32)
    columns = rng.normal(size=(240, 4)).astype(np.float32)
    columns[:, 2:] += 2 * target
    return columns, target, np.arange(240) % 3


@pytest.fixture(scope="module")
def boosters(rows):
    return fit_fold(rows[0], NAMES, rows[1], rows[2], 0, SETTINGS, seed=0)


def test_one_model_per_output_learns_its_own_output(rows, boosters):
    columns, target, fold = rows
    logits = predict_logits(boosters, columns, NAMES)
    assert logits.shape == target.shape
    held_out = fold == 0
    right = (logits[held_out] > 0) == target[held_out]
    assert right.mean(axis=0).min() > 0.75


def test_reordered_columns_give_the_same_logits(rows, boosters):
    order = [3, 0, 2, 1]
    expected = predict_logits(boosters, rows[0], NAMES)
    assert np.array_equal(predict_logits(boosters, rows[0][:, order], [NAMES[i] for i in order]), expected)


def test_foreign_columns_are_left_aside(rows, boosters):
    more = np.concatenate([np.full((240, 1), 7.0), rows[0]], axis=1)
    assert np.array_equal(predict_logits(boosters, more, ["new", *NAMES]), predict_logits(boosters, rows[0], NAMES))


def test_an_output_is_learned_as_if_it_were_alone(rows, boosters):
    columns, target, fold = rows
    for output, together in enumerate(boosters):
        (alone,) = fit_fold(columns, NAMES, target[:, [output]], fold, 0, SETTINGS, seed=0)
        assert alone.model_to_string() == together.model_to_string()


def thresholds(rows, **settings) -> set[tuple[str, float]]:
    """Where the trees of the first output divide which column."""
    fitted = fit_fold(rows[0], NAMES, rows[1], rows[2], 0, SETTINGS.model_copy(update=settings), seed=0)
    trees = fitted[0].trees_to_dataframe()
    return set(trees.loc[trees["split_feature"].notna(), ["split_feature", "threshold"]].itertuples(index=False))


def test_extra_trees_draw_their_thresholds(rows):
    searched, drawn = thresholds(rows), thresholds(rows, extra_trees=True)
    assert len(drawn - searched) > len(drawn) / 2
    columns, target, fold = rows
    boosters = fit_fold(columns, NAMES, target, fold, 0, SETTINGS.model_copy(update={"extra_trees": True}), seed=0)
    right = (predict_logits(boosters, columns[fold == 0], NAMES) > 0) == target[fold == 0]
    assert right.mean(axis=0).min() > 0.75


def test_no_column_is_divided_more_finely_than_asked_for(rows):
    of_columns = [column for column, _ in thresholds(rows, n_bins=4)]
    assert max(map(of_columns.count, of_columns)) <= 3 < len(thresholds(rows)) / len(NAMES)


def test_ignored_columns_change_nothing(rows):
    columns, target, fold = rows
    settings = SETTINGS.model_copy(update={"ignored": ["mel_*_mean"]})
    first = fit_fold(columns, NAMES, target, fold, 0, settings, seed=0)
    assert first[0].feature_name() == NAMES[2:]
    moved = columns + np.array([9, -9, 0, 0], np.float32)
    second = fit_fold(moved, NAMES, target, fold, 0, settings, seed=0)
    assert np.array_equal(predict_logits(first, columns, NAMES), predict_logits(second, moved, NAMES))


def test_something_must_be_left_to_learn_from():
    assert fitted_names(NAMES, ["mel_00_*", "mfcc_*"]) == NAMES[1:]  # a config may have no MFCC
    with pytest.raises(ConfigError, match="no column is left"):
        fitted_names(NAMES, ["*"])


def test_names_of_classes_are_in_no_column():
    config = load_config("demo").model_copy(update={"classes": ["a,b", "{c}"]})
    assert column_names(config)[-4:] == ["logit_mel_0", "logit_mel_1", "logit_mfcc_0", "logit_mfcc_1"]


def test_a_missing_column_is_named(rows, boosters):
    with pytest.raises(ArtifactError, match="logit_mel_fake"):
        predict_logits(boosters, rows[0][:, [0, 1, 3]], [NAMES[0], NAMES[1], NAMES[3]])


def test_saved_models_are_the_same_models(rows, boosters, tmp_path):
    save_boosters(tmp_path, boosters, 1)
    loaded = load_boosters(tmp_path, 1, 2)
    assert np.array_equal(predict_logits(loaded, rows[0], NAMES), predict_logits(boosters, rows[0], NAMES))


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_model_that_cannot_be_loaded_is_refused(boosters, tmp_path, damage):
    first, _ = save_boosters(tmp_path, boosters, 1)
    first.unlink() if damage == "missing" else first.write_text("" if damage == "empty" else "no model")
    with pytest.raises(ArtifactError, match="fold 1"):
        load_boosters(tmp_path, 1, 2)


def test_same_seed_same_model(rows, boosters):
    again = fit_fold(rows[0], NAMES, rows[1], rows[2], 0, SETTINGS, seed=0)
    assert [model.model_to_string() for model in again] == [model.model_to_string() for model in boosters]


def test_an_honest_oof_table_passes():
    check_oof(np.zeros((3, 2)), np.array([0, 1, 0]), np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("logits", "scored_by", "message"),
    [
        (np.zeros((3, 2)), [0, 1, 1], "1 rows were scored by a model that saw them"),
        (np.zeros((3, 2)), [0, -1, 0], "1 rows have no out-of-fold score"),
        (np.array([[0.0, 0.0], [0.0, np.nan], [0.0, 0.0]]), [0, 1, 0], "no out-of-fold score"),
    ],
)
def test_a_leaky_or_incomplete_oof_table_is_refused(logits, scored_by, message):
    with pytest.raises(LeakError, match=message):
        check_oof(logits, np.array(scored_by), np.array([0, 1, 0]))
