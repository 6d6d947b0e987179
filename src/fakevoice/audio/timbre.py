"""What one frame sounds like, as single numbers: brightness, width, tonality, contrast, crossings, level.

Definitions are librosa's; the tests hold them against it.
"""

from itertools import pairwise

import numpy as np

from fakevoice.audio.spectrum import decibels

ROLLOFF_SHARE = 0.85
CONTRAST_EDGES_HZ = (0.0, *(200.0 * 2.0**octave for octave in range(7)))
CONTRAST_SHARE = 0.02  # of a band's bins that are its peak, and its valley


def bin_frequencies_hz(n_bins: int, sample_rate_hz: int) -> np.ndarray:
    """Centre of each STFT bin, (n_bins,) float64."""
    return np.linspace(0, sample_rate_hz / 2, n_bins)


def spectral_shape(power: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
    """Centroid, bandwidth around it, and the frequency below which 85 % of the magnitude lie; 0 Hz where silent.

    Args:
        power: (n_fft // 2 + 1, n_frames) power spectrogram.

    Returns:
        centroid_hz, bandwidth_hz and rolloff_hz, (n_frames,) float64 each.

    Source: Tzanetakis & Cook, "Musical genre classification of audio signals", 2002, section III-A; Klapuri & Davy,
    "Signal processing methods for music transcription", 2007, chapter 5.
    """
    bins_hz, magnitude = bin_frequencies_hz(len(power), sample_rate_hz), np.sqrt(power)
    total = magnitude.sum(axis=0)
    share = magnitude / np.where(total > np.finfo(np.float32).tiny, total, 1)
    centroid_hz = bins_hz @ share
    distance_hz = bins_hz[:, None] - centroid_hz
    is_above = np.cumsum(magnitude, axis=0) >= ROLLOFF_SHARE * total
    return {
        "centroid_hz": centroid_hz,
        "bandwidth_hz": np.sqrt((share * distance_hz**2).sum(axis=0)),
        "rolloff_hz": bins_hz[is_above.argmax(axis=0)],
    }


def flatness(power: np.ndarray) -> np.ndarray:
    """Geometric over arithmetic mean of each frame's power, (n_frames,): 1 for white noise, near 0 for a tone.

    Source: Dubnov, "Generalization of spectral flatness measure for non-Gaussian linear processes", 2004.
    """
    power = np.maximum(power, 1e-10)
    return np.exp(np.log(power).mean(axis=0)) / power.mean(axis=0)


def contrast_db(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """How far the loudest bins of an octave stand above its quietest ones.

    Args:
        power: (n_fft // 2 + 1, n_frames) power spectrogram.

    Returns:
        (7, n_frames): below 200 Hz, and six octaves above; 0 for an octave beyond half the sample rate.

    Source: Jiang et al., "Music type classification by spectral contrast feature", 2002.
    """
    bins_hz = bin_frequencies_hz(len(power), sample_rate_hz)
    contrast = np.zeros((len(CONTRAST_EDGES_HZ) - 1, power.shape[1]))
    for row, (low_hz, high_hz) in zip(contrast, pairwise(CONTRAST_EDGES_HZ), strict=True):
        # Bands do not overlap: each begins with the last bin below its edge, and leaves its own last one to the next.
        low, high = max(0, np.searchsorted(bins_hz, low_hz) - 1), np.searchsorted(bins_hz, high_hz, side="right") - 1
        band = power[low:] if high_hz == CONTRAST_EDGES_HZ[-1] else power[low:high]
        if low_hz < sample_rate_hz / 2 and len(band):
            band, n_extreme = np.sort(band, axis=0), max(1, round(CONTRAST_SHARE * len(band)))
            row[:] = decibels(band[-n_extreme:].mean(axis=0)) - decibels(band[:n_extreme].mean(axis=0))
    return contrast


def crossing_rate(waveform: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Share of a frame's samples with another sign than the one before, (n_frames,); beyond its ends a clip is still.

    Source: Kedem, "Spectral analysis and discrimination by zero-crossings", 1986.
    """
    is_negative = _frames(waveform < -1e-10, frame_length, hop_length, "edge")
    return (is_negative[:, 1:] != is_negative[:, :-1]).sum(axis=1) / frame_length


def rms(waveform: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Root mean square of each frame's samples, (n_frames,) float32; zeros lie beyond the ends of a clip."""
    return np.sqrt(np.square(_frames(waveform, frame_length, hop_length, "constant")).mean(axis=1))


def _frames(samples: np.ndarray, frame_length: int, hop_length: int, mode: str) -> np.ndarray:
    padded = np.pad(samples, frame_length // 2, mode=mode)
    return np.lib.stride_tricks.sliding_window_view(padded, frame_length)[::hop_length]  # (n_frames, frame_length)
