"""Contracts of every vocoder: level, length and words stay, the fine structure does not."""

import numpy as np
import pytest

from fakevoice.audio import spectrum
from fakevoice.audio.synthesis.source_filter import draw_speaker, speak
from fakevoice.core import plugins

SAMPLE_RATE_HZ = 16_000
vocoders = pytest.mark.parametrize("name", plugins.names("vocoders"))


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    speaker = draw_speaker(np.random.default_rng([0, 3, 0, 3]))
    return 0.05 * speak(speaker, 2.0, np.random.default_rng(5))


def resynthesize(name: str, waveform: np.ndarray, seed: int = 0, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    return plugins.load("vocoders", name).resynthesize(waveform, sample_rate_hz, np.random.default_rng(seed))


def level_db(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)))


def log_mel(waveform: np.ndarray) -> np.ndarray:
    bank = spectrum.mel_filter_bank(SAMPLE_RATE_HZ, 1024, 40, 0.0, 7000.0)
    return spectrum.decibels(bank @ spectrum.power_spectrogram(waveform, 1024, 512), 1e-6)


@vocoders
@pytest.mark.parametrize("seed", range(4))
def test_keeps_length_and_level(name, voice, seed):
    fake = resynthesize(name, voice, seed)
    assert fake.shape == voice.shape and fake.dtype == np.float32 and np.isfinite(fake).all()
    assert abs(level_db(fake) - level_db(voice)) < 1.0


@vocoders
@pytest.mark.parametrize("sample_rate_hz", [8_000, 22_050, 32_000])
def test_takes_any_rate(name, voice, sample_rate_hz):
    fake = resynthesize(name, voice, sample_rate_hz=sample_rate_hz)
    assert fake.shape == voice.shape and abs(level_db(fake) - level_db(voice)) < 1.0


@vocoders
def test_same_seed_same_bytes_other_seed_other_sound(name, voice):
    assert resynthesize(name, voice, 1).tobytes() == resynthesize(name, voice, 1).tobytes()
    assert not np.allclose(resynthesize(name, voice, 1), resynthesize(name, voice, 2), atol=1e-3)


@vocoders
def test_silence_stays_silence(name):
    assert not resynthesize(name, np.zeros(8000, np.float32)).any()


@vocoders
@pytest.mark.parametrize("n_samples", [1, 2, 100, 1023])
@pytest.mark.parametrize("kind", ["noise", "constant", "impulse"])
def test_odd_inputs(name, n_samples, kind):
    noise = np.random.default_rng(0).standard_normal(n_samples)
    signal = {"noise": noise, "constant": np.full(n_samples, 0.1), "impulse": np.eye(1, n_samples)[0]}[kind]
    fake = resynthesize(name, signal.astype(np.float32))
    assert fake.shape == (n_samples,) and fake.dtype == np.float32 and np.isfinite(fake).all()
    assert abs(level_db(fake) - level_db(signal)) < 1.0


@vocoders
@pytest.mark.parametrize("gain", [1e-6, 1e3])
def test_loudness_does_not_matter(name, voice, gain):
    assert np.corrcoef(resynthesize(name, voice), resynthesize(name, gain * voice))[0, 1] > 0.99


@vocoders
@pytest.mark.parametrize("seed", range(4))
def test_keeps_the_words_but_not_the_waveform(name, voice, seed):
    fake = resynthesize(name, voice, seed)
    assert np.corrcoef(log_mel(voice).ravel(), log_mel(fake).ravel())[0, 1] > 0.85
    assert np.corrcoef(voice, fake)[0, 1] < 0.999


@vocoders
def test_leaves_its_input_alone(name, voice):
    before = voice.copy()
    resynthesize(name, voice)
    assert np.array_equal(voice, before)
