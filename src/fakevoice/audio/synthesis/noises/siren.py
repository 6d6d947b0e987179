"""Sirens and alarms: tones that glide, switch or rise, near or far."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One siren that passes by, over a street.

    Args:
        rng: draws the shape and speed of the sweep, the timbre, the passing by and the street.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    turns = rng.uniform(0, 1) + np.arange(n_samples) / sample_rate_hz * 10 ** rng.uniform(-0.7, 0.6)
    sweep = SWEEPS[rng.integers(len(SWEEPS))](turns)
    passing = slow_curve(n_samples, sample_rate_hz, rng, 0.4, -1.0, 1.0)
    pitch_hz = rng.uniform(350, 1100) * 2 ** (rng.uniform(0.2, 1.2) * sweep + 0.06 * passing)
    amplitudes = np.arange(1, 9) ** -rng.uniform(0.8, 2.5) * rng.uniform(0.3, 1.0, 8)
    tone = harmonics(pitch_hz, sample_rate_hz, amplitudes + 0j)
    street = shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: 1 / (1 + hz / 300))
    return unit_rms(tone / (np.std(tone) + 1e-3) * (1.2 + passing) + rng.uniform(0.1, 0.7) * street)


def _wail(turns: np.ndarray) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * turns)


def _two_tone(turns: np.ndarray) -> np.ndarray:
    return np.round(turns % 1)


def _rise(turns: np.ndarray) -> np.ndarray:
    return turns % 1


SWEEPS = (_wail, _two_tone, _rise)
