"""Simple music: chords of plucked notes, a bass and a drum, in time."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, shaped_noise, unit_rms

CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 4, 7, 10))  # in semitones above the root
ROOTS = (0, 5, 7, 9, 2, 4)


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A bar or two of an unknown band.

    Args:
        rng: draws key, tempo, chords, timbre and the drums.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    beat = int(60 / rng.uniform(70, 160) * sample_rate_hz)
    key_hz = 110 * 2 ** rng.uniform(0, 1)
    overtones = np.arange(1, 9) ** -rng.uniform(0.8, 2.0) * rng.uniform(0.2, 1.0, 8)
    decay_beats = 10 ** rng.uniform(-0.5, 0.7)
    music = 0.01 * shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz**-0.5)
    for start in range(-int(rng.integers(beat)), n_samples, beat * int(rng.choice([1, 2]))):
        chord_hz = key_hz * 2 ** ((rng.choice(ROOTS) + np.array(CHORDS[rng.integers(len(CHORDS))])) / 12)
        for pitch_hz in (chord_hz[0] / 2, *chord_hz):
            onset = start + int(rng.choice([0, 0, beat / 2]))
            _add(music, onset, _note(pitch_hz, 2 * beat, beat * decay_beats, sample_rate_hz, overtones))
    return unit_rms(music / (np.std(music) + 1e-3) + _drums(n_samples, sample_rate_hz, beat, rng))


def _note(
    pitch_hz: float, n_samples: int, decay_samples: float, sample_rate_hz: int, overtones: np.ndarray
) -> np.ndarray:
    """A struck note with vibrato, which fades."""
    time = np.arange(n_samples)
    vibrato = 1 + 0.003 * np.sin(2 * np.pi * 5.5 * time / sample_rate_hz)
    strike = np.minimum(time / (0.005 * sample_rate_hz), 1) * np.minimum((n_samples - time) / 200, 1)
    return harmonics(pitch_hz * vibrato, sample_rate_hz, overtones + 0j) * strike * np.exp(-time / decay_samples)


def _drums(n_samples: int, sample_rate_hz: int, beat: int, rng: np.random.Generator) -> np.ndarray:
    """A kick on the beat and a hat between, each of a drawn loudness, possibly none."""
    time = np.arange(beat) / sample_rate_hz
    kick = np.sin(2 * np.pi * (50 * time - 6 * np.exp(-time / 0.03))) * np.exp(-time / 0.1)
    hat = np.diff(rng.standard_normal(beat), prepend=0.0) * np.exp(-time / 0.03)
    bar = rng.uniform(0, 2) * kick + rng.uniform(0, 0.7) * np.roll(hat, beat // 2)
    return np.resize(np.roll(bar, int(rng.integers(beat))), n_samples) * rng.choice([0.0, 1.0, 1.0])


def _add(music: np.ndarray, onset: int, note: np.ndarray) -> None:
    """Mix a note in at its onset, as far as it lies within."""
    heard = note[max(0, -onset) : max(0, len(music) - onset)]
    music[max(0, onset) : max(0, onset) + len(heard)] += heard
