"""The blend: its weights, its calibration, and that no row is scored by what was fitted on its fold."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Ensemble
from fakevoice.core.errors import ArtifactError
from fakevoice.core.tasks import off_the_edges
from fakevoice.ensemble.blend import Blend, cross_fit, fit_blend
from fakevoice.ensemble.label_shift import adjust

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


def auc(target: np.ndarray, probability: np.ndarray) -> float:
    return plugins.load("metrics", "auc").measure(target, probability)


def test_who_knows_more_weighs_more_and_the_blend_knows_most(blend, logits, target):
    first, second, third = np.abs(np.array(blend.weights).reshape(4, 3, 2)).sum(axis=(0, 2)) * logits.std(axis=(0, 2))
    assert second > 2 * first > 2 * third
    assert auc(target, blend.probability(logits)) > auc(target, expit(logits[:, 1]))


def test_a_large_penalty_leaves_one_weight_to_each_member(logits, target, config):
    strict = config.model_copy(update={"ensemble": Ensemble(penalty=1e9)})
    blend = fit_blend(logits, target, MEMBERS, strict)
    weights = np.array(blend.weights).reshape(len(blend.combinations), len(MEMBERS), -1)
    own = weights[-1, :, 0]  # of the combination that holds all labels
    assert (own >= 0).all() and own.max() > 0.1
    expected = own[:, None] * np.array(blend.combinations)[:, None]
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_few_clips_of_many_classes_do_not_fit_noise(config):
    rng, n_classes = np.random.default_rng(0), 7
    truth = np.arange(700) % n_classes
    target = np.eye(n_classes)[truth]
    logits = 2 * target[:, None] - 1 + rng.normal(0, 1.2, (700, 3, n_classes))
    fold = np.arange(700) // n_classes % 5
    many = config.model_copy(update={"task": "multiclass", "classes": list("abcdefg"), "ensemble": Ensemble()})
    right = cross_fit(logits, target, fold, MEMBERS, many).probability().argmax(axis=1) == truth
    assert right.mean() >= (logits.mean(axis=1).argmax(axis=1) == truth).mean() - 0.01


def test_the_unit_of_a_member_does_not_matter(blend, logits, target, config):
    scaled = logits * np.array([1.0, 100.0, 0.01])[:, None]
    other = fit_blend(scaled, target, MEMBERS, config)
    assert other.probability(scaled) == pytest.approx(blend.probability(logits), abs=1e-3)


def test_one_member_alone(logits, target, config):
    alone = fit_blend(logits[:, 1:2], target, ["mfcc"], config)
    assert auc(target, alone.probability(logits[:, 1:2])) == pytest.approx(auc(target, expit(logits[:, 1])), abs=0.02)


def test_what_is_heard_together_is_learned(config):
    """The evidence says that one of two is heard, and not which: neither logit alone tells anything of the other."""
    rng = np.random.default_rng(2)
    heard = rng.integers(0, 3, 900)
    target = np.array([[0, 0], [1, 0], [0, 1]], np.float32)[heard]
    logits = np.where(heard > 0, 2.0, -2.0)[:, None, None] + rng.normal(size=(900, 1, 2)) * [0.1, 1.0]
    logits[:, 0, 1] -= 3.0 * (heard == 1)
    blend = fit_blend(logits, target, ["mel"], config)
    assert blend.combinations == [[0, 0], [0, 1], [1, 0]]
    both = blend.probability(logits)
    assert (both.sum(axis=1) < 1.001).all()  # they exclude each other, and so do their probabilities
    assert auc(target, both) > 0.95 > auc(target, expit(logits[:, 0]))


@pytest.mark.parametrize("outputs", [[[0, 1]], [[0, 1], [1, 1]]], ids=["one combination", "two"])
def test_labels_that_never_change(logits, config, outputs):
    target = np.resize(np.array(outputs, np.float32), (240, 2))
    probability = fit_blend(logits, target, MEMBERS, config).probability(logits)
    assert np.isfinite(probability).all() and (probability[:, 1] > 1 - 1e-5).all()
    if len(outputs) == 1:
        assert (probability[:, 0] < 1e-5).all()


def test_the_prior_is_the_share_of_each_output(blend, target):
    assert blend.prior == pytest.approx(target.mean(axis=0))


def test_json_and_back(blend, logits):
    again = Blend.from_dict(json.loads(json.dumps(blend.to_dict())))
    assert again == blend
    assert np.array_equal(again.probability(logits), blend.probability(logits))


@pytest.mark.parametrize("change", [{"colour": 1}, {"prior": ...}])
def test_a_saved_blend_of_another_version_is_refused(blend, change):
    values = {key: value for key, value in (blend.to_dict() | change).items() if value is not ...}
    with pytest.raises(ArtifactError, match=next(iter(change))):
        Blend.from_dict(values)


def test_probability_by_hand(blend):
    identity = plugins.load("calibrators", "identity").fit(np.zeros(4), np.array([0, 1, 0, 1]))
    known = {
        "combinations": [[0, 0], [1, 0], [1, 1]],
        "weights": [[0.0] * 4, [1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.5]],
        "intercepts": [0.0, 0.5, -0.5],
        "calibrator": "identity",
        "parameters": [identity] * 2,
    }
    blend = replace(blend, members=["a", "b"], **known, task="multilabel")
    logits = np.array([[[1.0, 0.0], [3.0, -2.0]]])
    none, first, both = np.exp([0.0, 1.0 + 1.5 + 0.5, -1.0 - 0.5])
    expected = np.array([[first + both, both]]) / (none + first + both)
    assert blend.probability(logits) == pytest.approx(expected)
    assert replace(blend, task="multiclass").probability(logits).sum() == pytest.approx(1)


def test_no_row_is_scored_by_a_blend_that_saw_its_fold(logits, target, config):
    honest = cross_fit(logits, target, FOLD, MEMBERS, config).probability()
    for index in range(3):
        held_out = np.equal(FOLD, index)
        poisoned = np.where(held_out[:, None], 1 - target, target)
        after = cross_fit(logits, poisoned, FOLD, MEMBERS, config).probability()
        assert np.array_equal(after[held_out], honest[held_out])
        assert not np.allclose(after[~held_out], honest[~held_out])


def test_blends_are_fitted_on_the_rows_asked_for_and_score_all(logits, target, config):
    half = np.flatnonzero(np.arange(len(target)) % 2 == 0)
    asked = cross_fit(logits, target, FOLD, MEMBERS, config, half).probability()
    others = np.setdiff1d(np.arange(len(target)), half)
    poisoned = target.copy()
    poisoned[others] = 1 - poisoned[others]
    assert np.array_equal(cross_fit(logits, poisoned, FOLD, MEMBERS, config, half).probability(), asked)
    assert np.isfinite(asked).all() and not np.allclose(
        asked, cross_fit(logits, target, FOLD, MEMBERS, config).probability()
    )


def test_other_shares_move_the_probabilities_and_the_prior(blend, logits):
    fewer = np.where(np.array(blend.combinations)[:, 0], 0.2, 1.0) * blend.shares
    rarer = blend.at_shares(fewer / fewer.sum())
    assert rarer.prior[0] < blend.prior[0] and rarer.prior == pytest.approx(rarer.shares @ np.array(blend.combinations))
    before, after = (one.probability(logits)[:, 0] for one in (blend, rarer))
    assert (after <= before).all() and after.mean() < before.mean() - 0.01
    assert rarer.simulated == blend.simulated
    again = rarer.at_shares(np.array(blend.shares))
    assert np.allclose(again.probability(logits), blend.probability(logits))


def test_shares_weigh_combinations_and_not_labels(blend, logits):
    """As `prior.adjust` does it: what is said of nothing and of both moves apart from what is said of each label."""
    combinations, other = np.array(blend.combinations), np.linspace(1, 3, len(blend.shares))
    other /= other.sum()
    joint = blend.combination_probability(logits, combinations)
    assert joint @ combinations == pytest.approx(blend.probability(logits), abs=1e-5)  # compressed beyond ±10
    moved = adjust(joint, other, np.array(blend.shares))
    assert blend.at_shares(other).combination_probability(logits, combinations) == pytest.approx(moved, abs=1e-7)


def test_a_combination_that_a_blend_does_not_know_is_next_to_impossible(blend, logits):
    more = np.concatenate([[[7, 7]], blend.combinations])
    said = blend.combination_probability(logits, more)
    assert said[:, 0].max() < 1e-6
    assert said[:, 1:] == pytest.approx(blend.combination_probability(logits, np.array(blend.combinations)), abs=1e-6)


@pytest.fixture(scope="module")
def conditional() -> tuple[Blend, np.ndarray, np.ndarray]:
    """A blend of the five outputs of `deepvoice`, logits (400, 2, 5) and labels (400, 5)."""
    rng = np.random.default_rng(2)
    present = rng.integers(0, 2, (400, 2))
    fake = present & rng.integers(0, 2, (400, 2))
    target = np.column_stack([fake.any(axis=1), fake, present])
    logits = (2 * target[:, None] - 1) + rng.normal(0, 1.5, (400, 2, 5))
    return fit_blend(logits, target, ["mel", "stack"], load_config("deepvoice")), logits, target


def test_an_output_with_a_condition_is_answered_as_if_it_held(conditional):
    blend, logits, _ = conditional
    combinations = np.array(blend.combinations)
    joint = blend.combination_probability(logits, combinations)  # (n_clips, n_combinations)
    of_outputs = joint @ combinations
    probability = blend.probability(logits)
    for output, condition in ((1, 3), (2, 4)):
        assert probability[:, output] == pytest.approx(of_outputs[:, output] / of_outputs[:, condition], abs=1e-5)
    for output in (0, 3, 4):
        assert probability[:, output] == pytest.approx(of_outputs[:, output], abs=1e-5)


def test_the_prior_of_an_output_with_a_condition(conditional):
    blend, _, target = conditional
    expected = [target[:, 0].mean(), target[target[:, 3] == 1, 1].mean(), target[target[:, 4] == 1, 2].mean()]
    assert blend.prior == pytest.approx([*expected, *target[:, 3:].mean(axis=0)])
    shares = np.full(len(blend.combinations), 1 / len(blend.combinations))
    assert blend.at_shares(shares).prior[1] == pytest.approx(0.5)


def test_a_condition_that_never_holds_leaves_even_odds(conditional):
    _, logits, target = conditional
    silent = target * [1, 0, 1, 0, 1]
    blend = fit_blend(logits, silent, ["mel", "stack"], load_config("deepvoice"))
    assert (blend.probability(logits)[:, 1] == 0.5).all()


def test_no_two_answers_become_equal_however_certain(conditional):
    blend = conditional[0]
    logits = np.linspace(-40, 40, 2001)[:, None, None] * np.ones((1, 2, 5))
    probability = off_the_edges(blend.probability(logits))
    assert probability.min() > 0 and probability.max() < 1
    for output in (0, 3, 4):
        assert (np.diff(probability[:, output]) > 0).all()
