"""Mel-frequency cepstral coefficients: DCT of the log-mel spectrogram (Davis & Mermelstein 1980)."""

from typing import Literal

import numpy as np

from fakevoice.audio.spectrum import dct_matrix, log_mel, project, with_derivatives
from fakevoice.core.config_sections import Hertz, UpperHertz, Width
from fakevoice.core.errors import ConfigError

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_mfcc: Width = 40,
    n_mels: Width = 64,
    fmin_hz: Hertz = 20.0,
    fmax_hz: UpperHertz | None = None,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Orthonormal DCT-II over the mel bands in dB; coefficient 0 (the level) is kept, derivatives go below.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        fmax_hz: upper edge; half the sample rate if None.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (..., n_mfcc * (1 + deltas), n_frames) float32.

    Raises:
        ConfigError: more coefficients than bands, or as `spectrum.log_mel`.
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ConfigError(f"mfcc: n_mfcc {n_mfcc} must be from 1 to n_mels {n_mels}")
    mel = log_mel(power, sample_rate_hz, n_mels, fmin_hz, fmax_hz)
    return with_derivatives(project(dct_matrix(n_mfcc, n_mels), mel), deltas)
