"""Rain: a hiss that swells, and drops that ring."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import band, impulses, ring, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Many small drops far away, fewer large ones nearby.

    Args:
        rng: draws how heavy it rains, on what, and how it swells.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    hiss = shaped_noise(n_samples, sample_rate_hz, rng, band(rng.uniform(400, 2000), 6000))
    rain = 0.3 * hiss * slow_curve(n_samples, sample_rate_hz, rng, 1.0, 0.4, 1.0)
    for _ in range(5):  # sizes of drop
        drops = impulses(n_samples, sample_rate_hz, rng, rng.uniform(10, 150))
        ringing = ring(drops, sample_rate_hz, rng.uniform(500, 6500), 10 ** rng.uniform(-2.3, -1.3))
        rain += rng.uniform(0.02, 0.3) * ringing / (np.std(ringing) + 1e-3)
    return unit_rms(rain)
