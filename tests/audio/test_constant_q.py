"""The constant-Q transform, held against direct sums in the time domain; test_spectrum.py holds it against librosa."""

import numpy as np
import pytest

from fakevoice.audio.constant_q import C1_HZ, EXACTNESS, bins_that_fit, constant_q
from fakevoice.core.errors import ConfigError

RATE, HOP = 16_000, 256
rng = np.random.default_rng(0)
NOISE = rng.standard_normal(2 * RATE).astype(np.float32)


def quality(bins_per_octave: int) -> float:
    return (2 ** (2 / bins_per_octave) + 1) / (2 ** (2 / bins_per_octave) - 1)


def direct(waveform: np.ndarray, rate_hz: int, hop_length: int, centre_hz: float, bins_per_octave: int) -> np.ndarray:
    """sqrt(L) times the mean under a Hann window of x[mH + n] exp(-2 pi i f n / rate), for every frame m."""
    length = quality(bins_per_octave) * rate_hz / centre_hz
    half = int(length / 2)
    n = np.arange(-half, half + 1)
    window = 0.5 + 0.5 * np.cos(2 * np.pi * n / (2 * half + 1))
    kernel = window / window.sum() * np.exp(-2j * np.pi * centre_hz * n / rate_hz)
    padded = np.pad(waveform.astype(np.float64), (half, half + 1))
    starts = range(0, len(waveform) + 1, hop_length)
    return np.sqrt(length) * np.array([kernel @ padded[start : start + 2 * half + 1] for start in starts])


@pytest.mark.parametrize(
    ("rate_hz", "hop_length", "n_samples", "n_bins", "fmin_hz", "bins_per_octave"),
    [
        (RATE, HOP, 2 * RATE, 84, C1_HZ, 12),
        (RATE, 333, 20_001, 60, 70.0, 12),
        (RATE, HOP, 1, 84, C1_HZ, 12),
        (8_000, 100, 8_000, 83, C1_HZ, 12),
        (8_000, 128, 8_000, 18, 50.0, 3),
        (44_100, 512, 20_000, 252, C1_HZ, 36),
        (8_000, 1, 300, 12, 1000.0, 12),
    ],
)
def test_every_frame_by_the_formula(rate_hz, hop_length, n_samples, n_bins, fmin_hz, bins_per_octave):
    waveform = NOISE[:n_samples]
    ours = constant_q(waveform, rate_hz, hop_length, n_bins, fmin_hz, bins_per_octave)
    assert ours.shape == (n_bins, 1 + n_samples // hop_length) and ours.dtype == np.complex64
    for place in np.unique(np.linspace(0, n_bins - 1, 7).astype(int)):
        expected = direct(waveform, rate_hz, hop_length, fmin_hz * 2 ** (place / bins_per_octave), bins_per_octave)
        np.testing.assert_allclose(ours[place], expected, atol=2 * EXACTNESS * np.abs(ours).max())


def test_a_tone_in_tune_has_the_power_of_its_frame():
    tone = np.cos(2 * np.pi * 440.0 * np.arange(2 * RATE) / RATE)
    level = np.abs(constant_q(tone, RATE, HOP, 84))[:, 30:90]
    np.testing.assert_allclose(level[45], np.sqrt(quality(12) * RATE / 440.0) / 2, rtol=1e-3)
    assert set(level.argmax(axis=0)) == {45} and level[[33, 57]].max() < 0.01 * level[45].min()


def test_the_end_is_not_heard_at_the_beginning():
    waveform = np.concatenate([np.zeros(RATE, np.float32), NOISE[:RATE]])
    level = np.abs(constant_q(waveform, RATE, HOP, 84))
    assert level[:, :20].max() < EXACTNESS * level.max() and level[:, -5:].max() > 0.1 * level.max()


def test_the_same_sound_gives_the_same_bytes():
    once, again = constant_q(NOISE, RATE, HOP, 84), constant_q(NOISE, RATE, HOP, 84)
    assert once.tobytes() == again.tobytes()


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 11_025, 16_000, 22_050])
@pytest.mark.parametrize("bins_per_octave", [3, 12, 36])
def test_what_fits_is_the_most_that_is_not_refused(rate_hz, bins_per_octave):
    n_bins = bins_that_fit(rate_hz, C1_HZ, bins_per_octave, 20)
    constant_q(NOISE[:1000], rate_hz, HOP, n_bins, C1_HZ, bins_per_octave)
    with pytest.raises(ConfigError, match=rf"n_bins {n_bins + 1} .* beyond half the sample rate"):
        constant_q(NOISE[:1000], rate_hz, HOP, n_bins + 1, C1_HZ, bins_per_octave)


def test_a_bin_reaches_half_its_bandwidth_up():
    """At 12 bins an octave by 4.3 %: half of Hann's 1.5 over the quality of 17.3."""
    constant_q(NOISE[:1000], 8_000, HOP, 1, 3825.0)
    with pytest.raises(ConfigError, match="up to 4017 Hz"):
        constant_q(NOISE[:1000], 8_000, HOP, 1, 3850.0)


def test_no_more_octaves_than_asked_for():
    assert bins_that_fit(RATE, C1_HZ, 12, 7) == 84 and bins_that_fit(RATE, C1_HZ, 36, 3) == 108


@pytest.mark.parametrize("args", [(0, C1_HZ, 12), (84, 0.0, 12), (84, C1_HZ, 0), (1, 8000.0, 12)])
def test_impossible_bins_are_refused(args):
    with pytest.raises(ConfigError):
        constant_q(NOISE, RATE, HOP, *args)


@pytest.mark.parametrize("args", [(0.0, 12, 7), (C1_HZ, 0, 7), (C1_HZ, 12, 0)])
def test_nothing_fits_where_nothing_is_asked_for(args):
    with pytest.raises(ConfigError, match="> 0"):
        bins_that_fit(RATE, *args)
