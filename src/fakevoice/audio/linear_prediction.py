"""Linear prediction of many frames at once (Makhoul 1975)."""

import numpy as np


def levinson(correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levinson-Durbin recursion over all frames at once.

    Args:
        correlation: (n_frames, order + 1) float64, lags 0 to order, positive definite.

    Returns:
        coefficients (n_frames, order + 1) of A(z) with a leading 1, the error's power (n_frames,), and the reflection
        coefficients (n_frames, order) in (-1, 1).

    Source:
        Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 1975, eq. 38.
    """
    coefficients, reflections = np.zeros_like(correlation), np.zeros_like(correlation[:, 1:])
    coefficients[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for step in range(1, correlation.shape[1]):
        reflection = -np.sum(coefficients[:, :step] * correlation[:, step:0:-1], axis=1) / error
        coefficients[:, : step + 1] += reflection[:, None] * coefficients[:, step::-1]
        error *= 1 - reflection**2
        reflections[:, step - 1] = reflection
    return coefficients, error, reflections
