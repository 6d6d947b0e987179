"""Labels beside probabilities: what every metric asks of its two arrays, checked in one place."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fakevoice.core.errors import FakevoiceError

N_ROWS_SHOWN = 5
THRESHOLD = 0.5


def checked(label: ArrayLike, probability: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities as two arrays of one shape; a 1-D array counts as one output.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1, any dtype.
        probability: the same shape, in [0, 1].

    Returns:
        (n_clips, n_outputs) bool and (n_clips, n_outputs) float64.

    Raises:
        FakevoiceError: the shapes differ, there are no clips, or a value cannot be a label or a
            probability; the message counts the rows and names the first ones.
    """
    label, probability = np.asarray(label), np.asarray(probability, dtype=np.float64)
    if label.shape != probability.shape or label.ndim not in (1, 2):
        raise FakevoiceError(f"label {label.shape} and probability {probability.shape} must be (n_clips, n_outputs)")
    if not label.size:
        raise FakevoiceError(f"label and probability are empty: shape {label.shape}")
    refuse_rows(~((label == 0) | (label == 1)), "label", "other than 0 and 1")
    refuse_rows(~np.isfinite(probability), "probability", "not finite")
    refuse_rows((probability < 0) | (probability > 1), "probability", "outside [0, 1]")
    n_clips = len(label)
    return label.reshape(n_clips, -1).astype(bool), probability.reshape(n_clips, -1)


def refuse_rows(bad: np.ndarray, what: str, why: str) -> None:
    """Raise if anything is bad.

    Args:
        bad: (n_rows,) or (n_rows, n_outputs) bool.
        what: which array, for the message.
        why: what is wrong with the bad values, for the message.

    Raises:
        FakevoiceError: how many rows of how many, and the first of them.
    """
    if not bad.any():
        return
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    first = ", ".join(map(str, rows[:N_ROWS_SHOWN]))
    raise FakevoiceError(f"{what} is {why} in {len(rows)} of {len(bad)} rows (the first: {first})")


def mean_over_outputs(
    measure_output: Callable[[np.ndarray, np.ndarray], float], label: ArrayLike, probability: ArrayLike
) -> float:
    """Check both arrays and average a measure of one output over all outputs.

    Args:
        measure_output: takes (n_clips,) bool and (n_clips,) float64; a nan of one output makes the mean nan.
    """
    label, probability = checked(label, probability)
    columns = zip(label.T, np.ascontiguousarray(probability.T), strict=True)
    return float(np.mean([measure_output(*column) for column in columns]))


def is_multiclass(label: np.ndarray) -> bool:
    """Whether labels (n_clips, n_outputs) are one-hot: more than one output, exactly one 1 in each row."""
    return label.shape[1] > 1 and bool((label.sum(axis=1) == 1).all())


def decisions(probability: np.ndarray, multiclass: bool) -> np.ndarray:
    """What the probabilities say when pressed for an answer.

    Args:
        probability: (n_clips, n_outputs) float64.
        multiclass: the most probable output alone (the first on a tie), else each output of at least 0.5.

    Returns:
        (n_clips, n_outputs) bool.
    """
    if not multiclass:
        return probability >= THRESHOLD
    return probability.argmax(axis=1)[:, None] == np.arange(probability.shape[1])


def macro(
    share: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    label: ArrayLike,
    probability: ArrayLike,
    multiclass: bool | None,
) -> float:
    """Check both arrays, decide, and average a share of counts over the outputs that occur.

    Args:
        share: takes for each of these outputs how often it was rightly decided for, decided for, and there, each
            (n_outputs,) int, and gives (n_outputs,) float.
        multiclass: None takes one-hot labels for a multiclass task.

    Returns:
        The mean over outputs that are there or decided for; nan if none is.
    """
    label, probability = checked(label, probability)
    decided = decisions(probability, is_multiclass(label) if multiclass is None else multiclass)
    occurs = (decided | label).any(axis=0)
    counts = [np.count_nonzero(rows[:, occurs], axis=0) for rows in (decided & label, decided, label)]
    return float(np.mean(share(*counts))) if occurs.any() else float("nan")
