"""Log-spectrogram on linearly spaced bands in dB: the upper octave, where generators err, gets half of them."""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import decibels, linear_filter_bank, n_fft_of, project, with_derivatives
from fakevoice.core.config_sections import Hertz, UpperHertz, Width

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_bands: Width = 80,
    fmin_hz: Hertz = 0.0,
    fmax_hz: UpperHertz | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Power of each band in dB, with as many time derivatives below as asked for.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_bands * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: as `spectrum.linear_filter_bank`.
    """
    bank = linear_filter_bank(sample_rate_hz, n_fft_of(power), n_bands, fmin_hz, fmax_hz or sample_rate_hz / 2)
    return with_derivatives(decibels(project(bank, power)), deltas)
