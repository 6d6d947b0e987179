"""Mains hum with its overtones, hiss, and appliances that switch on and off."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A 50 or 60 Hz buzz over the hiss of a bad amplifier.

    Args:
        rng: draws the mains, the overtones, the hiss and the switching.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    mains_hz = rng.choice([50.0, 60.0]) * slow_curve(n_samples, sample_rate_hz, rng, 1.0, 0.999, 1.001)
    order = np.arange(1, int(rng.integers(6, 40)))
    amplitudes = order ** -rng.uniform(0.3, 1.3) * rng.exponential(1.0, len(order))
    amplitudes[::2] *= rng.uniform(0.2, 1.0)  # rectifiers favour the even multiples
    buzz = harmonics(mains_hz, sample_rate_hz, amplitudes * np.exp(2j * np.pi * rng.random(len(order))))
    is_on = slow_curve(n_samples, sample_rate_hz, rng, 1.0, 0.0, 1.0) > rng.choice([-1.0, 0.35])
    hiss = shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz ** rng.uniform(-0.5, 0.0))
    return unit_rms(buzz * np.where(is_on, 1.0, 0.15) + rng.uniform(0.05, 1.0) * hiss)
