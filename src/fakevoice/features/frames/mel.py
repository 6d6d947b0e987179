"""Log-mel spectrogram (Davis & Mermelstein 1980; filters after Slaney 1998)."""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import (
    Exponent,
    Floor,
    Level,
    Reference,
    TopDb,
    Unit,
    log_mel,
    with_derivatives,
)
from fakevoice.core.config_sections import Hertz, UpperHertz, Width

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_mels: Width = 64,
    fmin_hz: Hertz = 20.0,
    fmax_hz: UpperHertz | None = None,
    unit: Unit = "db",
    exponent: Exponent = 2,
    floor: Floor = 1e-10,
    reference: Reference = 1.0,
    top_db: TopDb | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Level of each mel band, with as many time derivatives below as asked for.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        unit: ``"db"``, or ``"ln"`` for ln(band + floor).
        exponent: 2 filters the power spectrogram, 1 the magnitudes.
        floor: smallest power in dB, or what is added before ``ln``.
        reference: power of 0 dB; ``"max"`` is the loudest band of the clip.
        top_db: bands further below the loudest band of the clip are raised to this distance; None keeps them.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_mels * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: as `spectrum.log_mel`.
    """
    level = Level(unit, exponent, floor, reference, top_db)
    return with_derivatives(log_mel(power, sample_rate_hz, n_mels, fmin_hz, fmax_hz, level), deltas)
