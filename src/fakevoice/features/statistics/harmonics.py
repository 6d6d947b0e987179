"""How clearly harmonics stand out, region by region: high up they are what vocoders lose first (Morise 2016).

Frames are long, so that the harmonics of low voices are apart as well.
"""

import numpy as np
import scipy.fft
import scipy.ndimage

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.audio.speech_frames import loud_frames

FRAME_S, N_REGIONS, N_WIDE = 0.128, 16, 8
ENVELOPE_HZ = 258.0  # what is wider than this is no harmonic
PITCH_HZ = (33.0, 330.0)
LEAST = 1e-12


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Depth of the fine structure in 16 regions, and how periodic it is in 8: over all frames, loud ones and others.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram; it only says which frames are loud.

    Source: harmonics against noise per band as aperiodicity: Morise, "D4C, a band-aperiodicity estimator", 2016; the
    peak is that of Noll, "Cepstrum pitch determination", 1967, within a band.
    """
    n_fft = 2 ** max(9, round(np.log2(FRAME_S * sample_rate_hz)))
    hop = n_fft // 2
    bin_hz = sample_rate_hz / n_fft
    fine = np.log(power_spectrogram(waveform, n_fft, hop)[:-1].T + np.float32(LEAST))  # (n_frames, n_fft // 2)
    fine -= scipy.ndimage.uniform_filter1d(fine, max(3, round(ENVELOPE_HZ / bin_hz)), axis=1)
    is_loud = loud_frames(power, sample_rate_hz)
    loud = is_loud[np.minimum(np.arange(len(fine)) * hop // hop_length, len(is_loud) - 1)]
    depth = fine.reshape(len(fine), N_REGIONS, -1).std(axis=2)
    wide = fine.reshape(len(fine), N_WIDE, -1)
    columns = _summary("depth", depth, loud) | _summary("peak", _periodicity(wide, bin_hz), loud)
    return {f"harmonics_{name}": value for name, value in columns.items()}


def _periodicity(fine: np.ndarray, bin_hz: float) -> np.ndarray:
    """Largest part of the fine structure with a period of a pitch, over the mean of all: (n_frames, n_regions)."""
    n_bins = fine.shape[2]
    size = 2 * n_bins
    parts = np.abs(scipy.fft.rfft(fine * np.hanning(n_bins).astype(np.float32), size, axis=2))
    low, high = (round(size * bin_hz / hz) for hz in reversed(PITCH_HZ))
    return parts[:, :, low : high + 1].max(axis=2) / (parts[:, :, low // 2 :].mean(axis=2) + np.float32(LEAST))


def _summary(name: str, frames: np.ndarray, loud: np.ndarray) -> dict[str, float]:
    """Over the frames (n_frames, n_regions) of each region: mean of all, of loud ones and of others, and a top."""
    loudest = frames[loud] if loud.any() else frames
    others = frames[~loud] if (~loud).any() else frames
    rows = {
        "mean": frames.mean(axis=0),
        "loud": loudest.mean(axis=0),
        "other": others.mean(axis=0),
        "loud_p90": np.quantile(loudest, 0.9, axis=0),
    }
    return {f"{name}_{region:02d}_{key}": float(row[region]) for key, row in rows.items() for region in range(len(row))}
