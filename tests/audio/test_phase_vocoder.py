"""Stretching: tones keep pitch and level, the length follows the rate, nothing breaks."""

import numpy as np
import pytest

from fakevoice.audio.phase_vocoder import stretch

RATE_HZ, N_FFT = 16_000, 1024
TIME_S = np.arange(RATE_HZ) / RATE_HZ
CHORD = sum(np.sin(2 * np.pi * hz * TIME_S) for hz in (300.0, 700.0, 2500.0)).astype(np.float32) / 3


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("n_samples", [1, 2, 3000, 16_000])
def test_the_length_follows_the_rate(rate, n_samples):
    stretched = stretch(CHORD[:n_samples], rate, N_FFT)
    assert stretched.shape == (max(1, round(n_samples / rate)),) and stretched.dtype == np.float32
    assert np.isfinite(stretched).all()


def test_at_rate_1_nothing_changes():
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    np.testing.assert_allclose(stretch(noise, 1.0, N_FFT), noise, atol=1e-4)


@pytest.mark.parametrize("rate", [0.6, 0.9, 1.1, 1.7])
def test_all_tones_of_a_chord_keep_pitch_and_level(rate):
    stretched = stretch(CHORD, rate, N_FFT)[2000:-2000]
    spectrum = 2 * np.abs(np.fft.rfft(stretched * np.hanning(len(stretched)), 8 * RATE_HZ)) / (len(stretched) / 2)
    found = [8 * hz + np.argmax(spectrum[8 * (hz - 20) : 8 * (hz + 20)]) - 160 for hz in (300, 700, 2500)]
    np.testing.assert_allclose(np.array(found) / 8, [300, 700, 2500], atol=2)
    np.testing.assert_allclose(spectrum[found], 1 / 3, rtol=0.06)


def test_silence_stays_silent():
    assert not stretch(np.zeros(5000, np.float32), 0.8, N_FFT).any()
