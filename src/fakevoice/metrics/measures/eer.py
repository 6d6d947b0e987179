"""Equal error rate: where false alarms are as frequent as misses."""

import numpy as np

from fakevoice.metrics.checks import mean_over_outputs
from fakevoice.metrics.roc import error_rates

GREATER_IS_BETTER = False


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean EER over the outputs, interpolated linearly on the ROC curve with all of its points.

    Clips of equal probability are accepted or refused together; a line crosses their step, so that
    a constant gives 0.5.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].

    Returns:
        In [0, 1]; nan as soon as one output has a single class.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: Fawcett, "An introduction to ROC analysis", 2006, section 5 (ties).
    """
    return mean_over_outputs(_eer, label, probability)


def _eer(label: np.ndarray, probability: np.ndarray) -> float:
    if label.all() or not label.any():
        return float("nan")
    false_alarm_rate, miss_rate = error_rates(label, probability)
    # The difference rises from -1 to 1, strictly: the curve crosses zero once.
    return float(np.interp(0.0, false_alarm_rate - miss_rate, false_alarm_rate))
