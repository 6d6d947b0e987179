"""The stacker: columns known by name, models kept as text, out-of-fold rows held against the folds."""

import numpy as np
import pytest

from fakevoice.config import load_config
from fakevoice.errors import ArtefactError, ConfigError, LeakError
from fakevoice.perceptron import fit_perceptron
from fakevoice.settings import Perceptron, Stacker
from fakevoice.stacker import check_oof, fit_fold, fitted_names, load_stacker, predict_logits, save_stacker

SETTINGS = Stacker(n_rounds=15, min_rows_per_leaf=5, feature_fraction=1.0)
PERCEPTRON = Perceptron(width=16, n_epochs=20, batch_size=16, learning_rate=0.02)
BOTH = SETTINGS.model_copy(update={"perceptron": PERCEPTRON})
CONFIG = load_config("demo", ["stacker.perceptron=null"])
NAMES = ["mel_00_mean", "mel_01_mean", "logit_mel_fake", "logit_mel_real"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (240, 2)).astype(np.float32)
    columns = rng.normal(size=(240, 4)).astype(np.float32)
    columns[:, 2:] += 2 * target
    return columns, target, np.arange(240) % 3


@pytest.fixture(scope="module")
def stacker(rows):
    return fit_fold(rows[0], NAMES, rows[1], rows[2], 0, SETTINGS, seed=0)


def test_one_model_per_output_learns_its_own_output(rows, stacker):
    columns, target, fold = rows
    logits = predict_logits(stacker, columns, NAMES)
    assert logits.shape == target.shape
    held_out = fold == 0
    right = (logits[held_out] > 0) == target[held_out]
    assert right.mean(axis=0).min() > 0.75


def test_reordered_columns_give_the_same_logits(rows, stacker):
    order = [3, 0, 2, 1]
    expected = predict_logits(stacker, rows[0], NAMES)
    assert np.array_equal(predict_logits(stacker, rows[0][:, order], [NAMES[i] for i in order]), expected)


def test_foreign_columns_are_left_aside(rows, stacker):
    more = np.concatenate([np.full((240, 1), 7.0), rows[0]], axis=1)
    assert np.array_equal(predict_logits(stacker, more, ["new", *NAMES]), predict_logits(stacker, rows[0], NAMES))


def test_ignored_columns_change_nothing(rows):
    columns, target, fold = rows
    settings = SETTINGS.model_copy(update={"ignored": ["mel_*_mean"]})
    first = fit_fold(columns, NAMES, target, fold, 0, settings, seed=0)
    assert first.boosters[0].feature_name() == NAMES[2:]
    moved = columns + np.array([9, -9, 0, 0], np.float32)
    second = fit_fold(moved, NAMES, target, fold, 0, settings, seed=0)
    assert np.array_equal(predict_logits(first, columns, NAMES), predict_logits(second, moved, NAMES))


def test_something_must_be_left_to_learn_from():
    assert fitted_names(NAMES, ["mel_00_*", "mfcc_*"]) == NAMES[1:]  # a config may have no MFCC
    with pytest.raises(ConfigError, match="no column is left"):
        fitted_names(NAMES, ["*"])


def test_a_missing_column_is_named(rows, stacker):
    with pytest.raises(ArtefactError, match="logit_mel_fake"):
        predict_logits(stacker, rows[0][:, [0, 1, 3]], [NAMES[0], NAMES[1], NAMES[3]])


def test_saved_models_are_the_same_models(rows, stacker, tmp_path):
    save_stacker(tmp_path, stacker, 1)
    loaded = load_stacker(tmp_path, 1, CONFIG)
    assert np.array_equal(predict_logits(loaded, rows[0], NAMES), predict_logits(stacker, rows[0], NAMES))


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_model_that_cannot_be_loaded_is_refused(stacker, tmp_path, damage):
    first, _ = save_stacker(tmp_path, stacker, 1)
    first.unlink() if damage == "missing" else first.write_text("" if damage == "empty" else "no model")
    with pytest.raises(ArtefactError, match="fold 1"):
        load_stacker(tmp_path, 1, CONFIG)


def test_same_seed_same_model(rows, stacker):
    again = fit_fold(rows[0], NAMES, rows[1], rows[2], 0, SETTINGS, seed=0)
    assert [model.model_to_string() for model in again.boosters] == [m.model_to_string() for m in stacker.boosters]


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


@pytest.fixture(scope="module")
def both(rows):
    return fit_fold(rows[0], NAMES, rows[1], rows[2], 0, BOTH, seed=0)


def test_a_perceptron_is_averaged_with_the_trees(rows, stacker, both):
    trees, expected = predict_logits(stacker, rows[0], NAMES), both.perceptron.logits(rows[0])
    assert np.array_equal(predict_logits(both, rows[0], NAMES), (trees + expected) / 2)
    assert not np.allclose(trees, expected)


def test_a_perceptron_learns_each_output(rows, both):
    held_out = rows[2] == 0
    right = (both.perceptron.logits(rows[0][held_out]) > 0) == rows[1][held_out]
    assert right.mean(axis=0).min() > 0.75


def test_a_perceptron_never_sees_its_fold(rows, both):
    columns, target, fold = rows
    other = columns.copy()
    other[fold == 0] = 99.0
    again = fit_fold(other, NAMES, target, fold, 0, BOTH, seed=0)
    assert np.array_equal(again.perceptron.logits(columns), both.perceptron.logits(columns))


def test_what_is_no_number_counts_as_the_mean(rows, both):
    """In columns to score, and in those to learn from: one value, or all of a column."""
    columns, target = rows[:2]
    mean = both.perceptron.mean.numpy()
    holed, filled = columns[:5].copy(), columns[:5].copy()
    holed[:, 0], filled[:, 0] = np.nan, mean[0]
    assert np.allclose(both.perceptron.logits(holed), both.perceptron.logits(filled), atol=1e-5)
    gaps = columns.copy()
    gaps[3, 1], gaps[:, 0] = np.nan, np.nan
    model = fit_perceptron(gaps, target, PERCEPTRON, 0)
    assert np.isfinite(model.logits(gaps)).all()
    assert model.mean[1] == pytest.approx(np.nanmean(gaps[:, 1]), abs=1e-6)


def test_far_out_is_no_further_than_far(both):
    far, further = np.full((1, 4), 1e3, np.float32), np.full((1, 4), 1e9, np.float32)
    assert np.array_equal(both.perceptron.logits(far), both.perceptron.logits(further))


def test_fewer_rows_than_a_batch(rows):
    model = fit_perceptron(rows[0][:5], rows[1][:5], PERCEPTRON, 0)
    assert np.isfinite(model.logits(rows[0])).all()


def test_a_saved_perceptron_is_the_same(rows, both, tmp_path):
    files = save_stacker(tmp_path, both, 1)
    assert len(files) == 3
    loaded = load_stacker(tmp_path, 1, CONFIG.model_copy(update={"stacker": BOTH}))
    assert np.array_equal(predict_logits(loaded, rows[0], NAMES), predict_logits(both, rows[0], NAMES))


@pytest.mark.parametrize("damage", ["missing", "cut", "other width"])
def test_a_perceptron_that_cannot_be_loaded_is_refused(both, tmp_path, damage):
    *_, file = save_stacker(tmp_path, both, 1)
    wanted = PERCEPTRON
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        wanted = PERCEPTRON.model_copy(update={"width": 8})
    settings = BOTH.model_copy(update={"perceptron": wanted})
    with pytest.raises(ArtefactError, match="fold 1"):
        load_stacker(tmp_path, 1, CONFIG.model_copy(update={"stacker": settings}))
