"""Temperature: one scale for all logits, which changes how sure a model is but never what it prefers."""

from typing import Any

import numpy as np

from fakevoice.ensemble.calibration import can_fit, finite, fit_logistic, to_probability


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Scale of least cross-entropy, 0 or more; 1 with a warning where nothing can be learnt.

    Args:
        logit: (n_clips,) float64.
        label: (n_clips,) of 0 and 1.

    Returns:
        ``scale``, the inverse of the temperature.

    Raises:
        FakevoiceError: arrays that `calibration.can_fit` refuses.

    Source: Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", 2017, section 4.2.
    """
    if not can_fit(logit, label):
        return {"scale": 1.0}
    slopes, _ = fit_logistic(logit[:, None], label, intercept=False)
    return {"scale": float(slopes[0])}


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    return to_probability(parameters["scale"] * finite(logit))
