"""Every metric against hand-worked values and the published formulas, as scikit-learn has them where it does."""

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit, softmax

from fakevoice.core.errors import FakevoiceError
from fakevoice.core.plugins import load, names

METRICS = [name for name in names("metrics") if not hasattr(load("metrics", name), "OUTPUTS")]
RANKING = ["auc", "eer"]


def measure(name, label, probability, **args):
    return load("metrics", name).measure(np.asarray(label), np.asarray(probability), **args)


@pytest.fixture(scope="module")
def multilabel():
    """(800, 2) labels and probabilities, informative but too sure; some probabilities tie."""
    rng = np.random.default_rng(1)
    logit = rng.normal(size=(800, 2))
    return (rng.random((800, 2)) < expit(logit)).astype(int), expit(3 * logit).round(2)


@pytest.fixture(scope="module")
def multiclass():
    """(600, 4) one-hot labels and softmax probabilities."""
    rng = np.random.default_rng(2)
    label = np.eye(4, dtype=int)[rng.integers(4, size=600)]
    return label, softmax(1.5 * label + rng.normal(size=(600, 4)), axis=1)


@pytest.mark.parametrize("name", METRICS)
class TestContract:
    def test_direction_is_true(self, name, multilabel):
        label, probability = multilabel
        better, worse = measure(name, label, label.astype(float)), measure(name, label, 1 - probability)
        assert better > worse if load("metrics", name).GREATER_IS_BETTER is True else better < worse

    def test_plain_float(self, name, multilabel):
        assert type(measure(name, *multilabel)) is float

    def test_row_order_does_not_matter(self, name, multilabel):
        label, probability = multilabel
        order = np.random.default_rng(3).permutation(len(label))
        assert measure(name, label[order], probability[order]) == pytest.approx(measure(name, label, probability))

    def test_one_output_as_vector_or_column(self, name, multilabel):
        label, probability = multilabel[0][:, 0], multilabel[1][:, 0]
        assert measure(name, label, probability) == measure(name, label[:, None], probability[:, None])

    def test_mean_over_outputs(self, name, multilabel):
        label, probability = multilabel
        each = [measure(name, label[:, i], probability[:, i]) for i in range(2)]
        assert measure(name, label, probability) == pytest.approx(np.mean(each))

    def test_label_of_any_type(self, name, multilabel):
        label, probability = multilabel
        assert measure(name, label.astype(bool), probability) == measure(name, label.astype("f4"), probability)

    def test_arrays_stay_as_they_are(self, name, multilabel):
        label, probability = (array.copy() for array in multilabel)
        measure(name, label, probability)
        assert (label == multilabel[0]).all() and (probability == multilabel[1]).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -0.001, 1.001])
    def test_impossible_probability(self, name, value):
        with pytest.raises(FakevoiceError, match=r"probability is .* in 2 of 4 rows \(the first: 1, 3\)"):
            measure(name, [[0, 1], [1, 0]] * 2, [[0.5, 0.5], [0.5, value]] * 2)

    @pytest.mark.parametrize("value", [2, 0.5, np.nan, -1])
    def test_impossible_label(self, name, value):
        with pytest.raises(FakevoiceError, match=r"label is other than 0 and 1 in 1 of 3 rows \(the first: 2\)"):
            measure(name, [0, 1, value], [0.1, 0.2, 0.3])

    @pytest.mark.parametrize("label, probability", [([0, 1], [0.5]), ([[0, 1]], [0.5, 0.5]), ([], []), (1, 0.5)])
    def test_impossible_shape(self, name, label, probability):
        with pytest.raises(FakevoiceError, match="label"):
            measure(name, label, probability)


@pytest.mark.parametrize(
    "label, probability, expected",
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.75),
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4], 3.5 / 4),
        ([0, 1, 1], [0.7, 0.7, 0.7], 0.5),
    ],
)
def test_auc_by_hand(label, probability, expected):
    assert measure("auc", label, probability) == expected


@pytest.mark.parametrize(
    "label, probability, expected",
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.5),
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4], 0.25),  # from (0, 1/2) to (1/2, 1): crossed half-way
        ([0, 0, 0, 1], [0.1, 0.2, 0.7, 0.7], 0.25),  # from (0, 0) to (1/3, 1): x = 1 - 3x
        ([0, 1, 1], [0.7, 0.7, 0.7], 0.5),
    ],
)
def test_eer_by_hand(label, probability, expected):
    assert measure("eer", label, probability) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("edge", np.arange(1, 10) / 10)
