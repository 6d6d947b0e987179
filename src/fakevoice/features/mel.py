"""Log-mel spectrogram in dB (Davis & Mermelstein 1980; filters after Slaney 1998)."""

import numpy as np

from fakevoice.spectrum import log_mel


def compute(
    power: np.ndarray, sample_rate_hz: int, *, n_mels: int = 64, fmin_hz: float = 20.0, fmax_hz: float | None = None
) -> np.ndarray:
    """Power of each mel band in dB.

    Args:
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Returns:
        (n_mels, n_frames) float32.

    Raises:
        ConfigError: as `spectrum.log_mel`.
    """
    return log_mel(power, sample_rate_hz, n_mels, fmin_hz, fmax_hz)
