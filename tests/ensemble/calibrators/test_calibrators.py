"""Every calibrator: rising, within bounds, storable, right where the truth is known, harmless where it isn't."""

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from fakevoice.core.errors import FakevoiceError
from fakevoice.core.plugins import load, names
from fakevoice.ensemble.calibration import PROBABILITY_FLOOR
from fakevoice.ensemble.calibrators import platt

CALIBRATORS = names("calibrators")
FITTED = [name for name in CALIBRATORS if name != "identity"]
GRID = np.linspace(-60, 60, 4001)


def simulate(seed, n_clips=5000, scale=3.5, shift=0.0):
    """Logits (n_clips,) `scale` times too sure and off by `shift`, with labels drawn from the true probability."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1.5, n_clips)
    return scale * truth + shift, (rng.random(n_clips) < expit(truth)).astype(int)


def ece(label, probability):
    return load("metrics", "ece").measure(label, probability)


@pytest.mark.parametrize("name", CALIBRATORS)
class TestContract:
    @pytest.fixture
    def calibrator(self, name):
        return load("calibrators", name)

    @pytest.mark.parametrize("flip", [False, True])
    def test_rising_and_within_bounds(self, calibrator, flip):
        logit, label = simulate(0)
        parameters = calibrator.fit(logit, 1 - label if flip else label)
        probability = calibrator.apply(parameters, GRID)
        assert probability.shape == GRID.shape and probability.dtype == np.float64
        assert np.diff(probability).min() >= -1e-12
        assert probability.min() >= PROBABILITY_FLOOR and probability.max() <= 1 - PROBABILITY_FLOOR

    def test_order_survives(self, calibrator):
        logit, label = simulate(1)
        other_logit, other_label = simulate(2)
        probability = calibrator.apply(calibrator.fit(logit, label), other_logit)
        assert roc_auc_score(other_label, probability) == pytest.approx(roc_auc_score(other_label, other_logit))

    def test_json_round_trip(self, calibrator):
        parameters = calibrator.fit(*simulate(3))
        stored = json.loads(json.dumps(parameters))
        assert (calibrator.apply(stored, GRID) == calibrator.apply(parameters, GRID)).all()

    def test_row_order_does_not_matter(self, calibrator):
        logit, label = simulate(4)
        order = np.random.default_rng(0).permutation(len(logit))
        one, other = calibrator.fit(logit, label), calibrator.fit(logit[order], label[order])
        assert calibrator.apply(one, GRID) == pytest.approx(calibrator.apply(other, GRID), abs=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_logit_not_finite(self, calibrator, bad):
        logit, label = simulate(5)
        parameters = calibrator.fit(logit, label)
        logit[[7, 9]] = bad
        for call in (lambda: calibrator.fit(logit, label), lambda: calibrator.apply(parameters, logit)):
            with pytest.raises(FakevoiceError, match=r"not finite in 2 of 5000 rows \(the first: 7, 9\)"):
                call()

    @pytest.mark.parametrize("scale", [1e-4, 1e4])
    def test_logits_of_any_size(self, calibrator, scale):
        logit, label = simulate(6, scale=scale)
        assert np.isfinite(calibrator.apply(calibrator.fit(logit, label), logit)).all()


@pytest.mark.parametrize("name", FITTED)
class TestFitted:
    @pytest.mark.parametrize("scale", [3.5, 0.3])
    def test_wrong_confidence_is_mended(self, name, scale):
        logit, label = simulate(7, n_clips=10_000, scale=scale)
        other_logit, other_label = simulate(8, n_clips=10_000, scale=scale)
        calibrator = load("calibrators", name)
        assert ece(other_label, expit(other_logit)) > 0.1
        assert ece(other_label, calibrator.apply(calibrator.fit(logit, label), other_logit)) < 0.02

    def test_no_worse_than_the_truth(self, name):
        logit, label = simulate(9, n_clips=10_000)
        calibrator = load("calibrators", name)
        probability = calibrator.apply(calibrator.fit(logit, label), logit)
        assert log_loss(label, probability) == pytest.approx(log_loss(label, expit(logit / 3.5)), abs=0.003)

    def test_separated_classes_stay_in_doubt(self, name):
        logit = np.concatenate([np.linspace(-3, -1, 20), np.linspace(1, 3, 20)])
        calibrator = load("calibrators", name)
        probability = calibrator.apply(calibrator.fit(logit, (logit > 0).astype(int)), logit)
        assert 0.001 < probability.min() < 0.1 and 0.9 < probability.max() < 0.999

    @pytest.mark.parametrize(
        "logit, label, reason",
        [
            (np.arange(20.0), np.ones(20), "all 20 labels are 1"),
            (np.arange(20.0), np.zeros(20), "all 20 labels are 0"),
            (np.full(20, 1.5), np.arange(20) % 2, "all 20 logits are 1.5"),
            (np.arange(9.0), np.arange(9) % 2, "9 clips, fewer than 10"),
            (np.array([]), np.array([]), "0 clips"),
        ],
    )
    def test_nothing_to_learn(self, name, logit, label, reason):
        calibrator, identity = load("calibrators", name), load("calibrators", "identity")
        with pytest.warns(UserWarning, match=reason):
            parameters = calibrator.fit(logit, label)
        assert calibrator.apply(parameters, GRID) == pytest.approx(identity.apply({}, GRID), abs=1e-12)

    def test_impossible_input(self, name):
        fit = load("calibrators", name).fit
        with pytest.raises(FakevoiceError, match="must both be"):
            fit(np.zeros(20), np.zeros(19))
        with pytest.raises(FakevoiceError, match="must both be"):
            fit(np.zeros((20, 1)), np.zeros((20, 1)))
        with pytest.raises(FakevoiceError, match="label is other than 0 and 1 in 1 of 20 rows"):
            fit(np.arange(20.0), np.array([0, 1] * 9 + [0, 2]))


def test_identity_is_the_sigmoid():
    assert load("calibrators", "identity").apply({}, np.array([-1.0, 0.0, 2.0])) == pytest.approx(expit([-1, 0, 2]))


def test_platt_finds_the_line():
    logit, label = simulate(10, n_clips=40_000, shift=2.0)
    found = platt.fit(logit, label)
    assert (found["scale"], found["shift"]) == pytest.approx((1 / 3.5, -2 / 3.5), abs=0.02)


def test_platt_as_scikit_learn():
    logit, label = simulate(11, n_clips=1000, scale=1.3, shift=0.4)
    target = platt.smoothed_target(label)
    # A soft target is the same clip twice, once with each label.
    reference = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000)
    weight = np.concatenate([target, 1 - target])
    reference.fit(np.tile(logit, 2)[:, None], np.repeat([1, 0], len(label)), sample_weight=weight)
    found = platt.fit(logit, label)
    expected = (reference.coef_.item(), reference.intercept_.item())
    assert (found["scale"], found["shift"]) == pytest.approx(expected, abs=1e-3)


def test_slope_of_platt_is_never_negative():
    logit, label = simulate(12)
    parameters = platt.fit(logit, 1 - label)
    assert parameters["scale"] == 0.0
    share = platt.smoothed_target(1 - label).mean()
    assert platt.apply(parameters, logit) == pytest.approx(np.full(len(logit), share), abs=1e-5)
