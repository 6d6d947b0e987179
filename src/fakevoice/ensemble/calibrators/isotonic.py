"""Isotonic calibration: any rising curve, drawn through the centres of the blocks instead of as steps.

Steps would give one probability to all clips of a block and so lose the order inside it, and AUC with it.
"""

from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import logit as log_odds

from fakevoice.ensemble.calibration import can_fit, finite, to_probability

REACH = 100.0  # logits; beyond the outermost blocks the curve goes on for so long
RISE = 0.1  # logits; and rises by so little there: enough to keep the order, too little to claim anything


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Knots of the curve by pool-adjacent-violators; the identity with a warning where nothing can be learnt.

    Args:
        logit: (n_clips,) float64.
        label: (n_clips,) of 0 and 1.

    Returns:
        ``logit`` and ``calibrated``, two lists of knots, both in logits and rising.

    Raises:
        FakevoiceError: arrays that `calibration.can_fit` refuses.

    Source: Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", 2002; the centres: Oron & Flournoy, "Centered isotonic regression", 2017.
    """
    if not can_fit(logit, label):
        return {"logit": [-REACH, REACH], "calibrated": [-REACH, REACH]}
    centre, share = _blocks(logit, label)
    # A block of ones only shows no more than that a zero is rarer than one in all clips.
    doubt = 1 / (len(label) + 2)
    height = log_odds(np.clip(share, doubt, 1 - doubt)).tolist()
    return {
        "logit": [centre[0] - REACH, *centre, centre[-1] + REACH],
        "calibrated": [height[0] - RISE, *height, height[-1] + RISE],
    }


def _blocks(logit: np.ndarray, label: np.ndarray) -> tuple[list[float], np.ndarray]:
    # Equal logits must get equal probabilities, so they enter as one point with a weight.
    value, position, count = np.unique(logit, return_inverse=True, return_counts=True)
    ones = np.bincount(position, weights=label)
    starts = isotonic_regression(ones / count, weights=count).blocks[:-1]
    size = np.add.reduceat(count, starts)
    centre = np.add.reduceat(value * count, starts) / size
    return centre.tolist(), np.add.reduceat(ones, starts) / size


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    return to_probability(np.interp(finite(logit), parameters["logit"], parameters["calibrated"]))
