"""Traces of transposed convolutions: images of the voice, tones at fractions of the sample rate."""

import numpy as np
import scipy.signal

from fakevoice.audio.pitch import match_level


def resynthesize(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Send a voice through learnt-looking upsampling, whose kernels overlap unevenly.

    Args:
        waveform: (n_samples,) float.
        rng: draws the factors, kernels, strengths and the tones.

    Returns:
        (n_samples,) float32 at the input's RMS.

    Source:
        Pons et al., "Upsampling artifacts in neural audio synthesis", ICASSP 2021.
    """
    level = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    voice = waveform.astype(np.float64)
    for factor in rng.permutation([2, 3, 4])[: rng.integers(1, 3)]:
        share = rng.uniform(0.15, 0.45)
        voice = (1 - share) * voice + share * _upsampled(voice, factor, rng)
        voice += _tones(voice, level, factor, rng)
    voice += level * 10 ** rng.uniform(-3.0, -2.3) * rng.standard_normal(len(voice))
    return match_level(waveform, voice)


def _upsampled(voice: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """Keep every `factor`-th sample after a weak low-pass, and fill the gaps with a random kernel."""
    cutoff = rng.uniform(1.0, 1.5) / factor  # above the new Nyquist frequency: some of it folds
    low = np.convolve(voice, scipy.signal.firwin(15, min(cutoff, 0.95)), mode="same")[: len(voice)]
    stuffed = np.zeros(len(voice))
    stuffed[::factor] = low[::factor]
    triangle = np.bartlett(2 * factor + 1)[1:-1]  # linear interpolation, the kernel of no image at DC
    kernel = triangle * (1 + rng.uniform(0.1, 0.5) * rng.standard_normal(len(triangle)))
    return np.convolve(stuffed, kernel, mode="full")[factor - 1 : factor - 1 + len(voice)]


def _tones(voice: np.ndarray, level: float, factor: int, rng: np.random.Generator) -> np.ndarray:
    """A pattern that repeats every `factor` samples: lines at its frequencies, louder with the voice."""
    pattern = rng.standard_normal(factor)
    pattern = np.resize(pattern - pattern.mean(), len(voice))
    loudness = np.convolve(np.abs(voice), np.full(400, 1 / 400), mode="same")[: len(voice)]
    return pattern * (10 ** rng.uniform(-2.8, -1.8) * loudness + 10 ** rng.uniform(-4.0, -3.0) * level)
