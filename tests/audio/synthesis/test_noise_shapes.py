"""The shapes that noises are built from, held against their definitions."""

import numpy as np
import pytest

from fakevoice.audio.synthesis import noise_shapes

SAMPLE_RATE_HZ = 16_000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_harmonics_are_the_sum_of_sines():
    f0_hz, amplitudes = np.linspace(100, 150, 8000), np.array([1.0, 0.5j, -0.25])
    phase = 2 * np.pi * np.cumsum(f0_hz) / 16_000
    expected = np.imag(sum(a * np.exp(1j * (k + 1) * phase) for k, a in enumerate(amplitudes)))
    np.testing.assert_allclose(noise_shapes.harmonics(f0_hz, 16_000, amplitudes), expected, atol=1e-4)


def test_harmonics_above_the_nyquist_frequency_are_left_out():
    tone = noise_shapes.harmonics(np.full(16_000, 3000.0), 16_000, np.ones(8, complex))
    lines = np.flatnonzero(np.abs(np.fft.rfft(tone)) > 100)
    assert lines.tolist() == [3000, 6000]


def test_shaped_noise_has_the_gain_as_its_spectrum():
    gain = noise_shapes.band(500, 2000)
    noise = noise_shapes.shaped_noise(2**16, SAMPLE_RATE_HZ, rng(), gain)
    power = np.abs(np.fft.rfft(noise)[1:]).reshape(64, -1) ** 2  # 64 bands of 125 Hz
    level_db = 10 * np.log10(power.mean(axis=1))
    expected_db = 20 * np.log10(gain(np.arange(64) * 125 + 62.5))
    assert np.std((level_db - expected_db)[4:]) < 0.5
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-3)


def test_band_falls_by_12_db_per_octave_on_both_sides():
    gain = noise_shapes.band(500, 2000)
    falls_db = 20 * np.log10([gain(20.0) / gain(40.0), gain(40_000.0) / gain(20_000.0)])
    np.testing.assert_allclose(falls_db, -12, atol=0.2)


def test_slow_curve_wanders_within_its_bounds():
    curve = noise_shapes.slow_curve(10 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, rng(), 2.0, 0.3, 0.9)
    assert 0.3 <= curve.min() < 0.45 and 0.75 < curve.max() <= 0.9
    assert np.abs(np.diff(curve)).max() <= 0.6 * 2.0 / SAMPLE_RATE_HZ + 1e-12


def test_impulses_come_at_their_rate():
    train = noise_shapes.impulses(100 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, rng(), 20.0)
    assert np.count_nonzero(train) == pytest.approx(2000, rel=0.1)
    assert np.mean(train[train != 0] > 0) == pytest.approx(0.5, abs=0.05)


def test_ring_dies_away_by_60_db_at_its_frequency():
    ringing = noise_shapes.ring(np.eye(1, SAMPLE_RATE_HZ)[0], SAMPLE_RATE_HZ, 1000.0, 0.2)
    assert np.argmax(np.abs(np.fft.rfft(ringing))) == pytest.approx(1000, abs=2)
    late, early = (np.abs(ringing[start : start + 160]).max() for start in (3200, 0))
    assert 20 * np.log10(late / early) == pytest.approx(-60, abs=2)


def test_unit_rms():
    scaled = noise_shapes.unit_rms(np.array([3.0, -4.0]))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, np.array([3, -4]) / np.sqrt(12.5), rtol=1e-6)