def test_ece_edge_belongs_to_the_bin_above(edge):
    # Opposite errors cancel within a bin and add up across two.
    assert measure("ece", [1, 0], [edge - 0.01, edge]) == pytest.approx((abs(edge - 1.01) + edge) / 2)
    assert measure("ece", [1, 0], [edge, edge + 0.01]) == pytest.approx(abs(edge - 1 + edge + 0.01) / 2)


def test_ece_last_bin_holds_one():
    assert measure("ece", [1, 0], [0.9, 1.0]) == pytest.approx(abs(1.9 - 1) / 2)


def test_ece_by_hand():
    label, probability = [1, 0, 1, 1], [0.62, 0.64, 0.9, 1.0]
    assert measure("ece", label, probability) == pytest.approx(0.5 * abs(0.5 - 0.63) + 0.5 * abs(1 - 0.95))


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_ece_as_published(multilabel, digits):
    label, probability = multilabel[0][:, 0], multilabel[1][:, 0].round(digits)
    expected = 0.0
    for b in range(10):
        inside = np.minimum(np.floor(10 * probability), 9) == b
        if inside.any():
            expected += inside.mean() * abs(label[inside].mean() - probability[inside].mean())
    assert measure("ece", label, probability) == pytest.approx(expected)


def test_ranking_as_scikit_learn(multilabel):
    label, probability = multilabel[0][:, 0], multilabel[1][:, 0]
    assert measure("auc", label, probability) == pytest.approx(sklearn.metrics.roc_auc_score(label, probability))
    false_alarm, hit, _ = sklearn.metrics.roc_curve(label, probability, drop_intermediate=False)
    rate = np.linspace(0, 1, 200_001)
    crossing = rate[np.argmin(np.abs(np.interp(rate, false_alarm, hit) - (1 - rate)))]
    assert measure("eer", label, probability) == pytest.approx(crossing, abs=1e-5)


def test_multilabel_as_scikit_learn(multilabel):
    label, probability = multilabel
    columns = list(zip(label.T, probability.T, strict=True))
    brier = np.mean([sklearn.metrics.brier_score_loss(*column) for column in columns])
    log_loss = np.mean([sklearn.metrics.log_loss(*column) for column in columns])
    assert measure("brier", label, probability) == pytest.approx(brier)
    assert measure("log_loss", label, probability) == pytest.approx(log_loss)
    decided = probability >= 0.5
    assert measure("accuracy", label, probability) == pytest.approx((decided == label).mean())
    expected = sklearn.metrics.f1_score(label, decided, average="macro")
    assert measure("macro_f1", label, probability) == pytest.approx(expected)
    for name in ("precision", "recall"):
        expected = getattr(sklearn.metrics, f"{name}_score")(label, decided, average="macro")
        assert measure(name, label, probability) == pytest.approx(expected)


def test_multiclass_as_scikit_learn(multiclass):
    label, probability = multiclass
    truth, decided = label.argmax(axis=1), probability.argmax(axis=1)
    assert measure("log_loss", label, probability) == pytest.approx(sklearn.metrics.log_loss(truth, probability))
    assert measure("accuracy", label, probability) == sklearn.metrics.accuracy_score(truth, decided)
    expected = sklearn.metrics.f1_score(truth, decided, average="macro")
    assert measure("macro_f1", label, probability) == pytest.approx(expected)
    for name in ("precision", "recall"):
        expected = getattr(sklearn.metrics, f"{name}_score")(truth, decided, average="macro")
        assert measure(name, label, probability) == pytest.approx(expected)
    assert measure("auc", label, probability) == pytest.approx(sklearn.metrics.roc_auc_score(label, probability))


