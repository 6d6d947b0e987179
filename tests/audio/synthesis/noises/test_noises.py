"""Contracts of every noise: unit level, no two alike, never broken."""

import numpy as np
import pytest

from fakevoice.audio import spectrum
from fakevoice.core import plugins

noises = pytest.mark.parametrize("name", plugins.names("noises"))


def make(name: str, n_samples: int = 40_000, seed: int = 0, sample_rate_hz: int = 16_000) -> np.ndarray:
    return plugins.load("noises", name).make(n_samples, sample_rate_hz, np.random.default_rng(seed))


@noises
@pytest.mark.parametrize("seed", range(12))
def test_unit_level(name, seed):
    noise = make(name, seed=seed)
    assert noise.shape == (40_000,) and noise.dtype == np.float32 and np.isfinite(noise).all()
    assert np.sqrt(np.mean(noise.astype(float) ** 2)) == pytest.approx(1.0, abs=1e-3)


@noises
@pytest.mark.parametrize("n_samples", [1, 2, 100, 4001])
@pytest.mark.parametrize("sample_rate_hz", [8_000, 32_000])
def test_short_ones_and_other_rates(name, n_samples, sample_rate_hz):
    for seed in range(6):
        noise = make(name, n_samples, seed, sample_rate_hz)
        assert noise.shape == (n_samples,) and noise.dtype == np.float32
        assert np.sqrt(np.mean(noise.astype(float) ** 2)) == pytest.approx(1.0, abs=1e-3)


@noises
def test_same_seed_same_bytes_other_seed_other_sound(name):
    assert make(name, seed=1).tobytes() == make(name, seed=1).tobytes()
    assert abs(np.corrcoef(make(name, seed=1), make(name, seed=2))[0, 1]) < 0.9


@pytest.mark.parametrize("name", ["barks", "birds", "clicks", "crowd", "music", "wind"])
def test_modulated_ones_move(name):
    def modulation(noise: np.ndarray) -> float:
        power = spectrum.power_spectrogram(noise, 1024, 512)[2:]
        return float(np.mean(np.std(spectrum.decibels(power, 1e-6), axis=1)))

    white = np.random.default_rng(0).standard_normal(40_000)
    moved = [modulation(make(name, seed=seed)) for seed in range(5)]
    assert np.median(moved) > modulation(white) + 0.5
