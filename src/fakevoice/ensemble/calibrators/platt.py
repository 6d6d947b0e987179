"""Platt scaling: a straight line through the logits, for models both too sure and off in prevalence."""

from typing import Any

import numpy as np

from fakevoice.ensemble.calibration import can_fit, finite, fit_logistic, to_probability


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Scale, 0 or more, and shift of least cross-entropy; 1 and 0 with a warning where nothing can be learnt.

    Args:
        logit: (n_clips,) float64.
        label: (n_clips,) of 0 and 1.

    Returns:
        ``scale`` and ``shift``.

    Raises:
        FakevoiceError: arrays that `calibration.can_fit` refuses.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999; Lin, Lin & Weng, "A note
    on Platt's probabilistic outputs for support vector machines", 2007 (the loss without overflow).
    """
    if not can_fit(logit, label):
        return {"scale": 1.0, "shift": 0.0}
    slopes, shift = fit_logistic(logit[:, None], label, intercept=True)
    return {"scale": float(slopes[0]), "shift": shift}


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    return to_probability(parameters["scale"] * finite(logit) + parameters["shift"])
