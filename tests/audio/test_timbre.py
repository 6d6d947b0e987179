"""Numbers of a frame: right by hand; test_spectrum.py holds them against librosa."""

import numpy as np
import pytest

from fakevoice.audio import timbre

RATE = 16_000
ONE_LINE, FLAT = np.zeros((257, 2), np.float32), np.ones((257, 2), np.float32)
ONE_LINE[32] = 4.0  # 1 kHz


def test_shape_of_a_line():
    shape = timbre.spectral_shape(ONE_LINE, RATE)
    for name, expected in (("centroid_hz", 1000.0), ("bandwidth_hz", 0.0), ("rolloff_hz", 1000.0)):
        np.testing.assert_allclose(shape[name], [expected, expected], atol=1e-3)


def test_shape_of_white_noise():
    shape = timbre.spectral_shape(FLAT, RATE)
    np.testing.assert_allclose(shape["centroid_hz"], 4000.0, rtol=1e-4)
    np.testing.assert_allclose(shape["bandwidth_hz"], 8000.0 / np.sqrt(12), rtol=1e-2)
    np.testing.assert_allclose(shape["rolloff_hz"], 0.85 * 8000.0, atol=RATE / 512)


def test_shape_counts_magnitudes():
    """Powers 1 and 9 are magnitudes 1 and 3: the centroid lies at three quarters."""
    power = np.zeros((257, 1))
    power[64], power[128] = 1.0, 9.0
    assert timbre.spectral_shape(power, RATE)["centroid_hz"] == pytest.approx(2000.0 * 0.25 + 4000.0 * 0.75)


def test_silence_has_no_shape():
    shape = timbre.spectral_shape(np.zeros((257, 3)), RATE)
    assert all(len(values) == 3 and not values.any() for values in shape.values())


def test_flatness():
    np.testing.assert_allclose(timbre.flatness(FLAT), 1.0, rtol=1e-5)
    assert timbre.flatness(ONE_LINE).max() < 1e-6
    two = np.repeat([[1.0], [4.0]], 64, axis=0)
    np.testing.assert_allclose(timbre.flatness(two), 2.0 / 2.5)


def test_contrast_is_that_of_the_octave_of_the_line():
    contrast = timbre.contrast_db(ONE_LINE + 0.04 * FLAT, RATE)  # 20 dB above the rest, in 800-1600 Hz
    assert contrast.shape == (7, 2)
    np.testing.assert_allclose(contrast[3], 10 * np.log10(101), atol=1e-3)
    np.testing.assert_allclose(np.delete(contrast, 3, axis=0), 0.0, atol=1e-4)


@pytest.mark.parametrize(("rate_hz", "n_heard"), [(4_000, 5), (8_000, 6), (16_000, 7), (44_100, 7)])
def test_octaves_beyond_half_the_rate_have_no_contrast(rate_hz, n_heard):
    power = np.random.default_rng(0).random((1025, 4))
    assert (timbre.contrast_db(power, rate_hz) > 0).all(axis=1).tolist() == [True] * n_heard + [False] * (7 - n_heard)


def test_crossings_of_a_tone():
    tone = np.sin(2 * np.pi * 1000 * (np.arange(RATE) + 0.5) / RATE)
    rate = timbre.crossing_rate(tone, 512, 256)
    assert rate.shape == (63,)
    np.testing.assert_allclose(rate[1:-2], 2 * 1000 / RATE, atol=1 / 512)
    assert rate[0] == pytest.approx(rate[30] / 2, abs=2 / 512)  # half of the frame lies before the clip


def test_a_constant_and_the_faintest_noise_do_not_cross():
    assert not timbre.crossing_rate(np.ones(2000), 512, 256).any()
    assert not timbre.crossing_rate(1e-11 * np.tile([-1.0, 1.0], 1000), 512, 256).any()


def test_rms():
    level = timbre.rms(np.full(2000, 0.5, np.float32), 512, 256)
    np.testing.assert_allclose(level[1:-2], 0.5, rtol=1e-6)
    np.testing.assert_allclose(level[0], 0.5 / np.sqrt(2), rtol=1e-6)
