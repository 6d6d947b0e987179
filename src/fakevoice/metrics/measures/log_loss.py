"""Log loss: the mean of -log of the probability given to what was true."""

import numpy as np

from fakevoice.metrics.checks import checked, is_multiclass

GREATER_IS_BETTER = False
PROBABILITY_FLOOR = np.finfo(np.float64).eps


def measure(label: np.ndarray, probability: np.ndarray, *, multiclass: bool | None = None) -> float:
    """Cross-entropy of the true class (multiclass), or the mean binary cross-entropy over the outputs.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1]; drawn in from 0 and 1 by 2.2e-16, and in a multiclass
            task divided by the sum of its row.
        multiclass: None takes one-hot labels for a multiclass task. Say False where a slice of a
            multilabel task happens to have one label in each row.

    Returns:
        In nats, 0 or more.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Good, "Rational decisions", 1952, section 8.
    """
    label, probability = checked(label, probability)
    probability = np.clip(probability, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    if is_multiclass(label) if multiclass is None else multiclass:
        of_truth = probability[label] / probability.sum(axis=1)
    else:
        of_truth = np.where(label, probability, 1 - probability)
    return float(-np.mean(np.log(of_truth)))
