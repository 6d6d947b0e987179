"""Shares of the classes in unlabeled clips, and what they change."""

import numpy as np
import pytest
from scipy.special import expit

from fakevoice.prior import (
    LEAST,
    adjust,
    draw_tests,
    estimate_shares,
    log_odds_shift,
    resample_by_weight,
    resample_to_shares,
    share_error,
)

SIMULATED = np.array([0.5])


def calibrated(n_clips: int, share: float, seed: int) -> np.ndarray:
    """Probabilities, calibrated at a share of one half, of clips of which another share is positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n_clips) < share
    # Two normals of unit variance at ±0.75: the log-odds at equal shares are 1.5 times the evidence.
    evidence = rng.standard_normal(n_clips) + np.where(positive, 0.75, -0.75)
    return expit(1.5 * evidence)[:, None]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_is_recovered_without_pseudo_counts(share):
    found = estimate_shares(calibrated(20_000, share, 0), SIMULATED, 0.0)
    assert found == pytest.approx([share], abs=0.02)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_pseudo_counts_draw_towards_the_simulated_share(share):
    probability = calibrated(20_000, share, 0)
    drawn = [abs(estimate_shares(probability, SIMULATED, weight)[0] - 0.5) for weight in (0.0, 0.1, 1.0, 100.0)]
    assert drawn == sorted(drawn, reverse=True)
    assert drawn[0] > 0.25 and drawn[-1] < 0.01


def test_unshifted_clips_stay_unshifted_on_average():
    found = [estimate_shares(calibrated(300, 0.5, seed), SIMULATED, 0.1)[0] for seed in range(30)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


def test_the_estimate_stays_off_the_ends():
    assert estimate_shares(np.full((50, 1), 1e-6), SIMULATED, 0.0)[0] >= LEAST
    assert estimate_shares(np.full((50, 1), 1 - 1e-6), SIMULATED, 0.0)[0] <= 1 - LEAST


def clips_in_folds(n_clips: int, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, target and fold of clips; those of fold 0 sound more positive than they are."""
    fold, target = np.arange(n_clips) % 4, (np.random.default_rng(0).random((n_clips, 1)) < 0.5).astype(float)
    evidence = np.random.default_rng(1).standard_normal(target.shape) + 1.5 * target - 0.75
    return expit(1.5 * (evidence + moved * (fold == 0)[:, None])), target, fold


def test_the_error_is_of_chance_where_folds_are_alike():
    clips = clips_in_folds(80_000)
    few, many = (share_error(*clips, n_clips, 0.0, seed=0) for n_clips in (200, 3200))
    assert few[0] == pytest.approx(0.04, abs=0.015) and many[0] == pytest.approx(few[0] / 4, rel=0.4)
    assert share_error(*clips, 200, 0.0, seed=0) == few
    assert share_error(*clips, 3200, 100.0, seed=0)[0] < few[0]  # nothing is counted, and folds are as simulated


def test_a_fold_in_which_all_sound_fake_is_an_error_of_the_count():
    alike, unlike = (share_error(*clips_in_folds(20_000, moved), 3200, 0.0, seed=0)[0] for moved in (0.0, 1.0))
    probability, target, fold = clips_in_folds(20_000, 1.0)
    counted = estimate_shares(probability[fold == 0], target.mean(axis=0), 0.0)[0]
    assert counted > 0.65 and unlike == pytest.approx((counted - 0.5) / 2, abs=0.03)  # one fold of four
    assert unlike > 4 * alike


def test_adjusting_by_nothing_changes_nothing_and_order_always_stays():
    probability = np.random.default_rng(0).uniform(0.01, 0.99, (100, 2))
    assert adjust(probability, np.zeros(2)) == pytest.approx(probability)
    shifted = adjust(probability, log_odds_shift(np.array([0.3, 0.7]), np.array([0.5, 0.5])))
    assert (np.argsort(shifted, axis=0) == np.argsort(probability, axis=0)).all()
    assert (shifted[:, 0] < probability[:, 0]).all() and (shifted[:, 1] > probability[:, 1]).all()


def test_adjusted_probabilities_are_calibrated_at_the_new_share():
    probability = calibrated(50_000, 0.8, 1)
    shifted = adjust(probability, log_odds_shift(np.array([0.8]), SIMULATED))
    assert probability.mean() < 0.72 and shifted.mean() == pytest.approx(0.8, abs=0.01)


def test_resampled_scenes_have_the_shares_asked_for():
    target = np.random.default_rng(0).random((20_000, 2)) < 0.5
    rows = resample_to_shares(target, np.array([0.4, 0.7]), seed=0)
    assert len(rows) == len(target)
    assert target[rows].mean(axis=0) == pytest.approx([0.4, 0.7], abs=0.01)
    assert (rows == resample_to_shares(target, np.array([0.4, 0.7]), seed=0)).all()


def test_a_class_that_is_always_heard_cannot_be_resampled_and_is_left():
    target = np.column_stack([np.ones(100), np.arange(100) % 2])
    rows = resample_to_shares(target, np.array([0.5, 0.25]), seed=0)
    assert target[rows, 1].mean() == pytest.approx(0.25, abs=0.12)


def test_rows_are_drawn_by_weight_within_their_fold():
    fold = np.repeat([0, 1], [3000, 1000])
    weight = np.tile([0.0, 1.0, 3.0, 0.0], 1000)
    rows = resample_by_weight(weight, fold, seed=0)
    assert np.bincount(fold[rows]).tolist() == [3000, 1000] and (weight[rows] > 0).all()
    assert (weight[rows] == 3).mean() == pytest.approx(0.75, abs=0.03)
    assert np.array_equal(rows, resample_by_weight(weight, fold, seed=0))


def test_tests_as_they_may_come_have_other_voices_and_other_shares():
    target, groups = np.random.default_rng(0).random((6_000, 2)) < 0.5, np.repeat(np.arange(60), 100)
    shares, error = np.array([0.4, 0.6]), np.array([0.0, 0.1])
    tests = list(draw_tests(target, groups, shares, error, 1000, 200, seed=0))
    found = np.array([target[rows].mean(axis=0) for rows in tests])
    assert {len(rows) for rows in tests} == {1000}
    assert found.mean(axis=0) == pytest.approx(shares, abs=0.02)
    chance = np.sqrt(shares * (1 - shares) / 1000)
    assert found.std(axis=0) == pytest.approx(np.sqrt(error**2 + chance**2), rel=0.15)
    of_group = np.array([np.bincount(groups[rows], minlength=60) for rows in tests]) / (1000 / 60)
    assert of_group.std() == pytest.approx(1.0, abs=0.15)  # exponential weights; .24 by chance alone
    again = list(draw_tests(target, groups, shares, error, 1000, 200, seed=0))
    assert all(np.array_equal(a, b) for a, b in zip(tests, again, strict=True))
