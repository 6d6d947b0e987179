"""White, pink, brown or otherwise tilted noise."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a drawn spectral tilt whose level wanders, as a room's does.

    Args:
        rng: draws the tilt and the wandering.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    tilt = rng.choice([0.0, -0.5, -1.0, rng.uniform(-1.3, 0.3)])  # amplitude ~ frequency ** tilt
    noise = shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz**tilt)
    return unit_rms(noise * slow_curve(n_samples, sample_rate_hz, rng, 2.0, rng.uniform(0.3, 1.0), 1.0))
