"""For how long the level of a band stays what it is: so speech is told from rain, engines and music (Dau et al. 1997).

A word changes all bands within a tenth of a second; most noises do so at once, or hardly ever.
"""

import numpy as np

from fakevoice.audio.speech_frames import N_BANDS, band_levels_db

LAGS_S = (0.016, 0.032, 0.048, 0.08, 0.128, 0.192)
N_REGIONS = 16
LEAST_DB = 1e-6


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Autocorrelation of the standardised level of 16 groups of mel bands at six lags; 0 where a clip is shorter.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Source: temporal modulation as a correlation: Dau, Kollmeier & Kohlrausch, JASA 102, 1997, section I.
    """
    level_db = band_levels_db(power, sample_rate_hz)
    centred = level_db - level_db.mean(axis=1, keepdims=True)
    standard = centred / (centred.std(axis=1, keepdims=True) + np.float32(LEAST_DB))
    grouped = standard.reshape(N_REGIONS, N_BANDS // N_REGIONS, -1).mean(axis=1)  # (n_regions, n_frames)
    columns = {}
    for lag_s in LAGS_S:
        lag = max(1, round(lag_s * sample_rate_hz / hop_length))
        products = grouped[:, lag:] * grouped[:, :-lag]
        mean = products.mean(axis=1) if products.shape[1] else np.zeros(N_REGIONS)
        columns |= {f"persistence_{region:02d}_{1000 * lag_s:.0f}ms": float(value) for region, value in enumerate(mean)}
    return columns
