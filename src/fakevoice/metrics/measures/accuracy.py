"""Accuracy: the share of right decisions."""

import numpy as np

from fakevoice.metrics.checks import checked, decisions, is_multiclass

GREATER_IS_BETTER = True


def measure(label: np.ndarray, probability: np.ndarray, *, multiclass: bool | None = None) -> float:
    """Share of clips whose most probable class is right (multiclass), or of outputs on the right side of 0.5.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].
        multiclass: None takes one-hot labels for a multiclass task. Say False where a slice of a
            multilabel task happens to have one label in each row.

    Returns:
        In [0, 1].

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.
    """
    label, probability = checked(label, probability)
    multiclass = is_multiclass(label) if multiclass is None else multiclass
    right = decisions(probability, multiclass) == label
    # One wrong class is two wrong outputs, but one wrong clip.
    return float(np.mean(right.all(axis=1) if multiclass else right))
