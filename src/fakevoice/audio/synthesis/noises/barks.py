"""Barks, yelps and bleats: harmonic bursts through two or three resonances, at irregular times."""

import numpy as np

from fakevoice.audio.synthesis.noise_shapes import harmonics, ring, shaped_noise, slow_curve, unit_rms


def make(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One animal that calls again and again, each time a little differently, over a quiet yard.

    Args:
        rng: draws the animal, its calls and their times.

    Returns:
        (n_samples,) float32 of RMS 1.
    """
    yard = 0.02 * shaped_noise(n_samples, sample_rate_hz, rng, lambda hz: hz**-0.6)
    calls = np.zeros(n_samples)
    pitch_hz, call_s = 10 ** rng.uniform(2.1, 2.9), rng.uniform(0.08, 0.45)
    throat_hz = np.sort(10 ** rng.uniform(2.6, 3.6, 3))
    harsh = rng.uniform(0.05, 1.0)
    start_s = rng.uniform(0.0, 0.5)
    while (start := int(start_s * sample_rate_hz)) < n_samples:
        duration_s = call_s * rng.uniform(0.7, 1.4)
        call = _call(int(duration_s * sample_rate_hz), sample_rate_hz, rng, pitch_hz, throat_hz, harsh)
        calls[start : start + len(call)] += rng.uniform(0.4, 1.0) * call[: n_samples - start]
        start_s += duration_s + rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.4, 1.5)])
    return unit_rms(yard + calls)


def _call(
    n_samples: int,
    sample_rate_hz: int,
    rng: np.random.Generator,
    pitch_hz: float,
    throat_hz: np.ndarray,
    harsh: float,
) -> np.ndarray:
    """One call of about RMS 1: the pitch rises and falls, the mouth opens and shuts."""
    time = np.linspace(0, 1, n_samples)
    arch = np.sin(np.pi * time ** rng.uniform(0.5, 1.5))
    flutter = slow_curve(n_samples, sample_rate_hz, rng, 60.0, 1 - 0.05 * harsh, 1 + 0.05 * harsh)
    f0_hz = pitch_hz * rng.uniform(0.85, 1.15) * (0.7 + rng.uniform(0.2, 0.6) * arch) * flutter
    source = harmonics(f0_hz, sample_rate_hz, np.arange(1, 31) ** -0.7 + 0j)
    source = source + harsh * rng.standard_normal(n_samples)
    call = sum(ring(source, sample_rate_hz, hz, rng.uniform(0.005, 0.02)) for hz in throat_hz)
    return call / (np.std(call) + 1e-6) * arch ** rng.uniform(0.4, 1.5)
