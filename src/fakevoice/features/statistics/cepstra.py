"""How the envelope of the spectrum moves while somebody speaks: cepstra of linear bands (Sahidullah et al. 2015).

Linear bands show what lies high as finely as what lies low, and it is high up that generators differ from voices.
"""

import numpy as np

from fakevoice.audio.spectrum import dct_matrix, decibels, linear_filter_bank, n_fft_of, with_derivatives
from fakevoice.audio.speech_frames import loud_frames

N_BANDS, N_CEPSTRA = 40, 20


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Of 20 LFCC in loud frames the deviation, the mean size of both derivatives, and the deviation of the second's.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Source: Sahidullah, Kinnunen & Hanilçi, "A comparison of features for synthetic speech detection", Interspeech 2015.
    """
    bank = linear_filter_bank(sample_rate_hz, n_fft_of(power), N_BANDS, 0.0, sample_rate_hz / 2)
    cepstra = with_derivatives(dct_matrix(N_CEPSTRA, N_BANDS) @ decibels(bank @ power), 2)
    loud = cepstra[:, loud_frames(power, sample_rate_hz)]
    static, first, second = loud.reshape(3, N_CEPSTRA, -1)
    columns = {
        "std": static.std(axis=1),
        "speed": np.abs(first).mean(axis=1),
        "turn": np.abs(second).mean(axis=1),
        "turn_std": np.abs(second).std(axis=1),
    }
    return {f"cepstra_{order:02d}_{key}": float(columns[key][order]) for key in columns for order in range(N_CEPSTRA)}
