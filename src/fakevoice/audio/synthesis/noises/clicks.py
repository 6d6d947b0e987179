"""Clicks of all sizes: crackle, keyboards, footsteps."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import band, impulses, ring, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One or two kinds of click over a faint room.

    Args:
        rng: draws the kinds, their rhythm and their resonances.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    clicks = 0.02 * shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz**-0.5)
    for kind in rng.permutation(len(KINDS))[: rng.integers(1, 3)]:
        sound = KINDS[kind](n_samples, sample_rate_hz, rng)
        clicks = clicks + rng.uniform(0.4, 1.0) * sound / (np.std(sound) + 1e-3)
    return unit_rms(clicks)


def _crackle(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Dry impulses of very different sizes, as of a fire or an old record."""
    train = impulses(n_samples, sample_rate_hz, rng, 10 ** rng.uniform(0.7, 2.2))
    return ring(np.sign(train) * train**2, sample_rate_hz, rng.uniform(1000, 6000), 0.002)


def _keyboard(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Bursts of typing: each key sounds down and, softer, up again."""
    typing = slow_curve(n_samples, sample_rate_hz, rng, 1.0, 0.0, 1.0) > 0.35
    down = impulses(n_samples, sample_rate_hz, rng, rng.uniform(4, 12)) * typing
    lag = int(rng.uniform(0.05, 0.12) * sample_rate_hz)
    keys = down + 0.4 * np.concatenate([np.zeros(lag), down])[:n_samples]
    return sum(ring(keys, sample_rate_hz, hz, rng.uniform(0.01, 0.04)) / hz**0.5 for hz in rng.uniform(300, 5000, 4))


def _footsteps(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A steady walk: a thud of the heel and a scuff of the sole."""
    period = rng.uniform(0.35, 0.75) * sample_rate_hz
    steps = np.arange(rng.uniform(0, 0.5) * period, n_samples, period)
    steps = np.clip(steps + 0.04 * period * rng.standard_normal(len(steps)), 0, n_samples - 1).astype(int)
    heel = np.zeros(n_samples)
    heel[steps] = rng.uniform(0.5, 1.0, len(steps))
    thud = ring(heel, sample_rate_hz, rng.uniform(60, 250), rng.uniform(0.05, 0.2))
    envelope = ring(heel, sample_rate_hz, 0.0, rng.uniform(0.05, 0.2))
    scuff = shaped_noise(n_samples, sample_rate_hz, rng, band(rng.uniform(500, 2000), 5000))
    return thud / (np.std(thud) + 1e-6) + rng.uniform(0.1, 1.0) * scuff * envelope / (np.std(envelope) + 1e-6)


KINDS = (_crackle, _keyboard, _footsteps)
