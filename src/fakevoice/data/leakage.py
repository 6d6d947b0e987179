"""What would make a validation score a lie, looked for while the line runs: one side of a fold seen from the other.

Labels that a model is judged by are hidden from what fits it, so that reading one is an error and no better score. What
was drawn is held against the folds again, from the tables alone. A column that tells a label by itself in every fold is
taken for that label.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from fakevoice.core.errors import LeakError

MIN_ROWS = 5  # of each side in a fold, below which an AUC says nothing


def hide_labels(target: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Labels in which those of some rows are NaN, for who must not read them.

    Args:
        target: (n_rows, n_columns) of 0 and 1, or shares.
        held_out: (n_rows,) bool.
    """
    hidden = target.astype(np.result_type(target, np.float32))
    hidden[held_out] = np.nan
    return hidden


def refuse_hidden_labels(target: np.ndarray, who: str) -> None:
    """Stop where labels that `hide_labels` took away are about to be learned from.

    Raises:
        LeakError: the message says who was about to.
    """
    if np.isnan(target).any():
        raise LeakError(f"{who} was given {int(np.isnan(target).any(axis=1).sum())} rows that it is judged by")


def check_scenes(scenes: pd.DataFrame, voices: pd.DataFrame, bank: pd.DataFrame, folds: pd.DataFrame) -> None:
    """Hold drawn scenes against the folds, without the code that drew them.

    Args:
        scenes: scene, fold, noise, event.
        voices: scene, clip, group.
        bank: segment, kind, clip, fold of the noises.
        folds: rows of folds.csv.

    Raises:
        LeakError: a clip, group, scene or noise is heard on both sides of a fold; some are named.
    """
    found = pd.concat(_heard(scenes, voices, bank, folds))
    n_folds = found.groupby(["kind", "what"])["fold"].nunique()
    both = n_folds.index[n_folds > 1].tolist()
    if both:
        some = ", ".join(f"{kind} {what!r}" for kind, what in both[:5])
        raise LeakError(f"{len(both)} things are heard on both sides of a fold: {some}; ./run.sh scenes --force")


def _heard(
    scenes: pd.DataFrame, voices: pd.DataFrame, bank: pd.DataFrame, folds: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """Tables of kind, what and fold: of everything heard in a scene, and of everything that belongs to a fold."""
    voices = voices.merge(scenes[["scene", "fold"]], on="scene", validate="m:1")
    for kind in ("clip", "group", "scene"):
        yield _rows(kind, voices[kind], voices["fold"])
    for kind, column in (("clip", "id"), ("group", "group")):
        yield _rows(kind, folds[column], folds["fold"])
    segment = bank["segment"].astype(str)  # a number where it was drawn, text where it was read
    name = bank["kind"].astype(str) + ":" + segment
    source = bank["clip"].where(bank["clip"] != "", name)  # the clip that a noise was cut out of, or the made noise
    source_of = dict(zip(name, source, strict=True))
    for column in ("noise", "event"):
        noisy = scenes[["fold", column]].dropna()
        noisy = noisy[noisy[column] != ""]
        heard = [source_of.get(n, n) for n in noisy[column]]
        yield _rows("noise", pd.Series(heard, noisy.index, dtype=str), noisy["fold"])
    yield _rows("noise", source, bank["fold"])


def _rows(kind: str, what: pd.Series, fold: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"kind": kind, "what": what, "fold": fold})


def best_column(columns: np.ndarray, target: np.ndarray, fold: np.ndarray) -> tuple[float, int, int]:
    """The column that tells a label best by itself, wherever one looks.

    Args:
        columns: (n_rows, n_columns).
        target: (n_rows, n_outputs) of 0 and 1.
        fold: (n_rows,) int.

    Returns:
        AUC of the worst fold, in the direction of all of them, NaN where no label has enough rows of both sides in
        every fold; number of the column; number of the output.
    """
    aucs = np.stack([_aucs(columns[fold == index], target[fold == index]) for index in np.unique(fold)])
    worst = np.maximum(aucs.min(axis=0), (1 - aucs).min(axis=0))  # (n_outputs, n_columns)
    output, column = np.unravel_index(np.nan_to_num(worst).argmax(), worst.shape)
    return float(worst[output, column]), int(column), int(output)


def _aucs(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    """AUC (n_outputs, n_columns) of each column for each output; NaN where one side has too few rows.

    Source: Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    ranks, label = rankdata(np.nan_to_num(np.asarray(columns, np.float64)), axis=0), target.T.astype(np.float64)
    n_one = label.sum(axis=1, keepdims=True)
    n_zero = len(columns) - n_one
    enough = np.minimum(n_one, n_zero) >= MIN_ROWS
    above = label @ ranks - n_one * (n_one + 1) / 2
    return np.where(enough, above / np.where(enough, n_one * n_zero, 1), np.nan)


def check_oof(logits: np.ndarray, scored_by: np.ndarray, fold: np.ndarray) -> None:
    """Hold an OOF table against the folds.

    Args:
        logits: (n_rows, n_outputs).
        scored_by: (n_rows,) index of the fold model that scored each row, -1 where none did.
        fold: (n_rows,) fold of each row.

    Raises:
        LeakError: a row without a score, or scored by a model that was trained on it.
    """
    if (scored_by < 0).any() or not np.isfinite(logits).all():
        raise LeakError(f"{np.count_nonzero(scored_by < 0)} rows have no out-of-fold score")
    if (scored_by != fold).any():
        raise LeakError(f"{np.count_nonzero(scored_by != fold)} rows were scored by a model that saw them")
