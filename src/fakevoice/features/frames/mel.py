"""Log-mel spectrogram in dB (Davis & Mermelstein 1980; filters after Slaney 1998)."""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import log_mel, with_derivatives
from fakevoice.core.config_sections import Hertz, UpperHertz, Width

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_mels: Width = 64,
    fmin_hz: Hertz = 20.0,
    fmax_hz: UpperHertz | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Power of each mel band in dB, with as many time derivatives below as asked for.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_mels * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: as `spectrum.log_mel`.
    """
    return with_derivatives(log_mel(power, sample_rate_hz, n_mels, fmin_hz, fmax_hz), deltas)
