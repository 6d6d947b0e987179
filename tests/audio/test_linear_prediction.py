"""The recursion solves the normal equations of every frame."""

import numpy as np
import scipy.linalg

from fakevoice.audio.linear_prediction import levinson


def correlations() -> np.ndarray:
    spectra = np.random.default_rng(0).random((5, 33)) + 0.1
    return np.fft.irfft(spectra)[:, :9]


def test_it_solves_the_normal_equations():
    correlation = correlations()
    coefficients, error, _ = levinson(correlation)
    for row, found, left in zip(correlation, coefficients, error, strict=True):
        solved = scipy.linalg.solve_toeplitz(row[:-1], -row[1:])
        assert found[0] == 1.0 and np.allclose(found[1:], solved)
        assert np.isclose(left, row[0] + solved @ row[1:])


def test_reflections_are_the_last_coefficients_of_lower_orders():
    correlation = correlations()
    _, _, reflections = levinson(correlation)
    assert (np.abs(reflections) < 1).all()
    for order in range(1, 9):
        assert np.allclose(levinson(correlation[:, : order + 1])[0][:, -1], reflections[:, order - 1])
