"""Each piece of the channel does what its name says, and nothing to the length."""

from itertools import pairwise

import numpy as np
import pytest

from fakevoice.audio import channel
from fakevoice.core.errors import ConfigError

RATE = 16_000


def pink(n_samples: int = 2 * RATE, rate_hz: int = RATE, seed: int = 0) -> np.ndarray:
    """Speech-shaped noise, swelling and fading, at -20 dBFS."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / rate_hz)
    waveform = np.fft.irfft(spectrum / np.maximum(hz, 100.0), n_samples) * np.hanning(n_samples)
    return (0.1 * waveform / np.sqrt(np.mean(waveform**2))).astype(np.float32)


def band_db(waveform: np.ndarray, low_hz: float, high_hz: float, rate_hz: int = RATE) -> float:
    hz = np.fft.rfftfreq(len(waveform), 1 / rate_hz)
    inside = (hz >= low_hz) & (hz < high_hz)
    spectrum = np.fft.rfft(waveform * np.hanning(len(waveform)))  # a cut is heard at all frequencies, a window is not
    return float(10 * np.log10(np.mean(np.abs(spectrum)[inside] ** 2) + 1e-12))


def delay_of(output: np.ndarray, source: np.ndarray) -> int:
    spectrum = np.fft.rfft(output, 2 * len(source)) * np.conj(np.fft.rfft(source, 2 * len(source)))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return lag if lag < len(source) else lag - 2 * len(source)


@pytest.mark.parametrize("name", sorted(channel.CODECS))
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 32_000, 44_100])
def test_codecs_keep_length_and_time(name, rate_hz):
    source = pink(rate_hz + 37, rate_hz)
    coded = channel.transcode(source, rate_hz, name)
    assert coded.shape == source.shape and coded.dtype == np.float32 and np.isfinite(coded).all()
    assert delay_of(coded, source) == 0
    assert np.corrcoef(coded, source)[0, 1] > 0.9
    assert not np.array_equal(coded, source)


@pytest.mark.parametrize("name", sorted(channel.CODECS))
@pytest.mark.parametrize("n_samples", [RATE // 10, 5 * RATE])
def test_codecs_take_silence_and_overshoot(name, n_samples):
    silent = channel.transcode(np.zeros(n_samples, np.float32), RATE, name)
    assert silent.shape == (n_samples,) and np.abs(silent).max() < 1e-2
    loud = channel.transcode(20 * pink(n_samples), RATE, name)
    assert np.isfinite(loud).all() and np.abs(loud).max() < 2.0


def test_quality_matters_to_vorbis():
    source = pink()
    errors = [channel.rms(channel.transcode(source, RATE, "vorbis", quality) - source) for quality in (0.0, 0.5, 1.0)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("name", channel.TELEPHONE)
@pytest.mark.parametrize("rate_hz", [16_000, 32_000])
def test_a_telephone_hears_nothing_above_4_khz(name, rate_hz):
    source = 0.1 * np.random.default_rng(0).standard_normal(2 * rate_hz).astype(np.float32)
    coded = channel.transcode(source, rate_hz, name)
    loss = [band_db(coded, *band, rate_hz) - band_db(source, *band, rate_hz) for band in ((300, 3300), (4200, 7900))]
    assert abs(loss[0]) < 3.0 and loss[1] < -40.0


@pytest.mark.parametrize("name", sorted(set(channel.CODECS) - set(channel.TELEPHONE)))
def test_other_codecs_hear_what_is_above_4_khz(name):
    source = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    coded = channel.transcode(source, RATE, name, 1.0)
    assert band_db(coded, 4200, 6000) > band_db(source, 4200, 6000) - 6.0


def test_an_unknown_codec_gets_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'vorbis'"):
        channel.transcode(pink(), RATE, "vorbi")


@pytest.mark.parametrize("rt60_s", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_direct_sound_comes_first(rt60_s, seed):
    response = channel.impulse_response(rt60_s, RATE, np.random.default_rng(seed))
    assert response.dtype == np.float32 and response.shape == (int(rt60_s * RATE),)
    assert response[0] == 1.0 and np.abs(response[1:]).max() < 1.0


def test_the_tail_dies_away_within_its_time():
    response = channel.impulse_response(0.5, RATE, np.random.default_rng(0))
    early, late = response[RATE // 20 : RATE // 10], response[-RATE // 20 :]
    fall_db = 20 * np.log10(channel.rms(early) / channel.rms(late))
    assert 35 < fall_db < 65  # 60 dB in 0.5 s, seen over 0.4 s


def test_reverberation_keeps_level_length_and_time():
    source = pink()
    wet = channel.reverberate(source, channel.impulse_response(0.4, RATE, np.random.default_rng(1)))
    assert wet.shape == source.shape and wet.dtype == np.float32
    assert channel.rms(wet) == pytest.approx(channel.rms(source), rel=1e-3)
    assert delay_of(wet, source) == 0 and not np.allclose(wet, source, atol=1e-3)
    assert not channel.reverberate(np.zeros(100, np.float32), np.ones(5, np.float32)).any()


@pytest.mark.parametrize("seed", range(5))
def test_equalizer_stays_within_its_bounds(seed):
    source = np.random.default_rng(9).standard_normal(RATE).astype(np.float32)
    shaped = channel.filtered(source, [channel.equalizer(RATE, 8.0, np.random.default_rng(seed))])
    edges = np.geomspace(70, 7900, 9)
    change = [band_db(shaped, *e) - band_db(source, *e) for e in pairwise(edges)]
    assert shaped.dtype == np.float32 and shaped.shape == source.shape
    assert np.abs(change).max() <= 12.5  # the curve's 8 dB and half of it for the tilt
    assert np.ptp(change) > 2.0


def test_equalizer_of_0_db_does_nothing():
    source = pink()
    np.testing.assert_allclose(
        channel.filtered(source, [channel.equalizer(RATE, 0.0, np.random.default_rng(0))]), source, atol=1e-6
    )


@pytest.mark.parametrize("cutoff_hz", [2500.0, 4000.0])
def test_band_limit_removes_what_is_above(cutoff_hz):
    source = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    limited = channel.filtered(source, [channel.band(RATE, cutoff_hz, 0.0)])
    assert band_db(limited, 1.15 * cutoff_hz, 8000) < band_db(source, 1.15 * cutoff_hz, 8000) - 50
    assert band_db(limited, 0, 0.85 * cutoff_hz) == pytest.approx(band_db(source, 0, 0.85 * cutoff_hz), abs=0.1)


def test_low_cut_removes_what_is_below():
    source = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    limited = channel.filtered(source, [channel.band(RATE, RATE, 300.0)])
    assert band_db(limited, 0, 200) < band_db(source, 0, 200) - 30
    assert band_db(limited, 400, 7900) == pytest.approx(band_db(source, 400, 7900), abs=0.1)


@pytest.mark.parametrize("fraction", [0.001, 0.02, 0.2])
def test_clip_cuts_the_share_it_was_told(fraction):
    source = pink()
    cut = channel.clip(source, fraction)
    assert np.mean(cut != source) == pytest.approx(fraction, abs=1e-3)
    assert np.array_equal(np.sign(cut), np.sign(source))


def test_clip_leaves_silence_alone():
    assert not channel.clip(np.zeros(100, np.float32), 0.1).any()


def test_rms_and_gain():
    assert channel.rms(np.array([3.0, -3.0, 3.0, -3.0])) == 3.0
    assert channel.rms(np.zeros(0, np.float32)) == 0.0
    assert channel.rms(np.full(10, 1e4, np.float16)) == pytest.approx(1e4, rel=1e-3)  # squares beyond float16
    assert channel.gain(20.0) == pytest.approx(10.0) and channel.gain(0.0) == 1.0