def test_multiclass_can_be_overruled():
    label, probability = [[1, 0], [0, 1]], [[0.9, 0.6], [0.7, 0.6]]
    assert measure("accuracy", label, probability) == 0.5
    assert measure("accuracy", label, probability, multiclass=False) == 0.5
    assert measure("macro_f1", label, probability) == pytest.approx((2 / 3 + 0) / 2)
    assert measure("macro_f1", label, probability, multiclass=False) == pytest.approx(2 / 3)
    assert measure("log_loss", label, probability) == pytest.approx(-np.log(0.9 / 1.5 * 0.6 / 1.3) / 2)
    assert measure("precision", label, probability) == pytest.approx((1 / 2 + 0) / 2)
    assert measure("precision", label, probability, multiclass=False) == pytest.approx(1 / 2)
    assert measure("recall", label, probability) == pytest.approx((1 + 0) / 2)
    assert measure("recall", label, probability, multiclass=False) == 1.0
    separate = -np.log([0.9, 1 - 0.6, 1 - 0.7, 0.6]).mean()
    assert measure("log_loss", label, probability, multiclass=False) == pytest.approx(separate)


def test_macro_f1_leaves_out_what_never_occurs():
    assert measure("macro_f1", [[1, 0, 0], [0, 1, 0]], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]) == 1.0
    assert np.isnan(measure("macro_f1", [0, 0], [0.1, 0.2]))


@pytest.mark.parametrize("name", ["precision", "recall"])
def test_precision_and_recall_leave_out_what_never_occurs(name):
    assert measure(name, [[1, 0, 0], [0, 1, 0]], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]) == 1.0
    assert measure(name, [1, 1], [0.1, 0.2]) == measure(name, [0, 0], [0.8, 0.9]) == 0.0
    assert np.isnan(measure(name, [0, 0], [0.1, 0.2]))


def test_log_loss_of_a_certain_error_is_finite():
    assert measure("log_loss", [1, 0], [0.0, 1.0]) == pytest.approx(-np.log(np.finfo(float).eps), rel=1e-3)


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("name", [*RANKING, "dacon_score", "min_tdcf"])
def test_one_class_has_no_ranking(name, only):
    assert np.isnan(measure(name, [only] * 4, [0.1, 0.2, 0.3, 0.4]))
    assert np.isnan(measure(name, [[only, 0], [only, 1]], [[0.1, 0.2], [0.3, 0.4]]))


@pytest.mark.parametrize("change", [np.sqrt, lambda p: p**3, lambda p: p / 2, lambda p: 0.4 + p / 10])
@pytest.mark.parametrize("name", [*RANKING, "min_tdcf"])
def test_monotone_change_keeps_the_ranking(name, change, multilabel):
    label, probability = multilabel
    assert measure(name, label, change(probability)) == measure(name, label, probability)


def test_flips(multilabel):
    label, probability = multilabel
    assert measure("auc", 1 - label, probability) == pytest.approx(1 - measure("auc", label, probability))
    assert measure("eer", 1 - label, probability) == pytest.approx(1 - measure("eer", label, probability))
    for name in [*RANKING, "brier", "log_loss"]:
        assert measure(name, 1 - label, 1 - probability) == pytest.approx(measure(name, label, probability))


class TestDaconScore:
    def test_constant_half(self):
        assert measure("dacon_score", [[0, 1], [1, 0]] * 5, np.full((10, 2), 0.5)) == 0.3125

    def test_by_hand(self):
        # AUC 3/4; Brier (.01 + .64 + .49 + .01) / 4; each clip alone in its bin: ECE (.1 + .8 + .7 + .1) / 4.
        expected = 0.5 * 0.25 + 0.25 * 1.15 / 4 + 0.25 * 1.7 / 4
        assert measure("dacon_score", [0, 1, 0, 1], [0.1, 0.2, 0.7, 0.9]) == pytest.approx(expected)

    def test_parts_add_up(self, multilabel):
        label, probability = multilabel
        table = load("metrics", "dacon_score").parts(label, probability, ["fake", "real"])
        assert list(table.index) == ["fake", "real", "mean"]
        assert list(table.columns) == ["auc", "brier", "ece", "eer", "score"]
        for name in ["auc", "brier", "ece", "eer"]:
            assert table.loc["real", name] == measure(name, label[:, 1], probability[:, 1])
            assert table.loc["mean", name] == pytest.approx(measure(name, label, probability))
        assert table.loc["mean", "score"] == pytest.approx(measure("dacon_score", label, probability))

    def test_parts_do_not_hide_nan(self):
        table = load("metrics", "dacon_score").parts(
            np.array([[1, 0], [1, 1]]), np.array([[0.2, 0.3], [0.4, 0.6]]), ["fake", "real"]
        )
        assert np.isnan(table.loc["mean", "score"]) and np.isnan(table.loc["fake", "auc"])
        assert np.isfinite(table.loc["real"]).all() and np.isfinite(table.loc["mean", "brier"])

    def test_parts_with_a_name_too_few(self, multilabel):
        with pytest.raises(FakevoiceError, match="1 names"):
            load("metrics", "dacon_score").parts(*multilabel, ["fake"])


