"""A clip has the length that was asked for, and holds what was asked for."""

import numpy as np
import pytest
import soundfile

from fakevoice.audio.preprocess import fitted, read_clip, read_waveform, trim
from fakevoice.core.config import Config, load_config

RATE = 16_000
SOUND = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
QUIET = np.zeros(RATE, np.float32)


def config(duration_s: float, *words: str) -> Config:
    return load_config("voices", [f"clip_duration_s={duration_s}", *(f"preprocessing.{word}" for word in words)])


def test_a_short_clip_is_followed_by_zeros_and_a_long_one_is_cut():
    longer, shorter = fitted(SOUND, config(4)), fitted(SOUND, config(2))
    assert np.array_equal(longer[: 3 * RATE], SOUND) and not longer[3 * RATE :].any() and len(longer) == 4 * RATE
    assert np.array_equal(shorter, SOUND[: 2 * RATE])


def test_centred():
    longer, shorter = fitted(SOUND, config(4, "fit=center")), fitted(SOUND, config(2, "fit=center"))
    half = RATE // 2
    assert np.array_equal(longer[half:-half], SOUND) and not longer[:half].any() and not longer[-half:].any()
    assert np.array_equal(shorter, SOUND[half:-half])


def test_repeated():
    assert np.array_equal(fitted(SOUND, config(7, "fit=repeat")), np.concatenate([SOUND, SOUND, SOUND[:RATE]]))
    assert np.array_equal(fitted(SOUND, config(2, "fit=repeat")), SOUND[: 2 * RATE])


@pytest.mark.parametrize("fit", ["start", "center", "repeat"])
@pytest.mark.parametrize("n_samples", [1, 3 * RATE - 1, 3 * RATE, 3 * RATE + 1, 50 * RATE])
def test_the_length_is_always_the_same(fit, n_samples):
    clip = fitted(np.ones(n_samples, np.float32), config(3, f"fit={fit}"))
    assert clip.shape == (3 * RATE,) and clip.dtype == np.float32 and clip.any()


def test_both_ends_are_trimmed_before_the_clip_is_fitted():
    padded = np.concatenate([QUIET, SOUND, QUIET])
    assert np.array_equal(fitted(padded, config(3, "trim_db=30")), SOUND)
    assert np.array_equal(fitted(padded, config(3)), padded[: 3 * RATE])


def test_trim_cuts_the_quiet_ends_and_nothing_between():
    padded = np.concatenate([QUIET, SOUND[:RATE], QUIET + 1e-5, SOUND[:RATE], QUIET[: RATE // 2] + 1e-5])
    assert np.array_equal(trim(padded, RATE, 40.0), padded[RATE : 4 * RATE])


@pytest.mark.parametrize(("trim_db", "n_frames"), [(15.0, 50), (25.0, 150)])
def test_trim_counts_decibels_under_the_loudest_moment(trim_db, n_frames):
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    sound = np.concatenate([0.1 * tone, tone, 0.1 * tone])  # 20 dB
    assert len(trim(sound, RATE, trim_db)) == n_frames * RATE // 50


@pytest.mark.parametrize("sound", [QUIET, QUIET[:1], QUIET + 0.5])
def test_trim_leaves_odd_recordings_alone(sound):
    assert np.array_equal(trim(sound, RATE, 40.0), sound)


def test_a_file_is_decoded_resampled_and_fitted(tmp_path):
    stereo = np.stack([SOUND, np.zeros_like(SOUND)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, "FLOAT")
    np.testing.assert_allclose(read_clip(tmp_path / "a.wav", config(3)), SOUND / 2, atol=1e-6)
    assert len(read_clip(tmp_path / "a.wav", load_config("voices", ["sample_rate_hz=8000"]))) == 5 * 8000


def test_files_are_read_as_far_as_the_clip_goes(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(50 * 1000), 1000)
    longer = load_config("voices", ["sample_rate_hz=1000", "clip_duration_s=40"])
    assert read_clip(tmp_path / "a.wav", longer).all()
    assert len(read_waveform(tmp_path / "a.wav", longer)) == 50 * 1000
