"""Linear-frequency cepstral coefficients: all bands have the same width (Sahidullah et al. 2015).

One published solution used a mel filter bank by mistake and called the result LFCC; ``bank="mel"`` reproduces it.
"""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import (
    Exponent,
    Floor,
    Level,
    Reference,
    TopDb,
    Unit,
    band_levels,
    dct_matrix,
    linear_filter_bank,
    n_fft_of,
    project,
    usable_mel_bank,
    with_derivatives,
)
from fakevoice.core.config_sections import Hertz, UpperHertz, Width
from fakevoice.core.errors import ConfigError

TAKES_TENSORS = True
FILTER_BANKS = {"linear": linear_filter_bank, "mel": usable_mel_bank}


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_lfcc: Width = 20,
    n_filters: Width = 20,
    fmin_hz: Hertz = 0.0,
    fmax_hz: UpperHertz | None = None,
    bank: Literal["linear", "mel"] = "linear",
    unit: Unit = "db",
    exponent: Exponent = 2,
    floor: Floor = 1e-10,
    reference: Reference = 1.0,
    top_db: TopDb | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Orthonormal DCT-II over the levels of linearly spaced bands, with as many time derivatives below as asked for.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        bank: triangles of unit height at equal distances in Hz, or Slaney's mel filters of unit area.
        unit: ``"db"``, or ``"ln"`` for ln(band + floor).
        exponent: 2 filters the power spectrogram, 1 the magnitudes.
        floor: smallest power in dB, or what is added before ``ln``.
        reference: power of 0 dB; ``"max"`` is the loudest band of the clip.
        top_db: bands further below the loudest band of the clip are raised to this distance; None keeps them.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_lfcc * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: more coefficients than filters, or as the filter bank.

    Source: 20 filters, 20 coefficients and two derivatives are the front end of the LFCC-LCNN baseline of
    ASVspoof 2021 (Wang & Yamagishi 2021).
    """
    if not 1 <= n_lfcc <= n_filters:
        raise ConfigError(f"lfcc: n_lfcc {n_lfcc} must be from 1 to n_filters {n_filters}")
    filters = FILTER_BANKS[bank](sample_rate_hz, n_fft_of(power), n_filters, fmin_hz, fmax_hz or sample_rate_hz / 2)
    levels = band_levels(filters, power, Level(unit, exponent, floor, reference, top_db))
    return with_derivatives(project(dct_matrix(n_lfcc, n_filters), levels), deltas)
