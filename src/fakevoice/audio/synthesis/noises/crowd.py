"""A crowd without words: bands of noise that each swell at the pace of syllables, on their own."""

import numpy as np
import scipy.ndimage

from fakevoice.audio import spectrum
from fakevoice.audio.synthesis.noise_shapes import band, unit_rms

N_FFT = 512


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with the long-term spectrum and the modulation of many people, but nobody in it.

    Args:
        rng: draws the bands, the pace and the depth of the modulation, the spectral tilt.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    hop_length = N_FFT // 4
    shape = N_FFT // 2 + 1, spectrum.n_frames(n_samples, hop_length)
    carrier = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    gain = _band_gains(shape, sample_rate_hz / hop_length, rng)
    hz = np.maximum(np.linspace(0, sample_rate_hz / 2, shape[0]), 1.0)
    tilt = band(rng.uniform(100, 300), rng.uniform(500, 2500))(hz)
    return unit_rms(spectrum.istft(carrier * gain * tilt[:, None], hop_length, n_samples))


def _band_gains(shape: tuple[int, int], frames_per_s: float, rng: np.random.Generator) -> np.ndarray:
    """Amplitudes (n_bins, n_frames): independent slow noises per band, exponentiated, blurred over bins."""
    edges = np.unique(np.geomspace(2, shape[0], int(rng.integers(12, 33))).astype(int))
    band_of_bin = np.searchsorted(edges, np.arange(shape[0]), side="right")
    pace_frames = max(1.0, frames_per_s / (2 * np.pi * rng.uniform(2.0, 6.0)))
    swell = rng.standard_normal((len(edges) + 1, shape[1]), dtype=np.float32)
    swell = scipy.ndimage.gaussian_filter1d(swell, pace_frames, axis=1, mode="wrap") * np.sqrt(pace_frames)
    return scipy.ndimage.uniform_filter1d(np.exp(rng.uniform(0.5, 2.0) * swell)[band_of_bin], 3, axis=0)
