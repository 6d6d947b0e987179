"""Log-spectrogram on linearly spaced bands in dB: the upper octave, where generators err, gets half of them."""

import numpy as np

from fakevoice.spectrum import decibels, linear_filter_bank


def compute(
    power: np.ndarray, sample_rate_hz: int, *, n_bands: int = 80, fmin_hz: float = 0.0, fmax_hz: float | None = None
) -> np.ndarray:
    """Power of each band in dB.

    Args:
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.
        fmax_hz: upper edge; half the sample rate if None.

    Returns:
        (n_bands, n_frames) float32.

    Raises:
        ConfigError: as `spectrum.linear_filter_bank`.
    """
    n_fft = 2 * (len(power) - 1)
    return decibels(linear_filter_bank(sample_rate_hz, n_fft, n_bands, fmin_hz, fmax_hz or sample_rate_hz / 2) @ power)
