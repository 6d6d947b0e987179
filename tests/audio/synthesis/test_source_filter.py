"""Synthetic speakers: unit level, a pitch of their own, a spectrum that moves."""

import numpy as np
import pytest

from fakevoice.audio import pitch, spectrum
from fakevoice.audio.synthesis.source_filter import SAMPLE_RATE_HZ, draw_speaker, speak


def utterance(speaker: int = 0, seed: int = 0, duration_s: float = 2.0, **traits: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return speak(draw_speaker(np.random.default_rng(speaker))._replace(**traits), duration_s, rng)


@pytest.mark.parametrize("duration_s", [0.5, 2.0, 4.8])
def test_unit_level_and_length(duration_s):
    voice = utterance(duration_s=duration_s)
    assert voice.shape == (int(duration_s * SAMPLE_RATE_HZ),) and voice.dtype == np.float32
    assert np.sqrt(np.mean(voice.astype(float) ** 2)) == pytest.approx(1, abs=1e-3)


def test_same_seed_same_bytes_other_seed_other_words():
    assert utterance(seed=1).tobytes() == utterance(seed=1).tobytes()
    assert abs(np.corrcoef(utterance(seed=1), utterance(seed=2))[0, 1]) < 0.5


def test_speakers_differ_in_every_trait():
    first, second = (draw_speaker(np.random.default_rng(seed)) for seed in (0, 1))
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("f0_hz", [95.0, 150.0, 240.0])
def test_a_clear_voice_has_its_speakers_pitch(f0_hz):
    voices = [utterance(seed=seed, f0_hz=f0_hz, breath=0.01, jitter=0.005) for seed in range(4)]
    contour = np.concatenate([pitch.f0_contour(voice, SAMPLE_RATE_HZ, 160)[0] for voice in voices])
    assert np.mean(contour > 0) > 0.6
    assert np.median(contour[contour > 0]) == pytest.approx(f0_hz, rel=0.05)


def test_speech_moves_more_than_noise():
    def movement(waveform: np.ndarray) -> float:
        power = spectrum.power_spectrogram(waveform, 512, 256)[2:]
        return float(np.mean(np.std(spectrum.decibels(power, 1e-6), axis=1)))

    white = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE_HZ)
    assert movement(utterance()) > movement(white) + 3
