"""Wind: rumbling gusts, sometimes a whistle that follows them."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import band, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Low noise in gusts, brighter as it blows harder.

    Args:
        rng: draws the gusts, the brightness and the whistle.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    gust = slow_curve(n_samples, sample_rate_hz, rng, rng.uniform(0.7, 3.0), 0.05, 1.0)
    rumble = shaped_noise(n_samples, sample_rate_hz, rng, band(30, rng.uniform(80, 250)))
    rush = shaped_noise(n_samples, sample_rate_hz, rng, band(200, rng.uniform(500, 1500)))
    wind = rumble * gust + rng.uniform(0.1, 0.6) * rush * gust**2
    if rng.random() < 0.5:
        wind += rng.uniform(0.05, 0.4) * _whistle(gust, sample_rate_hz, rng)
    return unit_rms(wind)


def _whistle(gust: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A narrow band of noise whose centre rises with the gust."""
    centre_hz = rng.uniform(300, 900) * (1 + rng.uniform(0.3, 1.0) * gust)
    breath = shaped_noise(len(gust), sample_rate_hz, rng, lambda hz: 1 / (1 + (hz / 30) ** 2))
    return breath * gust**2 * np.sin(2 * np.pi * np.cumsum(centre_hz) / sample_rate_hz)
