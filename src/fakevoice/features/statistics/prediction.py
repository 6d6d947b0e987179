"""What excites a voice's filter, and how its filter moves, by linear prediction while somebody speaks (Makhoul 1975).

Generators excite their filters more evenly, or more noisily, than a glottis does, and move them more smoothly.
"""

import numpy as np
import scipy.fft

from fakevoice.audio.linear_prediction import levinson
from fakevoice.audio.spectrum import n_fft_of, stft
from fakevoice.audio.speech_frames import loud_frames

ORDER = 16
NOISE_FLOOR, LEAST = 1e-4, 1e-9


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Mean, spread and step of 16 reflection coefficients; kurtosis, skewness and power of what they do not predict.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Source: Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 1975, section II.
    """
    n_fft, loud = n_fft_of(power), loud_frames(power, sample_rate_hz)
    correlation = scipy.fft.irfft(power.T[loud], axis=1)[:, : ORDER + 1].astype(np.float64)
    correlation[:, 0] = correlation[:, 0] * (1 + NOISE_FLOOR) + LEAST
    coefficients, error, reflection = levinson(correlation)
    spectrum = stft(waveform, n_fft, hop_length).T[loud]  # (n_loud, n_fft // 2 + 1)
    residual = scipy.fft.irfft(spectrum * scipy.fft.rfft(coefficients, n=n_fft, axis=1), axis=1)
    square = np.square(residual)
    variance = square.mean(axis=1) + LEAST
    peakedness = np.log((square * square).mean(axis=1) / variance**2 + LEAST)
    skewness = (square * residual).mean(axis=1) / variance**1.5
    unpredicted = np.log(error / correlation[:, 0] + LEAST)
    tract = {
        "mean": reflection.mean(axis=0),
        "std": reflection.std(axis=0),
        "step": np.abs(np.diff(reflection, axis=0)).mean(axis=0) if len(reflection) > 1 else np.zeros(ORDER),
    }
    columns = {
        f"prediction_{order:02d}_{key}": float(values[order]) for key, values in tract.items() for order in range(ORDER)
    }
    for name, frames in (("kurtosis", peakedness), ("power", unpredicted)):
        columns |= {f"prediction_{name}_mean": float(frames.mean()), f"prediction_{name}_std": float(frames.std())}
    columns["prediction_kurtosis_p90"] = float(np.percentile(peakedness, 90))
    columns["prediction_skewness_mean"] = float(skewness.mean())
    columns["prediction_skewness_size"] = float(np.abs(skewness).mean())
    return columns
