"""Shares of what is heard in unlabeled clips, and what they change."""

import numpy as np
import pytest
from scipy.special import softmax

from fakevoice.ensemble.label_shift import (
    CONCENTRATION,
    LEAST,
    adjust,
    draw_tests,
    estimate_shares,
    resample_by_weight,
    resample_to_shares,
)

EVEN = np.full(3, 1 / 3)
MOVED = np.array([0.5, 0.3, 0.2])


def clips(n_clips: int, shares: np.ndarray, seed: int, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three combinations, calibrated where they are equally frequent, and which of them are right.

    Args:
        moved: how much more all clips sound like the last combination than they should.
    """
    rng = np.random.default_rng(seed)
    heard = rng.choice(3, n_clips, p=shares)
    # Normals of unit variance around 1.5 of the right one's axis: log-odds are 1.5 times the evidence.
    evidence = rng.standard_normal((n_clips, 3)) + 1.5 * np.eye(3)[heard] + moved * np.array([0, 0, 1])
    return softmax(1.5 * evidence, axis=1), heard


@pytest.mark.parametrize("shares", [EVEN, MOVED, np.array([0.1, 0.1, 0.8])])
def test_shares_are_recovered_without_pseudo_counts(shares):
    assert estimate_shares(clips(20_000, shares, 0)[0], EVEN, 0.0) == pytest.approx(shares, abs=0.02)


def test_pseudo_counts_draw_towards_the_simulated_shares():
    probability, _ = clips(20_000, MOVED, 0)
    found = [estimate_shares(probability, EVEN, weight) for weight in (0.0, 0.1, 1.0, 100.0)]
    off = [np.abs(shares - EVEN).max() for shares in found]
    assert off == sorted(off, reverse=True) and off[0] > 0.14 and off[-1] < 0.01
    assert np.sum(found, axis=1) == pytest.approx(1)


def test_unshifted_clips_stay_unshifted_on_average():
    found = [estimate_shares(clips(300, EVEN, seed)[0], EVEN, 0.1) for seed in range(30)]
    assert np.mean(found, axis=0) == pytest.approx(EVEN, abs=0.02)


def test_no_share_becomes_hopelessly_small():
    only_first = np.tile([1 - 2e-9, 1e-9, 1e-9], (50, 1))
    found = estimate_shares(only_first, EVEN, 0.0)
    assert found.min() > LEAST / 1.1 and found.sum() == pytest.approx(1)


def test_adjusting_by_nothing_changes_nothing_and_rows_still_sum_to_1():
    probability, _ = clips(100, EVEN, 0)
    assert adjust(probability, MOVED, MOVED) == pytest.approx(probability)
    shifted = adjust(probability, MOVED, EVEN)
    assert shifted.sum(axis=1) == pytest.approx(1) and (shifted[:, 2] < probability[:, 2]).all()


def test_adjusted_probabilities_are_calibrated_at_the_new_shares():
    probability, _ = clips(50_000, MOVED, 1)
    shifted = adjust(probability, MOVED, EVEN)
    assert probability.mean(axis=0)[0] < 0.47 and shifted.mean(axis=0) == pytest.approx(MOVED, abs=0.01)


def test_resampled_scenes_have_the_shares_asked_for():
    heard = np.random.default_rng(0).integers(0, 3, 20_000)
    rows = resample_to_shares(heard, MOVED, seed=0)
    assert np.bincount(heard[rows]) / len(heard) == pytest.approx(MOVED, abs=0.01)
    assert (rows == resample_to_shares(heard, MOVED, seed=0)).all()


def test_what_is_never_heard_cannot_be_resampled_and_is_left():
    heard = np.repeat([0, 2], 500)
    rows = resample_to_shares(heard, np.array([0.6, 0.2, 0.2]), seed=0)
    assert np.bincount(heard[rows], minlength=3) / 1000 == pytest.approx([0.75, 0, 0.25], abs=0.04)


def test_rows_are_drawn_by_weight_within_their_fold():
    fold, state = np.repeat([0, 1], [3000, 1000]), np.tile(["none", "fake"], 2000)
    weight = np.tile([0.0, 1.0, 3.0, 0.0], 1000)
    rows = resample_by_weight(weight, fold, state, seed=0)
    assert np.bincount(fold[rows]).tolist() == [3000, 1000] and (weight[rows] > 0).all()
    assert (weight[rows] == 3).mean() == pytest.approx(0.75, abs=1e-3)
    assert np.array_equal(rows, resample_by_weight(weight, fold, state, seed=0))


def test_no_row_and_no_stratum_comes_more_or_less_often_than_its_weight_asks():
    rng = np.random.default_rng(0)
    weight, state = rng.exponential(size=5000), rng.choice(["none", "fake", "real"], 5000)
    rows = resample_by_weight(weight, np.zeros(5000, int), state, seed=0)
    assert not np.array_equal(rows, resample_by_weight(weight, np.zeros(5000, int), state, seed=1))
    asked = weight / weight.mean()
    assert np.abs(np.bincount(rows, minlength=5000) - asked).max() < 1
    for name in np.unique(state):
        assert abs((state[rows] == name).sum() - asked[state == name].sum()) <= 1


def test_tests_as_they_may_come_have_the_voices_of_one_fold_and_other_shares():
    heard, groups = np.random.default_rng(0).integers(0, 3, 6_000), np.repeat(np.arange(60), 100)
    fold = groups % 4
    tests = list(draw_tests(heard, fold, groups, MOVED, 1000, 400, seed=0))
    assert {len(rows) for rows in tests} == {1000}
    assert [np.unique(fold[rows]).tolist() for rows in tests[:5]] == [[0], [1], [2], [3], [0]]
    found = np.array([np.bincount(heard[rows], minlength=3) / 1000 for rows in tests])
    assert found.mean(axis=0) == pytest.approx(MOVED, abs=0.02)
    deviation = np.sqrt(MOVED * (1 - MOVED) * (1 / (CONCENTRATION + 1) + 1 / 1000))  # of Dirichlet shares, and chance
    assert found.std(axis=0) == pytest.approx(deviation, rel=0.15)
    of_group = np.array([np.bincount(groups[rows], minlength=60) for rows in tests[::4]])[:, ::4] / (1000 / 15)
    assert of_group.std() == pytest.approx(1.0, abs=0.15)  # exponential weights; .24 by chance alone
    again = draw_tests(heard, fold, groups, MOVED, 1000, 400, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(tests, again, strict=True))


def test_what_a_fold_lacks_is_not_in_its_tests():
    heard, fold = np.array([0, 1, 2, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    of_first, of_second = draw_tests(heard, fold, fold, EVEN, 500, 2, seed=0)
    assert np.unique(heard[of_first]).tolist() == [0, 1, 2] and np.unique(heard[of_second]).tolist() == [0, 1]
