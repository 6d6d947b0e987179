"""Brier score: the mean squared distance between probability and label."""

import numpy as np

from fakevoice.metrics.checks import mean_over_outputs

GREATER_IS_BETTER = False


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean Brier score over the outputs.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].

    Returns:
        In [0, 1]; also in a multiclass task the mean, not the sum, over the outputs.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    return mean_over_outputs(lambda label, probability: np.mean((probability - label) ** 2), label, probability)
