"""How fast the level of each band moves, from syllables to pitch periods (Greenberg & Kingsbury 1997).

Networks that draw one frame after the other, every 10 ms or so, move bands otherwise than a vocal tract does.
"""

from functools import cache

import numpy as np
import scipy.fft

from fakevoice.audio.spectrum import decibels, linear_filter_bank, power_spectrogram

FRAME_S, N_BANDS = 0.016, 12
EDGES_HZ = (0.5, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 90, 125)
LEAST = 1e-9
NAMES = [
    *(f"modulation_{band:02d}_{low:g}hz" for low in EDGES_HZ[:-1] for band in range(N_BANDS)),
    *(f"modulation_{band:02d}_level" for band in range(N_BANDS)),
]


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Of 12 linear bands, the log power of their level's movement in 13 ranges of rate, over its mean, and that mean.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames); not looked at, since its frames are too long for fast movements.

    Source: Greenberg & Kingsbury, "The modulation spectrogram: in pursuit of an invariant representation of speech",
    ICASSP 1997.
    """
    n_fft = 2 ** max(5, round(np.log2(FRAME_S * sample_rate_hz)))
    hop = n_fft // 4
    bank = linear_filter_bank(sample_rate_hz, n_fft, N_BANDS, 0.0, sample_rate_hz / 2)
    level_db = decibels(bank @ power_spectrogram(waveform, n_fft, hop))  # (n_bands, n_frames)
    level_db -= level_db.mean(axis=1, keepdims=True)
    n_frames = level_db.shape[1]
    n_padded = scipy.fft.next_fast_len(n_frames, real=True)
    moved = np.square(np.abs(scipy.fft.rfft(level_db * np.hanning(n_frames).astype(np.float32), n_padded, axis=1)))
    rates = np.log(moved @ _rate_bank(n_padded, hop / sample_rate_hz) + LEAST)  # (n_bands, n_rates)
    mean = rates.mean(axis=1)
    values = np.concatenate([(rates - mean[:, None]).T.ravel(), mean])
    return dict(zip(NAMES, values.tolist(), strict=True))


@cache
def _rate_bank(n_frames: int, hop_s: float) -> np.ndarray:
    """Mean over the bins of each range, (n_frames // 2 + 1, n_rates) float32; of none where there is none."""
    rate_hz = scipy.fft.rfftfreq(n_frames, hop_s)[:, None]
    inside = (rate_hz >= np.array(EDGES_HZ[:-1])) & (rate_hz < np.array(EDGES_HZ[1:]))
    return (inside / np.maximum(inside.sum(axis=0), 1)).astype(np.float32)
