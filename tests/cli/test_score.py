"""A submission against its solution, as a leaderboard would."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.cli.score import chance_ece, measure_submission
from fakevoice.core import plugins
from fakevoice.core.errors import FakevoiceError

IDS = [f"{index:03d}" for index in range(60)]
STATES = np.resize(["none", "real", "fake", "real+real", "fake+fake", "real+fake"], 60)


@pytest.fixture
def solution() -> pd.DataFrame:
    heard = pd.Series(STATES)
    columns = {name: heard.str.contains(name).astype(int) for name in ("fake", "real")}
    return pd.DataFrame({"id": IDS, "state": STATES, **columns})


@pytest.fixture
def submission(solution) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.3, (60, 2))
    probability = np.clip(solution[["fake", "real"]] * 0.5 + 0.25 + noise, 0.001, 0.999)
    return pd.concat([solution[["id"]], probability], axis=1)


@pytest.fixture
def measured(tmp_path):
    def measure(submission: pd.DataFrame, solution: pd.DataFrame) -> str:
        submission.to_csv(tmp_path / "submission.csv", index=False)
        solution.to_csv(tmp_path / "solution.csv", index=False)
        return measure_submission(tmp_path / "submission.csv", tmp_path / "solution.csv")

    return measure


def test_the_score_is_the_metrics(measured, submission, solution):
    outputs = ["fake", "real"]
    score = plugins.load("metrics", "dacon_score").measure(solution[outputs].to_numpy(), submission[outputs].to_numpy())
    assert f"score {score:.5f}" in measured(submission, solution)
    assert "n = 60" in measured(submission, solution)


def test_the_order_of_rows_and_columns_does_not_matter(measured, submission, solution):
    shuffled = submission.sample(frac=1, random_state=1)
    assert measured(shuffled, solution) == measured(submission, solution)
    score = measured(submission, solution).splitlines()[-1].split(" (")[0]
    assert score in measured(submission[["id", "real", "fake"]], solution)


def test_states_are_told_apart_pair_by_pair(measured, submission, solution):
    table = measured(submission, solution)
    assert table.count("\n") > 2 * 9  # each output: three states that hold it against three that do not
    perfect = solution.drop(columns="state").assign(fake=solution["fake"] * 0.8 + 0.1, real=solution["real"])
    pairs = [line.split() for line in measured(perfect, solution).splitlines() if " none " in line]
    assert {line[3] for line in pairs} == {"1.000"} and {line[-1] for line in pairs} == {"0.000"}
    assert "against" not in measured(submission, solution.drop(columns="state"))


def test_a_label_of_the_solution_that_is_not_0_or_1_is_named(measured, submission, solution):
    solution.loc[30, "fake"] = 2
    with pytest.raises(FakevoiceError, match=r"solution.csv: fake is not 0 or 1 in 1 of 60 rows, id 030"):
        measured(submission, solution)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table[1:], "lacks 1 of the ids in .*: 000"),
        (lambda table: table.rename(columns={"fake": "spoof"}), "no labels for"),
        (lambda table: table[["id"]], "no labels for"),
        (
            lambda table: table.assign(fake=["?", *table["fake"][1:]]),
            r"fake is not a finite number in 1 of .* id 000 \(\?",
        ),
        (lambda table: table.assign(fake=["", *table["fake"][1:]]), "fake is blank in 1 of 60 rows, id 000"),
        (lambda table: table.assign(fake=[*table["fake"][:59], "inf"]), "fake is not a finite number in 1 .* id 059"),
        (
            lambda table: table.assign(real=[*table["real"][:17], 1.00002, *table["real"][18:]]),
            "real .* 1 of 60 .* id 017",
        ),
        (lambda table: table.assign(fake=["０.５", *table["fake"][1:]]), "id 000"),
        (lambda table: table[:0], "a header and no rows"),
        (lambda table: pd.concat([table, table[:1]]), "000"),
        (lambda table: table.rename(columns={"id": "name"}), "id"),
        (lambda table: table.assign(fake=table["fake"] + 1), "outside"),
    ],
)
def test_what_does_not_fit_is_refused(measured, submission, solution, damage, message):
    with pytest.raises(FakevoiceError, match=message):
        measured(damage(submission), solution)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FakevoiceError, match=r"nowhere\.csv"):
        measure_submission(tmp_path / "nowhere.csv", tmp_path / "solution.csv")
    (tmp_path / "Nowhere.csv").touch()
    with pytest.raises(FakevoiceError, match=r"no such file; there is 'Nowhere.csv', which differs in upper and lower"):
        measure_submission(tmp_path / "nowhere.csv", tmp_path / "solution.csv")


def test_chance_leaves_an_ece():
    probability = np.tile([[0.25, 0.75]], (400, 1))
    spread = np.sqrt(0.25 * 0.75 / 400)
    found = chance_ece(probability)
    assert found == pytest.approx(np.sqrt(2 / np.pi) * spread, rel=0.15)  # one bin: the mean of |N(0, spread)|
    assert chance_ece(np.tile([[0.25, 0.75]], (1600, 1))) == pytest.approx(found / 2, rel=0.2)
    assert chance_ece(np.array([[0.0, 1.0]])).tolist() == [0.0, 0.0]


def test_the_ece_of_chance_is_printed(measured, submission, solution):
    both = chance_ece(submission[["fake", "real"]].to_numpy())
    assert f"fake {both[0]:.4f}, real {both[1]:.4f}\n" in measured(submission, solution)
