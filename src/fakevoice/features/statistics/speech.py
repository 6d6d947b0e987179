"""How each band's level is spread while somebody speaks, and how far that stands over the pauses.

Models that are trained on squared errors smooth what they speak (Toda et al. 2007): their bands vary less.
"""

import numpy as np

from fakevoice.audio.speech_frames import N_BANDS, band_levels_db, loud_frames, quiet_frames

LEAST_DB = 1e-6


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Deviation, skewness and kurtosis of 64 mel bands in loud frames, and their mean over that in quiet ones.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Source: global variance as what statistical speech lacks: Toda, Black & Tokuda, "Voice conversion based on
    maximum-likelihood estimation of spectral parameter trajectory", 2007, section III-D.
    """
    level_db = band_levels_db(power, sample_rate_hz)
    loud_db = level_db[:, loud_frames(power, sample_rate_hz)]
    mean = loud_db.mean(axis=1)
    centred = loud_db - mean[:, None]
    square = np.square(centred)
    variance = square.mean(axis=1)
    deviation = np.sqrt(variance) + LEAST_DB
    columns = {
        "std": deviation,
        "skewness": (square * centred).mean(axis=1) / deviation**3,
        "kurtosis": np.square(square).mean(axis=1) / deviation**4,
        "over_pauses": mean - level_db[:, quiet_frames(power, sample_rate_hz)].mean(axis=1),
    }
    return {f"speech_{band:02d}_{key}": float(columns[key][band]) for key in columns for band in range(N_BANDS)}
