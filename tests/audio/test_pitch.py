"""Pitch, pulses and level: known tones come back, silence stays silent."""

import numpy as np
import pytest

from fakevoice.audio import pitch

SAMPLE_RATE_HZ = 16_000


@pytest.mark.parametrize("f0_hz", [80.0, 123.4, 220.0, 390.0])
def test_pitch_of_a_known_tone(f0_hz):
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = sum(np.cos(2 * np.pi * k * f0_hz * time_s) / k for k in range(1, 6))
    found, strength = pitch.f0_contour(tone, SAMPLE_RATE_HZ, 160)
    assert np.median(found) == pytest.approx(f0_hz, rel=0.01) and np.median(strength) > 0.8


def test_noise_has_no_pitch():
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ)
    found, _ = pitch.f0_contour(noise, SAMPLE_RATE_HZ, 160)
    assert np.mean(found > 0) < 0.1


def test_pulse_train_has_equal_harmonics_up_to_the_top():
    pulses = pitch.pulse_train(np.full(101, 100.0), SAMPLE_RATE_HZ, 160, 16_000)
    lines = np.abs(np.fft.rfft(pulses))[100:7600:100]
    assert np.all(np.abs(lines / lines[0] - 1) < 0.05)


def test_pulse_train_is_silent_where_unvoiced():
    f0_hz = np.repeat([120.0, 0.0], [50, 51])
    pulses = pitch.pulse_train(f0_hz, SAMPLE_RATE_HZ, 160, 16_000)
    assert np.abs(pulses[:7900]).max() > 10 and not pulses[8000:].any()
    assert not pitch.pulse_train(np.zeros(101), SAMPLE_RATE_HZ, 160, 16_000).any()


@pytest.mark.parametrize(
    ("sample_rate_hz", "expected"), [(8_000, 512), (12_000, 1024), (16_000, 1024), (44_100, 2048), (100, 32)]
)
def test_frame_is_a_power_of_two_of_about_64_ms(sample_rate_hz, expected):
    assert pitch.frame_size(sample_rate_hz) == expected


def test_unit_power_of_each_frame_but_the_silent():
    spectrogram = np.random.default_rng(0).standard_normal((33, 4)) * [1e-3, 1.0, 1e3, 0.0] * 1j
    power = np.mean(np.abs(pitch.unit_power(spectrogram)) ** 2, axis=0)
    np.testing.assert_allclose(power, [1, 1, 1, 0])


def test_level_is_that_of_the_reference():
    rng = np.random.default_rng(0)
    reference, waveform = 0.01 * rng.standard_normal(1000), rng.standard_normal(1000)
    levelled = pitch.match_level(reference, waveform)
    assert levelled.dtype == np.float32 and np.corrcoef(levelled, waveform)[0, 1] > 0.999
    assert np.std(levelled) == pytest.approx(np.std(reference), rel=0.01)
    np.testing.assert_array_equal(pitch.match_level(reference, np.zeros(1000)), reference.astype(np.float32))
