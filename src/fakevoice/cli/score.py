"""Measures a submission against a solution, as a leaderboard would, by output and by state."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from fakevoice.core import plugins
from fakevoice.core.errors import DataError
from fakevoice.core.random import Stream, generator
from fakevoice.core.tables import read_text_table
from fakevoice.data.clip_tables import list_names
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import pair_aucs

N_DRAWS = 200
TEXT = ("id", "state")


def measure_submission(submission: Path, solution: Path) -> str:
    """A readable table of `dacon_score` and its parts, or of the metric whose `OUTPUTS` are the columns.

    Rows are joined by id, so that their order cannot change the score.

    Args:
        submission: CSV with id and one probability column per output.
        solution: CSV with id and the same columns holding 0 and 1; a column ``state`` is used where there is one.

    Raises:
        DataError: columns or ids do not fit.
    """
    predicted, truth = _read(submission), _read(solution)
    outputs = [column for column in predicted if column not in TEXT]
    if not outputs or set(outputs) - set(truth.columns):
        raise DataError(f"{solution} has no labels for {', '.join(outputs) or 'any output'} of {submission}")
    missing = truth.loc[~truth["id"].isin(predicted["id"]), "id"].tolist()
    if missing:
        raise DataError(f"{submission} lacks {len(missing)} of the ids in {solution}: {list_names(missing)}")
    _refuse(solution, truth, outputs, lambda values: (values != 0) & (values != 1), "is not 0 or 1")
    _refuse(submission, predicted, outputs, lambda values: (values < 0) | (values > 1), "is outside 0 to 1")
    rows = predicted.set_index("id").loc[truth["id"]]
    both, label = truth, truth[outputs].to_numpy(float)
    probability = rows[outputs].to_numpy(float)
    metric = _metric_of(outputs)
    low, high = bootstrap_interval(metric.measure, label, probability)
    result = f"score {metric.measure(label, probability):.5f} (95 % interval {low:.4f} to {high:.4f}), n = {len(both)}"
    if hasattr(metric, "OUTPUTS"):
        values = metric.components(label, probability)
        return "\n".join([*(f"{name} {value:.4f}" for name, value in values.items()), result])
    lines = [metric.parts(label, probability, outputs).to_string(float_format="{:.4f}".format)]
    floor = zip(outputs, chance_ece(probability), strict=True)
    lines.append(
        "ECE by chance, were these probabilities perfectly calibrated: " + ", ".join(f"{o} {v:.4f}" for o, v in floor)
    )
    if "state" in both:
        sides = {output: {state: output in state.split("+") for state in both["state"].unique()} for output in outputs}
        pairs = pair_aucs(both["state"], probability, sides).drop(columns="n")
        lines.append(pairs.to_string(index=False, float_format="{:.3f}".format))
    return "\n".join([*lines, result])


def _metric_of(outputs: list[str]) -> ModuleType:
    modules = [plugins.load("metrics", name) for name in plugins.names("metrics")]
    fitting = [module for module in modules if list(getattr(module, "OUTPUTS", ())) == outputs]
    return fitting[0] if fitting else plugins.load("metrics", "dacon_score")


def chance_ece(probability: np.ndarray) -> np.ndarray:
    """The ECE that is left where labels are drawn by the probabilities themselves, the mean of some draws.

    A bin of few clips never holds exactly the share that it promises.

    Args:
        probability: (n_clips, n_outputs).

    Returns:
        (n_outputs,) float64.
    """
    rng = generator(Stream.CALIBRATED_LABELS, 0)
    measure = plugins.load("metrics", "ece").measure
    drawn = rng.random((N_DRAWS, *probability.shape)) < probability
    columns = range(probability.shape[1])
    return np.mean([[measure(label[:, [i]], probability[:, [i]]) for i in columns] for label in drawn], axis=0)


def _refuse(
    path: Path, table: pd.DataFrame, outputs: list[str], is_bad: Callable[[pd.Series], pd.Series], what: str
) -> None:
    """Raise with the ids of the rows that are blank, no number, or bad; columns become numbers.

    Raises:
        DataError: with the first ten ids.
    """
    for output in outputs:
        text = table[output].str.strip()
        number = pd.to_numeric(text, errors="coerce").where(text.map(str.isascii))
        problems = {"is blank": text == "", "is not a finite number": ~np.isfinite(number), what: is_bad(number)}
        for problem, rows in problems.items():
            if rows.any():
                ids = list_names(table.loc[rows, "id"].tolist())
                first = f" ({text[rows].iloc[0]})" if problem != "is blank" else ""
                raise DataError(f"{path}: {output} {problem} in {rows.sum()} of {len(table)} rows, id {ids}{first}")
        table[output] = number


def _read(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    if "id" not in table:
        raise DataError(f"{path} has no column id")
    if table.empty:
        raise DataError(f"{path} has a header and no rows")
    if table["id"].duplicated().any():
        raise DataError(f"{path}: id {table['id'][table['id'].duplicated()].iloc[0]!r} stands twice")
    return table
