"""No calibration: the sigmoid of the logit as it is."""

from typing import Any

import numpy as np

from fakevoice.ensemble.calibration import finite, to_probability


def fit(logit: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Nothing to fit; takes (n_clips,) logits and labels as all calibrators do.

    Raises:
        FakevoiceError: logits that are not finite.
    """
    finite(logit)
    return {}


def apply(parameters: dict[str, Any], logit: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips,) float64 from logits (n_clips,).

    Raises:
        FakevoiceError: logits that are not finite.
    """
    return to_probability(finite(logit))
