"""Error rates at every threshold, shared by the measures that read them off."""

import numpy as np


def error_rates(label: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False positive and false negative rates, from accepting no clip to accepting all.

    Clips are accepted in the order of falling probability; clips of equal probability together.

    Args:
        label: (n_clips,) of 0 and 1, both present.
        probability: (n_clips,).

    Returns:
        Two arrays (n_thresholds,) float64.

    Source: Fawcett, "An introduction to ROC analysis", 2006, section 5 (ties).
    """
    n_ones = np.count_nonzero(label)
    n_zeros = len(label) - n_ones
    order = np.argsort(-probability)
    ends_tie = np.append(np.diff(probability[order]) != 0, True)
    n_accepted = np.append(0, np.flatnonzero(ends_tie) + 1)
    n_hits = np.append(0, np.cumsum(label[order])[ends_tie])
    return (n_accepted - n_hits) / n_zeros, 1 - n_hits / n_ones
