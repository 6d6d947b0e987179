"""How voice-like each moment is, without a trained detector: the height of the cepstral pitch peak."""

import numpy as np
import scipy.fft

from fakevoice.audio.spectrum import decibels
from fakevoice.core.errors import ConfigError

PITCH_HZ = (70.0, 400.0)


def cepstral_peak(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Cepstral peak prominence in the pitch range (Hillenbrand et al. 1994, without the regression line).

    Args:
        power: (n_fft // 2 + 1, n_frames) power spectrogram; n_fft of at least 1/40 s resolves low voices.

    Returns:
        (n_frames,) float32 in dB: near 0 for noise, above about 3 for a voice.
    """
    # (n_frames, n_fft // 2 + 1) over quefrency: of a spectrum without phase the inverse FFT is a cosine transform
    cepstrum = scipy.fft.dct(decibels(power.T), type=1, axis=1, overwrite_x=True)
    low, high = (int(sample_rate_hz / hz) for hz in reversed(PITCH_HZ))
    if low >= len(power) - 1:
        raise ConfigError(
            f"n_fft {2 * (len(power) - 1)} is too short to see a pitch at {sample_rate_hz} Hz: use a longer one"
        )
    search = cepstrum[:, low : min(high, len(power) - 1)]
    height = np.abs(search)
    height.sort(axis=1)  # an eighth of the time of np.median
    middle = (height[:, (height.shape[1] - 1) // 2] + height[:, height.shape[1] // 2]) / 2
    return ((search.max(axis=1) - middle) / (2 * (len(power) - 1))).astype(np.float32)
