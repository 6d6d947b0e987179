"""The score to expect: tests replayed in folds, from the count to the score."""

from functools import partial

import numpy as np
import pytest

from fakevoice.core.config import load_config
from fakevoice.ensemble import expected_score
from fakevoice.ensemble.blend import Blend, CrossFitted
from fakevoice.ensemble.expected_score import Replays, replay_tests
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import estimate_shares

COMBINATIONS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
SIMULATED = np.full(4, 0.25)
N_COUNTED, N_TEST = 200, 400


def blend(scale: float) -> Blend:
    """Of two members whose four logits are evidence of one combination each, calibrated by `scale`."""
    calibration = {"calibrator": "platt", "parameters": [{"scale": scale, "shift": 0.0}] * 2}
    shares = {"simulated": SIMULATED.tolist(), "shares": SIMULATED.tolist(), "prior": [0.5, 0.5]}
    known = {"combinations": COMBINATIONS.tolist(), "weights": (1.5 * np.eye(4)).tolist(), "intercepts": [0.0] * 4}
    return Blend(["a", "b"], **known, **calibration, **shares, conditions=[-1, -1], pooling=[], task="multilabel")


def scenes(n_scenes: int, moved: float, scales: list[float]) -> tuple[CrossFitted, np.ndarray, np.ndarray]:
    """Scenes of which those of fold 0 sound more real than they are, with their groups and all their rows."""
    rng = np.random.default_rng(0)
    heard, fold = rng.integers(0, 4, n_scenes), np.arange(n_scenes) % 4
    evidence = rng.standard_normal((n_scenes, 4)) + 1.5 * np.eye(4)[heard]
    evidence[fold == 0] += moved * np.array([0, 1, -1, 0])
    blends = {index: blend(scale) for index, scale in enumerate(scales)}
    fitted = CrossFitted(blends, evidence.reshape(-1, 2, 2), COMBINATIONS[heard], fold)
    return fitted, np.arange(n_scenes) % 40, np.arange(n_scenes)


def counted(*expected: float) -> Shares:
    return Shares(COMBINATIONS, SIMULATED, np.array(expected), N_COUNTED)


def replay(moved: float, shares: Shares, *overrides: str, scales: tuple[float, ...] = (1, 1, 1, 1)) -> Replays:
    """Those of the replays whose count is like the one of `shares`."""
    config = load_config("demo", ["ensemble.n_bootstrap=60", *overrides])
    return replay_tests(*scenes(8000, moved, list(scales)), shares, N_TEST, config).like(shares.expected)


def test_of_all_tests_those_with_the_nearest_counts_are_kept():
    rng = np.random.default_rng(0)
    counts = rng.dirichlet(np.ones(4), 40)
    replays = Replays(np.arange(40.0), counts, counts - SIMULATED)
    found = replays.like(SIMULATED)
    far = np.square(counts - SIMULATED).sum(axis=1)
    assert sorted(found.scores) == sorted(np.argsort(far)[:10])
    assert np.array_equal(found.counts - SIMULATED, found.errors)
    mean, low, high = found.summary()
    assert mean == pytest.approx(found.scores.mean()) and found.scores.min() <= low < mean < high <= found.scores.max()


def test_a_test_without_a_value_does_not_cost_the_others():
    replays = Replays(np.array([0.1, np.nan, 0.3, 0.2]), np.tile(SIMULATED, (4, 1)), np.zeros((4, 4)))
    assert replays.summary() == pytest.approx((0.2, 0.105, 0.295))
    assert len(replays.like(SIMULATED).scores) == 1


def test_as_many_tests_as_asked_for_and_the_same_again():
    found, again = (replay(0.0, counted(*SIMULATED)) for _ in range(2))
    assert found.scores.shape == (60,) and found.errors.shape == (60, 4)
    assert found.errors.sum(axis=1) == pytest.approx(0)
    assert np.array_equal(found.scores, again.scores) and np.array_equal(found.errors, again.errors)


def hold_simulated(monkeypatch, pseudo_share: float) -> None:
    """Give the simulated shares another weight in every count."""
    monkeypatch.setattr(expected_score, "estimate_shares", partial(estimate_shares, pseudo_share=pseudo_share))


def test_a_count_like_that_of_the_fold_that_sounds_otherwise_is_trusted_less(monkeypatch):
    hold_simulated(monkeypatch, 0.3)
    too_real, too_fake = (replay(1.5, counted(*shares)) for shares in ((0.2, 0.5, 0.1, 0.2), (0.2, 0.1, 0.5, 0.2)))
    off = [(tests.errors @ COMBINATIONS)[:, 1].mean() for tests in (too_real, too_fake)]
    assert off[0] > 0.08 and abs(off[1]) < 0.06
    assert too_real.scores.mean() > too_fake.scores.mean() + 0.02


def test_a_count_is_believed_where_all_folds_sound_alike(monkeypatch):
    hold_simulated(monkeypatch, 0)
    found = replay(0.0, counted(0.2, 0.5, 0.1, 0.2))
    assert np.abs(found.errors.mean(axis=0)).max() < 0.03


def test_a_count_that_the_simulated_shares_hold_fast_is_off_by_what_tests_differ(monkeypatch):
    hold_simulated(monkeypatch, 0)
    plain = replay(0.0, counted(*SIMULATED))
    hold_simulated(monkeypatch, 1000)
    fast = replay(0.0, counted(*SIMULATED))
    assert np.square(fast.errors).mean() > 2 * np.square(plain.errors).mean()
    assert fast.scores.mean() > plain.scores.mean()


def test_tests_are_answered_with_the_calibrator_of_their_fold():
    """A scale of 0 says .5 of everything, whose score is known; one fold of four has it, or all."""
    plain, one, everywhere = (
        replay(0.0, counted(*SIMULATED), scales=scales) for scales in ((1, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 0))
    )
    assert (everywhere.scores > 0.25).all() and plain.scores.max() < 0.25
    assert 0.05 < (one.scores > 0.25).mean() < 0.5
    assert np.array_equal(everywhere.counts, plain.counts)  # it is counted before any calibrator
