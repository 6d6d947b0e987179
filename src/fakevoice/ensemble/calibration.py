"""Shared by the calibrators: checks of what can be fitted, and finite probabilities."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
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
    """Whether a calibrator can be fitted to these clips; warns with the reason if not.

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
