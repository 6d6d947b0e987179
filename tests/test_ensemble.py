"""The blend: its weights, its calibration, and that no row is scored by what was fitted on its fold."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from fakevoice import lookup
from fakevoice.ensemble import Blend, cross_fit, fit_blend
from fakevoice.errors import ArtefactError
from fakevoice.settings import Ensemble

MEMBERS = ["mel", "mfcc", "stack"]
FOLD = np.arange(240) % 3


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (240, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def logits(target) -> np.ndarray:
    """(240, 3, 2): the second member knows more than the first, the third nothing."""
    noise = np.random.default_rng(1).normal(size=(240, 3, 2))
    return noise + (2 * target[:, None] - 1) * np.array([0.5, 2.0, 0.0])[:, None]


@pytest.fixture(scope="module")
def config(finished_run):
    return finished_run.config


@pytest.fixture(scope="module")
def blend(logits, target, config) -> Blend:
    return fit_blend(logits, target, MEMBERS, config)


def test_weights_sum_to_one_and_favour_who_knows(blend):
    assert sum(blend.weights) == pytest.approx(1)
    assert min(blend.weights) > 0  # drawn back towards equal ones
    assert blend.members[int(np.argmax(blend.weights))] == "mfcc"


@pytest.mark.parametrize("metric", ["dacon_score", "auc"])  # lower is better, higher is better
def test_the_better_member_wins_whatever_the_sign_of_the_metric(logits, target, config, metric):
    weights = fit_blend(logits, target, MEMBERS, config.model_copy(update={"metric": metric})).weights
    assert np.argmax(weights) == 1


def test_full_shrinkage_is_equal_weights(logits, target, config):
    equal = config.model_copy(update={"ensemble": Ensemble(shrinkage=1.0)})
    assert fit_blend(logits, target, MEMBERS, equal).weights == pytest.approx([1 / 3] * 3)


def test_one_member_alone(logits, target, config):
    assert fit_blend(logits[:, :1], target, ["mel"], config).weights == [1.0]


def test_the_prior_is_the_share_of_each_output(blend, target):
    assert blend.prior == pytest.approx(target.mean(axis=0))


def test_json_and_back(blend, logits):
    again = Blend.from_dict(json.loads(json.dumps(blend.to_dict())))
    assert again == blend
    assert np.array_equal(again.probability(logits), blend.probability(logits))


@pytest.mark.parametrize("change", [{"colour": 1}, {"prior": ...}])
def test_a_saved_blend_of_another_version_is_refused(blend, change):
    values = {key: value for key, value in (blend.to_dict() | change).items() if value is not ...}
    with pytest.raises(ArtefactError, match=next(iter(change))):
        Blend.from_dict(values)


def test_probability_by_hand(blend):
    identity = lookup.load("calibrators", "identity").fit(np.zeros(4), np.array([0, 1, 0, 1]))
    known = {"members": ["a", "b"], "weights": [0.25, 0.75], "calibrator": "identity", "parameters": [identity] * 2}
    blend = replace(blend, **known, shift=[0.0, 0.0], task="multilabel")
    logits = np.array([[[1.0, 0.0], [3.0, -2.0]]])
    assert blend.probability(logits) == pytest.approx(expit(np.array([[2.5, -1.5]])))
    assert replace(blend, task="multiclass").probability(logits).sum() == pytest.approx(1)


def test_no_row_is_scored_by_a_blend_that_saw_its_fold(logits, target, config):
    honest = cross_fit(logits, target, FOLD, MEMBERS, config)
    for index in range(3):
        held_out = np.equal(FOLD, index)
        poisoned = np.where(held_out[:, None], 1 - target, target)
        after = cross_fit(logits, poisoned, FOLD, MEMBERS, config)
        assert np.array_equal(after[held_out], honest[held_out])
        assert not np.allclose(after[~held_out], honest[~held_out])


def test_blends_are_fitted_on_the_rows_asked_for_and_score_all(logits, target, config):
    half = np.flatnonzero(np.arange(len(target)) % 2 == 0)
    asked = cross_fit(logits, target, FOLD, MEMBERS, config, half)
    others = np.setdiff1d(np.arange(len(target)), half)
    poisoned = target.copy()
    poisoned[others] = 1 - poisoned[others]
    assert np.array_equal(cross_fit(logits, poisoned, FOLD, MEMBERS, config, half), asked)
    assert np.isfinite(asked).all() and not np.allclose(asked, cross_fit(logits, target, FOLD, MEMBERS, config))


def test_other_shares_move_the_probabilities_and_the_prior(blend, logits):
    rarer = blend.at_shares(np.array([0.2, blend.prior[1]]))
    assert rarer.prior[0] == 0.2
    assert (rarer.probability(logits)[:, 0] < blend.probability(logits)[:, 0]).all()
    assert np.allclose(rarer.probability(logits)[:, 1], blend.probability(logits)[:, 1])
