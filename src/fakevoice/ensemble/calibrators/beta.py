"""Beta calibration: a line of its own on each side, for models surer of one class than of the other."""

from typing import Any

import numpy as np
from scipy.special import log_expit

from fakevoice.ensemble.calibration import can_fit, finite, fit_logistic, to_probability


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Slopes of log p and -log(1 - p), 0 or more, and a shift; the identity with a warning where nothing can be learnt.

    Args:
        logit: (n_clips,) float64.
        label: (n_clips,) of 0 and 1.

    Returns:
        ``slope_one``, ``slope_zero`` and ``shift``: a, b and c of the paper.

    Raises:
        FakevoiceError: arrays that `calibration.can_fit` refuses.

    Source: Kull, Silva Filho & Flach, "Beta calibration: a well-founded and easily implemented
    improvement on logistic calibration for binary classifiers", 2017, section 3.
    """
    if not can_fit(logit, label):
        return {"slope_one": 1.0, "slope_zero": 1.0, "shift": 0.0}
    features = np.column_stack([log_expit(logit), -log_expit(-logit)])  # (n_clips, 2)
    slopes, shift = fit_logistic(features, label, intercept=True)
    return {"slope_one": float(slopes[0]), "slope_zero": float(slopes[1]), "shift": shift}


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    logit = finite(logit)
    calibrated = parameters["slope_one"] * log_expit(logit) - parameters["slope_zero"] * log_expit(-logit)
    return to_probability(calibrated + parameters["shift"])
