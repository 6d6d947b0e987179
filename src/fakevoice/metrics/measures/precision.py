"""Macro precision: of what is named, the share that is right, each output weighing the same."""

import numpy as np

from fakevoice.metrics.checks import macro

GREATER_IS_BETTER = True


def measure(label: np.ndarray, probability: np.ndarray, *, multiclass: bool | None = None) -> float:
    """Mean precision over the outputs, for the decision of the most probable class (multiclass) or of p >= 0.5.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].
        multiclass: None takes one-hot labels for a multiclass task. Say False where a slice of a
            multilabel task happens to have one label in each row.

    Returns:
        In [0, 1]. An output that is there and never decided for counts 0; one that is neither is left
        out, and nan if all are.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Sokolova & Lapalme, "A systematic analysis of performance measures for classification
    tasks", 2009, table 3.
    """
    return macro(lambda hits, decided, there: hits / np.maximum(decided, 1), label, probability, multiclass)
