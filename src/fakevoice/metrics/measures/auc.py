"""Area under the ROC curve: how often a clip with the label outranks one without; ties count half."""

import numpy as np

from fakevoice.metrics.checks import mean_over_outputs

GREATER_IS_BETTER = True


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean AUC over the outputs.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].

    Returns:
        In [0, 1]; nan as soon as one output has a single class, since there is nothing to rank.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    return mean_over_outputs(_auc, label, probability)


def _auc(label: np.ndarray, probability: np.ndarray) -> float:
    ones, zeros = np.sort(probability[label]), np.sort(probability[~label])
    if not len(ones) or not len(zeros):
        return float("nan")
    # Zeros below plus zeros not above: a pair won counts 2, a tie 1; whole numbers, so nothing is rounded.
    halves = np.searchsorted(zeros, ones, "left").sum() + np.searchsorted(zeros, ones, "right").sum()
    return float(halves / (2 * len(ones) * len(zeros)))
