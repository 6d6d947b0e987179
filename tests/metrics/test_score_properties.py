"""What must hold of every score whatever is scored, tried on drawn cases: few clips, ties, bin edges, certainties."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pytest

from fakevoice.cli.score import measure_submission
from fakevoice.core.config import load_config
from fakevoice.core.errors import FakevoiceError, SubmissionError
from fakevoice.core.plugins import load, names
from fakevoice.ensemble.blend import cross_fit
from fakevoice.pipeline.submission import check_submission, make_submission

N_CASES = 120
METRICS = [name for name in names("metrics") if not hasattr(load("metrics", name), "OUTPUTS")]
RANKING = ["auc", "eer", "min_tdcf"]  # which know an order of the clips and nothing else
WORSE = {"min_tdcf": 1.0, "log_loss": -np.log(np.finfo(float).eps)}  # where all is wrong; of others 0 or 1
SHAPES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda p: p,
    lambda p: p.round(1),  # ties, and all on bin edges
    lambda p: p.round(),  # certain, rightly or not
    lambda p: np.clip(3 * p - 1, 0, 1),  # partly certain
    lambda p: np.nextafter(p.round(1), 0),  # as close below an edge as can be
    lambda p: np.full_like(p, 0.5),
)


@dataclass(frozen=True)
class Case:
    """Labels (n_clips, n_outputs) of 0 and 1, both in each output, and probabilities of the same shape."""

    label: np.ndarray
    probability: np.ndarray
    rng: np.random.Generator

    @cached_property
    def order(self) -> np.ndarray:
        return self.rng.permutation(len(self.label))

    def with_other_values(self) -> np.ndarray:
        """Probabilities in the same order, ties included, of which nothing else is kept."""
        columns = [np.unique(column, return_inverse=True) for column in self.probability.T]
        return np.stack([np.sort(self.rng.random(len(values)))[place] for values, place in columns], axis=1)


def measure(name: str, label: np.ndarray, probability: np.ndarray) -> float:
    metric = load("metrics", name).measure
    # one label in each row by chance makes no multi-class task
    words = {"multiclass": False} if "multiclass" in (metric.__kwdefaults__ or {}) else {}
    return metric(label, probability, **words)


def drawn(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n_clips, n_outputs = rng.integers(2, 50), rng.integers(1, 4)
    label = (rng.random((n_clips, n_outputs)) < rng.uniform(0.1, 0.9, n_outputs)).astype(int)
    label[0], label[-1] = 0, 1
    told = rng.uniform(-0.3, 0.9)  # from worse than chance to nearly all
    probability = (1 - abs(told)) * rng.random(label.shape) + abs(told) * (label if told > 0 else 1 - label)
    return Case(label, SHAPES[seed % len(SHAPES)](probability), rng)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [drawn(seed) for seed in range(N_CASES)]


def same(value: float) -> pytest.approx:
    return pytest.approx(value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
class TestEveryMetric:
    def test_order_of_clips(self, name, cases):
        for case in cases:
            shuffled = measure(name, case.label[case.order], case.probability[case.order])
            assert shuffled == same(measure(name, case.label, case.probability))

    def test_every_clip_twice(self, name, cases):
        for case in cases:
            twice = measure(name, np.tile(case.label, (2, 1)), np.tile(case.probability, (2, 1)))
            assert twice == same(measure(name, case.label, case.probability))

    def test_order_of_outputs(self, name, cases):
        for case in cases:
            mirrored = measure(name, case.label[:, ::-1], case.probability[:, ::-1])
            assert mirrored == same(measure(name, case.label, case.probability))

    def test_outputs_that_are_taken_for_each_other_are_seen(self, name, cases):
        several = [case for case in cases if case.label.shape[1] > 1]
        mistaken = [measure(name, case.label, case.probability[:, ::-1]) for case in several]
        assert mistaken != [measure(name, case.label, case.probability) for case in several]

    def test_range(self, name, cases):
        highest = WORSE.get(name, 1.0)
        for case in cases:
            value = measure(name, case.label, case.probability)
            assert np.isnan(value) or 0 <= value <= highest

    def test_all_right_and_all_wrong(self, name, cases):
        best, worst = (1.0, 0.0) if load("metrics", name).GREATER_IS_BETTER else (0.0, WORSE.get(name, 1.0))
        for case in cases:
            assert measure(name, case.label, case.label.astype(float)) == pytest.approx(best, abs=1e-12)
            assert measure(name, case.label, 1.0 - case.label) == pytest.approx(worst)


@pytest.mark.parametrize("name", RANKING)
def test_a_ranking_knows_the_order_alone(name, cases):
    for case in cases:
        value = measure(name, case.label, case.probability)
        assert measure(name, case.label, case.with_other_values()) == value


@pytest.mark.parametrize("name", ["brier", "ece", "log_loss", "dacon_score"])
def test_probabilities_are_more_than_an_order(name, cases):
    for case in cases[::6]:
        value = measure(name, case.label, case.probability)
        assert measure(name, case.label, case.with_other_values()) != pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_the_opposite_label(name, cases):
    for case in cases:
        value = measure(name, case.label, case.probability)
        assert measure(name, 1 - case.label, case.probability) == same(1 - value)
        assert measure(name, case.label, 1 - case.probability.round(6)) == pytest.approx(
            1 - measure(name, case.label, case.probability.round(6)), abs=1e-12
        )


@pytest.mark.parametrize("name", ["auc", "eer", "brier", "log_loss", "ece", "dacon_score"])
def test_the_opposite_of_both(name, cases):
    """Real instead of fake, said by its own probability; bins count an edge from below, so off the edges."""
    for case in cases:
        probability = np.clip(case.probability * 0.96 + 0.0123, 0.03, 0.97).round(4)
        off = np.where(np.isclose(probability * 10 % 1, 0), probability + 0.001, probability)
        assert measure(name, 1 - case.label, 1 - off) == same(measure(name, case.label, off))


def test_one_probability_for_all(cases):
    for case in cases:
        share = case.label.mean(axis=0)
        for constant in (0.0, 0.1, 0.37, 0.5, 1.0):
            probability = np.full(case.label.shape, constant)
            value = {name: measure(name, case.label, probability) for name in METRICS}
            assert value["auc"] == 0.5 and value["eer"] == pytest.approx(0.5) and value["min_tdcf"] == pytest.approx(1)
            assert value["brier"] == pytest.approx(np.mean((constant - case.label) ** 2))
            assert value["ece"] == pytest.approx(np.mean(np.abs(constant - share)))
            assert value["dacon_score"] == pytest.approx(0.25 + 0.25 * value["brier"] + 0.25 * value["ece"])


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("ece", "dacon_score")])
def test_nearer_to_the_truth_is_never_worse(name, cases):
    """An ECE, and a score that holds one, may rise: bins of few clips are left."""
    sign = 1 if load("metrics", name).GREATER_IS_BETTER else -1
    for case in cases:
        nearer = case.probability + case.rng.random(case.label.shape) * (case.label - case.probability)
        before, after = (measure(name, case.label, p) for p in (case.probability, nearer))
        assert np.isnan(before) or sign * after >= sign * before - 1e-12


# a submission


@pytest.fixture
def solution() -> pd.DataFrame:
    label = np.random.default_rng(0).integers(0, 2, (80, 2))
    return pd.DataFrame({"id": [f"T{i:03d}" for i in range(80)], "fake": label[:, 0], "real": label[:, 1]})


@pytest.fixture
def submission(solution) -> pd.DataFrame:
    noise = np.random.default_rng(1).random((80, 2))
    return pd.concat([solution[["id"]], 0.3 * solution[["fake", "real"]] + 0.69 * noise], axis=1)


@pytest.fixture
def score(tmp_path) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def measured(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
        files = tmp_path / "submission.csv", tmp_path / "solution.csv"
        for table, file in zip((submission, solution), files, strict=True):
            table.to_csv(file, index=False)
        return float(measure_submission(*files).splitlines()[-1].split()[1])

    return measured


def test_the_order_of_rows_in_either_file(score, submission, solution):
    value = score(submission, solution)
    for seed in range(3):
        mixed = [table.sample(frac=1, random_state=seed + i) for i, table in enumerate((submission, solution))]
        assert score(mixed[0], solution) == score(submission, mixed[1]) == score(*mixed) == value
    of_another = submission.assign(id=np.roll(submission["id"], 1))
    assert score(of_another, solution) != value  # rows are joined by id


@pytest.mark.parametrize("which", ["submission", "solution"])
def test_an_id_that_stands_twice_is_refused(score, submission, solution, which):
    tables = {"submission": submission, "solution": solution}
    tables[which] = pd.concat([tables[which], tables[which].iloc[[7]]])
    with pytest.raises(FakevoiceError, match=rf"{which}\.csv: id 'T007' stands twice"):
        score(**tables)


def test_clips_in_any_order_make_the_same_submission(solution):
    probability = np.random.default_rng(2).random((80, 2))
    template = solution.sample(frac=1, random_state=3)
    made = make_submission(template, solution["id"], probability, ["fake", "real"])
    order = np.random.default_rng(4).permutation(80)
    again = make_submission(template, solution["id"].iloc[order], probability[order], ["fake", "real"])
    pd.testing.assert_frame_equal(made, again)
    check_submission(made, template, solution["id"])
    with pytest.raises(SubmissionError, match="not in the order"):
        check_submission(made.iloc[order], template, solution["id"])


# the score out of fold

MEMBERS, FOLD = ["mel", "stack"], np.repeat([0, 1, 2], 50)


@pytest.fixture(scope="module")
def out_of_fold() -> tuple[np.ndarray, np.ndarray]:
    """Logits (150, 2, 2) and the labels (150, 2) of which they know something."""
    rng = np.random.default_rng(5)
    target = rng.integers(0, 2, (150, 2)).astype(float)
    return rng.normal(size=(150, 2, 2)) + (2 * target[:, None] - 1) * np.array([0.5, 1.0])[:, None], target


@pytest.fixture(params=names("calibrators"))
def scored(request) -> Callable[..., np.ndarray]:
    """`cross_fit` with each calibrator: logits, target, fold → probability."""
    config = load_config("demo", [f"ensemble.calibrator={request.param}"])
    return lambda logits, target, fold: cross_fit(logits, target, fold, MEMBERS, config).probability()


def test_no_calibrator_sees_what_it_scores(scored, out_of_fold):
    logits, target = out_of_fold
    honest = scored(logits, target, FOLD)
    for held_out in (np.equal(FOLD, k) for k in range(3)):
        swapped = np.where(held_out[:, None], 1 - target, target)
        after = scored(logits, swapped, FOLD)
        assert np.array_equal(after[held_out], honest[held_out])
        assert not np.allclose(after[~held_out], honest[~held_out])


def test_the_order_of_scenes_and_the_names_of_folds(scored, out_of_fold):
    logits, target = out_of_fold
    honest, order = scored(logits, target, FOLD), np.random.default_rng(6).permutation(150)
    np.testing.assert_allclose(scored(logits[order], target[order], FOLD[order]), honest[order], atol=1e-4)
    np.testing.assert_array_equal(scored(logits, target, (FOLD + 1) % 3), honest)
