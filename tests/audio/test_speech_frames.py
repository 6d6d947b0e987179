"""Loud frames are where somebody speaks, quiet ones where nobody does, and there are always some of each."""

import numpy as np
import pytest

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.audio.speech_frames import band_levels_db, loud_frames, quiet_frames

RATE, HOP = 16_000, 256
NOISE = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)


def test_loud_where_a_voice_is_and_quiet_where_none_is():
    waveform = 0.1 * NOISE
    waveform[RATE : 3 * RATE] += NOISE[: 2 * RATE]
    power = power_spectrogram(waveform, 512, HOP)
    time_s = np.arange(power.shape[1]) * HOP / RATE
    loud, quiet = loud_frames(power, RATE), quiet_frames(power, RATE)
    assert loud.mean() == pytest.approx(0.4, abs=0.02) and quiet.mean() == pytest.approx(0.2, abs=0.02)
    assert ((time_s[loud] > 0.95) & (time_s[loud] < 3.05)).all()
    assert ((time_s[quiet] < 1.05) | (time_s[quiet] > 2.95)).all()


def test_a_hum_below_speech_makes_nothing_loud():
    time_s = np.arange(5 * RATE) / RATE
    hum = 30 * np.sin(2 * np.pi * 60 * time_s) * (time_s > 4)
    waveform = (0.1 * NOISE + hum).astype(np.float32)
    waveform[RATE : 3 * RATE] += NOISE[: 2 * RATE]
    power = power_spectrogram(waveform, 512, HOP)
    assert loud_frames(power, RATE)[round(4.2 * RATE / HOP) :].mean() < 0.1


@pytest.mark.parametrize("n_samples", [1, 300, 5 * RATE])
def test_silence_has_frames_too(n_samples):
    power = power_spectrogram(np.zeros(n_samples, np.float32), 512, HOP)
    assert loud_frames(power, RATE).any() and quiet_frames(power, RATE).any()
    assert band_levels_db(power, RATE).shape == (64, power.shape[1])


def test_the_frames_are_of_the_clip_that_is_asked_about():
    first, second = (power_spectrogram(NOISE[::step], 512, HOP) for step in (1, 2))
    kept = loud_frames(first, RATE).copy()
    assert len(loud_frames(second, RATE)) == second.shape[1] != len(kept)
    assert np.array_equal(loud_frames(first, RATE), kept)
