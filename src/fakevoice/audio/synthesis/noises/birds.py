"""Birds: motifs of quick tonal sweeps, repeated, over a breeze."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, shaped_noise, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Between one and four birds that sing and pause.

    Args:
        rng: draws the birds, their motifs and rests, and the breeze.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    song = 0.03 * shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz ** rng.uniform(-0.8, 0.0))
    for _ in range(int(rng.integers(1, 5))):
        motif = _motif(sample_rate_hz, rng)
        start = int(rng.uniform(-0.5, 1.0) * sample_rate_hz)
        while start < n_samples:
            heard = motif[max(0, -start) : n_samples - start]
            song[max(0, start) : max(0, start) + len(heard)] += rng.uniform(0.2, 1.0) * heard
            start += len(motif) + int(rng.uniform(0.1, 1.5) * sample_rate_hz)
    return unit_rms(song)


def _motif(sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A few notes, each of which may be trilled: (n_samples,) float."""
    centre_hz = min(10 ** rng.uniform(3.2, 3.85), 0.3 * sample_rate_hz)
    notes = []
    for _ in range(int(rng.integers(1, 5))):
        note = _note(sample_rate_hz, rng, centre_hz * rng.uniform(0.8, 1.25))
        notes += [note] * int(rng.choice([1, 1, 2, 6]))
    return np.concatenate(notes)


def _note(sample_rate_hz: int, rng: np.random.Generator, centre_hz: float) -> np.ndarray:
    """One sweep with vibrato and a rest after it."""
    n_samples = int(rng.uniform(0.03, 0.2) * sample_rate_hz)
    time = np.linspace(0, 1, n_samples)
    bend = rng.uniform(-0.25, 0.25) * (2 * time - 1) + rng.uniform(-0.15, 0.15) * np.sin(np.pi * time)
    vibrato = rng.uniform(0, 0.04) * np.sin(2 * np.pi * rng.uniform(1, 8) * time)
    overtone = rng.uniform(0.0, 0.3)
    note = harmonics(centre_hz * (1 + bend + vibrato), sample_rate_hz, np.array([1, overtone], complex))
    rest = np.zeros(int(rng.uniform(0.01, 0.08) * sample_rate_hz))
    return np.concatenate([note * np.sin(np.pi * time) ** 0.7, rest])
