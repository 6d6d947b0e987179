"""An engine: a harmonic stack whose pitch follows the throttle."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Firing pulses of uneven cylinders, with road or air noise that grows with the speed.

    Args:
        rng: draws the engine, its throttle, its load and the road.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    throttle = slow_curve(n_samples, sample_rate_hz, rng, rng.uniform(0.3, 2.0), 0.0, 1.0)
    firing_hz = rng.uniform(20, 120) * 2 ** (rng.uniform(0.1, 1.2) * throttle)
    order = np.arange(1, 41)
    amplitudes = order ** -rng.uniform(0.6, 1.4) * rng.exponential(1.0, len(order))
    stack = harmonics(firing_hz, sample_rate_hz, amplitudes * np.exp(2j * np.pi * rng.random(len(order))))
    uneven = 1 + rng.uniform(0, 0.8) * np.sin(np.pi * np.cumsum(firing_hz) / sample_rate_hz)  # every other firing
    road = shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: 1 / (1 + (hz / 400) ** 1.2))
    engine = stack * uneven / (np.std(stack) + 1e-3) + rng.uniform(0.1, 0.8) * road
    return unit_rms(engine * (0.3 + throttle))