def slow_tdcf(label, probability, p_miss_asv, p_fa_asv, p_miss_spoof_asv):
    """Threshold by threshold: three kinds of people, each with its prior, each wrongly treated at a cost."""
    costs = []
    for threshold in [*np.unique(probability), np.inf]:  # refused from the threshold on: all, ..., none
        miss = np.mean([p >= threshold for p, spoof in zip(probability, label, strict=True) if not spoof])
        false_alarm = np.mean([p < threshold for p, spoof in zip(probability, label, strict=True) if spoof])
        target = 0.95 * 0.99 * ((1 - miss) * p_miss_asv * 1 + miss * 1)
        nontarget = 0.95 * 0.01 * (1 - miss) * p_fa_asv * 10
        spoofed = 0.05 * false_alarm * (1 - p_miss_spoof_asv) * 10
        costs.append(target + nontarget + spoofed)
    unavoidable = 0.95 * 0.99 * p_miss_asv + 0.95 * 0.01 * p_fa_asv * 10  # what the ASV costs by itself
    return (min(costs) - unavoidable) / (min(costs[0], costs[-1]) - unavoidable)


class TestMinTdcf:
    @pytest.mark.parametrize("rates", [(0, 0, 0), (0.02, 0.02, 0.6), (0.3, 0.1, 0.1), (0, 0, 0.99)])
    @pytest.mark.parametrize("digits", [1, 15])
    def test_as_published(self, multilabel, rates, digits):
        label, probability = multilabel[0][:300, 0], multilabel[1][:300, 0].round(digits)
        names = ("p_miss_asv", "p_fa_asv", "p_miss_spoof_asv")
        value = measure("min_tdcf", label, probability, **dict(zip(names, rates, strict=True)))
        assert value == pytest.approx(slow_tdcf(label, probability, *rates))
        assert 0 < value <= 1

    def test_by_hand(self):
        # Weights of misses and false alarms are .9405 and .5: at best half of the spoofs go through, or half of
        # the people are refused.
        assert measure("min_tdcf", [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.5)
        assert measure("min_tdcf", [1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(1.0)
        assert measure("min_tdcf", [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.9405 / 3 / 0.5)
        # An ASV that refuses 90 % of the spoofs: .05 instead of .5, and no people are worth refusing.
        assert measure("min_tdcf", [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], p_miss_spoof_asv=0.9) == pytest.approx(1.0)

    @pytest.mark.parametrize("rates", [{}, {"p_miss_spoof_asv": 0.2}, {"p_miss_asv": 0.9}])
    def test_ends(self, rates):
        assert measure("min_tdcf", [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], **rates) == 0.0
        assert measure("min_tdcf", [0, 1, 0, 1], [0.7] * 4, **rates) == 1.0
        assert measure("min_tdcf", [1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], **rates) == 1.0

    @pytest.mark.parametrize(
        "rates", [{"p_miss_asv": 1.0}, {"p_miss_spoof_asv": 1.0}, {"p_miss_asv": 0.95, "p_fa_asv": 1}]
    )
    def test_undefined(self, rates):
        with pytest.raises(FakevoiceError, match="not defined for such a speaker verification: p_miss_asv"):
            measure("min_tdcf", [0, 1], [0.1, 0.9], **rates)

    @pytest.mark.parametrize("name", ["p_miss_asv", "p_fa_asv", "p_miss_spoof_asv"])
    @pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan])
    def test_impossible_rate(self, name, rate):
        with pytest.raises(FakevoiceError, match=f"{name} {rate} must be in"):
            measure("min_tdcf", [0, 1], [0.1, 0.9], **{name: rate})
