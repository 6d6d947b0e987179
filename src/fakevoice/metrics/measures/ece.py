"""Expected calibration error: how far a bin's mean probability lies from its share of ones."""

import numpy as np

from fakevoice.metrics.checks import mean_over_outputs

GREATER_IS_BETTER = False
N_BINS = 10


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean ECE over the outputs, on the probability that the label is 1, with 10 uniform bins.

    Bin ``b`` holds b/10 <= p < (b + 1)/10 and the last one 1.0 as well: an edge belongs to the bin
    above it, as ``int(10 * p)`` says in float64. Scorers differ here, so what is submitted keeps off
    the edges.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].

    Returns:
        In [0, 1].

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", 2015, section on evaluation measures.
    """
    return mean_over_outputs(_ece, label, probability)


def _ece(label: np.ndarray, probability: np.ndarray) -> float:
    bins = np.minimum((probability * N_BINS).astype(np.int64), N_BINS - 1)
    # |mean p - mean y| · n_bin / n is |sum of (p - y)| / n: empty bins need no special case.
    return np.abs(np.bincount(bins, weights=probability - label, minlength=N_BINS)).sum() / len(label)
