"""What the calibrators share: what can be fitted at all, the logistic fit, and finite probabilities."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from fakevoice.core.errors import FakevoiceError
from fakevoice.metrics.checks import refuse_rows

PROBABILITY_FLOOR = 1e-9
MIN_CLIPS = 10
SMALLEST_SPREAD = 1e-9  # logits closer together than this are constant but for rounding


def finite(logit: ArrayLike) -> np.ndarray:
    """Logits of any shape as float64.

    Raises:
        FakevoiceError: one of them is nan or infinite.
    """
    logit = np.asarray(logit, dtype=np.float64)
    refuse_rows(~np.isfinite(logit), "logit", "not finite")
    return logit


def to_probability(logit: np.ndarray) -> np.ndarray:
    """Sigmoid, kept within [PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR]."""
    return np.clip(expit(logit), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)


def can_fit(logit: np.ndarray, label: np.ndarray) -> bool:
    """Whether these clips can teach a calibrator anything; warns with the reason where they can't.

    Args:
        logit: (n_clips,) float64.
        label: (n_clips,) of 0 and 1.

    Raises:
        FakevoiceError: the shapes differ, logits are not finite, or labels are not 0 or 1.
    """
    logit, label = finite(logit), np.asarray(label)
    if logit.ndim != 1 or logit.shape != label.shape:
        raise FakevoiceError(f"logit {logit.shape} and label {label.shape} must both be (n_clips,)")
    refuse_rows(~((label == 0) | (label == 1)), "label", "other than 0 and 1")
    reason = _reason_against(logit, label)
    if reason:
        warnings.warn(f"not calibrated, the probabilities stay as they are: {reason}", stacklevel=3)
    return not reason


def _reason_against(logit: np.ndarray, label: np.ndarray) -> str:
    if len(label) < MIN_CLIPS:
        return f"{len(label)} clips, fewer than {MIN_CLIPS}"
    if label.min() == label.max():
        return f"all {len(label)} labels are {int(label[0])}"
    if np.ptp(logit) < SMALLEST_SPREAD:
        return f"all {len(label)} logits are {logit[0]:.6g}"
    return ""


def smoothed_target(label: np.ndarray) -> np.ndarray:
    """Labels drawn in from 0 and 1 as far as their number leaves room for doubt.

    Without it, classes that the logits separate would send the slope to infinity.

    Returns:
        (n_clips,) float64.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2.
    """
    n_ones = np.count_nonzero(label)
    n_zeros = len(label) - n_ones
    return np.where(np.asarray(label) == 1, (n_ones + 1) / (n_ones + 2), 1 / (n_zeros + 2))


def fit_logistic(features: np.ndarray, label: np.ndarray, intercept: bool) -> tuple[np.ndarray, float]:
    """Logistic regression whose slopes cannot be negative, on Platt's smoothed targets.

    Args:
        features: (n_clips, n_features) float64.
        label: (n_clips,) of 0 and 1, both present.
        intercept: whether a constant is fitted as well; 0 otherwise.

    Returns:
        The slopes (n_features,) float64 and the intercept.
    """
    target = smoothed_target(label)
    # Centred and scaled, so that the solver's steps suit logits of any size.
    centre = features.mean(axis=0) if intercept else np.zeros(features.shape[1])
    spread = np.ptp(features, axis=0)
    scale = np.where(spread > np.finfo(float).tiny, spread, 1.0)
    design = np.column_stack([(features - centre) / scale, np.full(len(features), float(intercept))])

    def loss_and_gradient(weight: np.ndarray) -> tuple[float, np.ndarray]:
        logit = design @ weight
        loss = np.mean(np.logaddexp(0, logit) - target * logit)
        return loss, (expit(logit) - target) @ design / len(design)

    bounds = [(0, None)] * features.shape[1] + [(None, None)]
    solver = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    weight = minimize(loss_and_gradient, np.zeros(len(bounds)), jac=True, bounds=bounds, options=solver).x
    slopes = weight[:-1] / scale
    return slopes, float(weight[-1] - slopes @ centre)
