"""The pitch peak tells voices from noise at every rate in use."""

import numpy as np
import pytest

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.audio.voicing import cepstral_peak


def peak_of(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    n_fft = 1 << (rate_hz // 20).bit_length()
    return cepstral_peak(power_spectrogram(waveform, n_fft, n_fft // 2), rate_hz)


def pulses(f0_hz: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    waveform = 0.01 * np.random.default_rng(seed).standard_normal(2 * rate_hz)
    waveform[(np.arange(0, 2 * f0_hz) * rate_hz / f0_hz).astype(int)] += 1.0
    return waveform.astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 32000])
@pytest.mark.parametrize("f0_hz", [85.0, 140.0, 300.0])
def test_a_voice_stands_out_from_noise(rate_hz, f0_hz):
    noise = np.random.default_rng(1).standard_normal(2 * rate_hz).astype(np.float32)
    assert np.median(peak_of(pulses(f0_hz, rate_hz), rate_hz)) > 2.0
    assert np.quantile(peak_of(noise, rate_hz), 0.97) < 1.3


def test_only_the_range_of_voices_counts():
    rumble, voice = (np.median(peak_of(pulses(f0_hz, 16000), 16000)) for f0_hz in (40.0, 80.0))
    assert rumble < 0.7 and voice > 3.0


def test_loudness_does_not_matter():
    voice = pulses(120.0, 16000)
    np.testing.assert_allclose(peak_of(voice, 16000), peak_of(10 * voice, 16000), atol=0.01)


def test_silence_has_no_pitch():
    peak = peak_of(np.zeros(16000, np.float32), 16000)
    assert peak.dtype == np.float32 and np.abs(peak).max() < 1e-3
