"""Writes the submission, and checks it as the competition would; keeps the log of all submissions."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core.artifacts import write_text
from fakevoice.core.errors import SubmissionError
from fakevoice.core.locks import file_lock
from fakevoice.core.tables import csv_text, read_table, write_table
from fakevoice.core.tasks import off_the_edges

SCORES = ["oof_score", "expected_score", "expected_low", "expected_high"]
LOG_COLUMNS = ["file", "config", "experiment", *SCORES, "board_score"]
LOG = "log.csv"


def make_submission(
    template: pd.DataFrame, ids: pd.Series, probability: np.ndarray, outputs: list[str]
) -> pd.DataFrame:
    """Rows in the template's order with its columns.

    Args:
        template: sample submission: id, then one column per output.
        ids: (n_clips,) of `probability`'s rows.
        probability: (n_clips, n_outputs).
    """
    table = pd.DataFrame(off_the_edges(probability), columns=outputs)
    table.insert(0, "id", ids.to_numpy())
    joined = template[["id"]].merge(table, on="id", how="left", validate="1:1")
    return joined[["id", *(column for column in template.columns if column in outputs)]]


def check_submission(submission: pd.DataFrame, template: pd.DataFrame, test_ids: pd.Series) -> None:
    """Everything for which a site refuses a file.

    Raises:
        SubmissionError: columns, order, missing or duplicate ids, NaN, range, a probability on a bin edge.
    """
    if list(submission.columns) != list(template.columns):
        raise SubmissionError(f"columns {list(submission.columns)}, the sample has {list(template.columns)}")
    if submission["id"].duplicated().any():
        raise SubmissionError(f"id {submission['id'][submission['id'].duplicated()].iloc[0]!r} stands twice")
    if set(submission["id"]) != set(test_ids):
        difference = sorted(set(submission["id"]) ^ set(test_ids))
        raise SubmissionError(f"{len(difference)} ids differ from test.csv, e.g. {difference[0]!r}")
    if submission["id"].tolist() != template["id"].tolist():
        raise SubmissionError("rows are not in the order of the sample submission, which the scorer relies on")
    values = submission.iloc[:, 1:].to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise SubmissionError(f"{np.count_nonzero(~np.isfinite(values))} probabilities are missing or not finite")
    if values.min() < 0 or values.max() > 1:
        raise SubmissionError(f"probabilities from {values.min():.4g} to {values.max():.4g}: outside 0 to 1")
    if (np.abs(values * 10 - np.round(values * 10)) < 1e-9).any():
        raise SubmissionError("a probability lies exactly on a bin edge of the scorer")


def write_submission(folder: Path, competition: str, submission: pd.DataFrame, entry: dict) -> Path:
    """Write `<competition>-<hash>.csv`, named by its content, and one line in `log.csv`.

    Args:
        entry: as in `log_submission`.
    """
    content = csv_text(submission)
    path = folder / f"{competition}-{hashlib.sha256(content.encode()).hexdigest()[:8]}.csv"
    write_text(path, content)
    log_submission(folder, path.name, entry)
    return path


def log_submission(folder: Path, name: str, entry: dict) -> None:
    """Add the line of a submission, or of a package of a code competition, to `log.csv`.

    Args:
        name: ``<competition>-<hash>`` with an extension.
        entry: values of `LOG_COLUMNS` without ``file``; a line of the same name is replaced, its board score kept.
    """
    line = {column: str(entry.get(column, "")) for column in LOG_COLUMNS} | {"file": name}

    def with_line(log: pd.DataFrame) -> pd.DataFrame:
        same = log["file"] == name
        known = log.loc[same, "board_score"].iloc[0] if same.any() else ""
        return pd.concat([log[~same], pd.DataFrame([line | {"board_score": known}])])

    change_log(folder, with_line)


def read_log(folder: Path) -> pd.DataFrame:
    """One row per submission of any competition, newest last; all of `LOG_COLUMNS` are text, as the file holds them."""
    path = folder / LOG
    return read_table(path, tuple(LOG_COLUMNS)) if path.is_file() else pd.DataFrame(columns=LOG_COLUMNS)


def change_log(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Replace the log by what `change` makes of it; of several processes that do so at once none loses its line.

    Raises:
        LockedError: another process has held the log for too long.
    """
    with file_lock(folder / LOG):
        write_table(folder / LOG, change(read_log(folder)))
