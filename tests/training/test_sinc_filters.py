"""Filters pass their own band."""

import numpy as np

from fakevoice.training.sinc_filters import sinc_filters


def test_sinc_filters_pass_their_band():
    filters = sinc_filters(20, 1001, 16_000)
    response = np.abs(np.fft.rfft(filters, 16_000, axis=1))  # a bin per Hz
    edges_hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 21) / 2595) - 1)
    centres_hz = ((edges_hz[1:] + edges_hz[:-1]) / 2).round().astype(int)
    passed = response[:, centres_hz]
    np.testing.assert_allclose(np.diag(passed)[2:], 1.0, atol=0.01)  # the lowest bands are narrower than a filter
    far = np.abs(np.subtract.outer(np.arange(20), np.arange(20))) > 1
    assert passed[far].max() < 0.01
    np.testing.assert_allclose(np.diag(response[:, edges_hz[1:].round().astype(int)])[2:-1], 0.5, atol=0.02)
