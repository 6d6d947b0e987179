"""The score of DACON 236749 against values worked out by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from fakevoice.cli.score import measure_submission
from fakevoice.core.errors import FakevoiceError
from fakevoice.core.plugins import load

metric = load("metrics", "deepvoice_score")

# columns: file fake, voice fake, music fake, voice present, music present
LABEL = np.array(
    [
        [1, 1, 0, 1, 0],
        [0, 0, 0, 1, 0],
        [1, 0, 1, 0, 1],
        [0, 0, 0, 0, 1],
        [1, 1, 0, 1, 1],
        [0, 0, 0, 1, 1],
    ]
)


def sklearn_eer(label: np.ndarray, score: np.ndarray) -> float:
    """As the rules define it."""
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(label, score, drop_intermediate=False)
    difference = np.abs(false_positive - (1 - true_positive))
    index = np.argmin(difference)
    return (false_positive[index] + 1 - true_positive[index]) / 2


def test_right_order_everywhere_scores_one_and_the_opposite_zero():
    assert metric.measure(LABEL, 0.2 + 0.6 * LABEL) == pytest.approx(1.0)
    assert metric.measure(LABEL, 0.8 - 0.6 * LABEL) == pytest.approx(0.0)


def test_one_wrong_voice_costs_what_the_rules_say():
    """Voice is scored on files 0, 1, 4 and 5; 1 and 4 are in the wrong order, so that 1 of 2 is missed at EER .5."""
    probability = 0.2 + 0.6 * LABEL
    probability[[0, 1, 4, 5], 1] = [0.9, 0.6, 0.3, 0.1]
    assert metric.components(LABEL, probability)["eer_voice"] == pytest.approx(0.5)
    assert metric.measure(LABEL, probability) == pytest.approx(1 - 0.9 * 0.2 * 0.5)


def test_presence_costs_a_tenth():
    """Music is present in 4 of 6 files; the two without it get the highest probability: AUC 0."""
    probability = 0.2 + 0.6 * LABEL
    probability[:, 4] = 1 - probability[:, 4]
    assert metric.components(LABEL, probability)["auc_music_present"] == 0
    assert metric.measure(LABEL, probability) == pytest.approx(0.95)


def test_files_without_a_component_do_not_count_for_it():
    probability = 0.2 + 0.6 * LABEL
    changed = probability.copy()
    changed[[2, 3], 1] = [0.99, 0.01]  # no voice
    changed[[0, 1], 2] = [0.99, 0.01]  # no music
    assert metric.measure(LABEL, changed) == metric.measure(LABEL, probability)
    changed[0, 1] = 0.01  # a voice
    assert metric.measure(LABEL, changed) < metric.measure(LABEL, probability)


def test_ties_are_accepted_together():
    """Constant answers: the curve has the points (0, 1) and (1, 0), both 1 apart; the first gives EER .5, AUC is .5."""
    assert metric.measure(LABEL, np.full(LABEL.shape, 0.5)) == pytest.approx(0.5)
    probability = 0.2 + 0.6 * LABEL
    probability[:, 0] = [0.9, 0.5, 0.5, 0.1, 0.9, 0.1]  # one fake ties with one real file
    # thresholds .9, .5, .1: FPR 0, 1/3, 1 and FNR 1/3, 0, 0; the first and the second are equally close
    assert metric.components(LABEL, probability)["eer_file"] == pytest.approx(1 / 6)


@pytest.mark.parametrize("n_digits", [1, 2, 6])
def test_equal_error_rates_are_those_of_scikit_learn(n_digits):
    rng = np.random.default_rng(n_digits)
    for _ in range(40):
        present = rng.integers(0, 2, (60, 2))
        fake = present & rng.integers(0, 2, (60, 2))
        label = np.column_stack([fake.any(axis=1), fake, present]).astype(int)
        probability = np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1).round(n_digits)
        values = metric.components(label, probability)
        assert values["eer_file"] == pytest.approx(sklearn_eer(label[:, 0], probability[:, 0]))
        for column, name in ((1, "eer_voice"), (2, "eer_music")):
            rows = label[:, column + 2] == 1
            assert values[name] == pytest.approx(sklearn_eer(label[rows, column], probability[rows, column]))


def test_it_differs_from_the_interpolated_measure():
    label, score = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.3, 0.8, 0.2, 0.1])
    assert metric._eer(label.astype(bool), score) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert load("metrics", "eer").measure(label, score) == pytest.approx(1 / 3)


@pytest.mark.parametrize("column", range(5))
def test_a_single_class_has_no_score(column):
    label = LABEL.copy()
    label[:, column] = 0
    assert np.isnan(metric.measure(label, np.random.default_rng(0).random(label.shape)))


def test_another_number_of_columns_is_refused():
    with pytest.raises(FakevoiceError, match=r"deepvoice_score needs the 5 outputs FILE_FAKE_PROB, .*: 2"):
        metric.measure(LABEL[:, :2], LABEL[:, :2] / 2)


def test_the_command_scores_a_submission_of_these_outputs(tmp_path):
    rng = np.random.default_rng(0)
    present = rng.integers(0, 2, (60, 2))
    fake = present & rng.integers(0, 2, (60, 2))
    label = np.column_stack([fake.any(axis=1), fake, present])
    probability = rng.random(label.shape)
    for name, values in (("submission", probability), ("solution", label)):
        table = pd.DataFrame(values, columns=list(metric.OUTPUTS))
        table.insert(0, "id", [f"T{i}" for i in range(60)])
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    first, *_, last = measure_submission(tmp_path / "submission.csv", tmp_path / "solution.csv").splitlines()
    assert first == f"eer_file {metric.components(label, probability)['eer_file']:.4f}"
    assert last.startswith(f"score {metric.measure(label, probability):.5f} (95 % interval")
