"""Linear-frequency cepstral coefficients: upper bands are seen as sharply as lower ones (Sahidullah et al. 2015).

The filter bank is a linear one indeed; a published solution took a mel bank by mistake, and called that LFCC.
"""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import dct_matrix, decibels, linear_filter_bank, n_fft_of, project, with_derivatives
from fakevoice.core.config_sections import Hertz, UpperHertz, Width
from fakevoice.core.errors import ConfigError

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_lfcc: Width = 20,
    n_filters: Width = 20,
    fmin_hz: Hertz = 0.0,
    fmax_hz: UpperHertz | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Orthonormal DCT-II over linearly spaced bands in dB, with as many time derivatives below as asked for.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_lfcc * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: more coefficients than filters, or as `spectrum.linear_filter_bank`.

    Source: 20 filters, 20 coefficients and two derivatives are the front end of the LFCC-LCNN baseline of
    ASVspoof 2021 (Wang & Yamagishi 2021).
    """
    if not 1 <= n_lfcc <= n_filters:
        raise ConfigError(f"lfcc: n_lfcc {n_lfcc} must be from 1 to n_filters {n_filters}")
    bank = linear_filter_bank(sample_rate_hz, n_fft_of(power), n_filters, fmin_hz, fmax_hz or sample_rate_hz / 2)
    return with_derivatives(project(dct_matrix(n_lfcc, n_filters), decibels(project(bank, power))), deltas)
