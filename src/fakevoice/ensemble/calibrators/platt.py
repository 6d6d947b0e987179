"""Platt scaling: a straight line through the logits, which corrects overconfidence and a shifted prevalence."""

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from fakevoice.ensemble.calibration import can_fit, finite, to_probability


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Scale (0 or more) and shift of least cross-entropy; 1 and 0 with a warning where nothing can be fitted.

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
    target = smoothed_target(label)
    # Centred and scaled, so that the solver's steps suit logits of any size.
    center, spread = logit.mean(), np.ptp(logit)
    design = np.column_stack([(logit - center) / spread, np.ones(len(logit))])  # (n_clips, 2)

    def loss_and_gradient(weight: np.ndarray) -> tuple[float, np.ndarray]:
        line = design @ weight
        loss = np.mean(np.logaddexp(0, line) - target * line)
        return loss, (expit(line) - target) @ design / len(design)

    bounds = [(0, None), (None, None)]
    solver = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    slope, intercept = minimize(loss_and_gradient, np.zeros(2), jac=True, bounds=bounds, options=solver).x
    scale = float(slope / spread)
    return {"scale": scale, "shift": float(intercept - scale * center)}


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    return to_probability(parameters["scale"] * finite(logit) + parameters["shift"])


def smoothed_target(label: np.ndarray) -> np.ndarray:
    """Targets slightly inside 0 and 1; otherwise the slope is infinite where logits separate the classes.

    Returns:
        (n_clips,) float64.

    Source: Platt 1999, section 2.2.
    """
    n_ones = np.count_nonzero(label)
    n_zeros = len(label) - n_ones
    return np.where(np.asarray(label) == 1, (n_ones + 1) / (n_ones + 2), 1 / (n_zeros + 2))
