"""What each augmentation of waveforms does, measured: pitch, tempo, levels, decay, spectrum."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal

from fakevoice.audio.channel import rms
from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError
from fakevoice.training.augment import raw_boost

RATE_HZ = 16_000
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ
NOISE = np.random.default_rng(99).standard_normal(len(TIME_S)).astype(np.float32) / 10
SEEDS = pytest.mark.parametrize("seed", range(6))


def augmented(name: str, waveform: np.ndarray, seed: int = 0, **args) -> np.ndarray:
    build = plugins.load("augment", name).build
    return build(RATE_HZ, probability=1.0, **args)(waveform, np.random.default_rng(seed))


def sine(frequency_hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * TIME_S).astype(np.float32)


def peak_hz(waveform: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 8 * len(waveform)))
    return float(np.argmax(spectrum) * RATE_HZ / (8 * len(waveform)))


def onsets_s(waveform: np.ndarray) -> np.ndarray:
    """When a click sounds: the middles of the loud stretches."""
    loud = np.convolve(np.abs(waveform), np.ones(160) / 160, "same") > 0.1 * np.abs(waveform).max()
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    return edges[: len(edges) // 2 * 2].reshape(-1, 2).mean(axis=1) / RATE_HZ


def beeps() -> np.ndarray:
    """Tones of 0.1 s that begin after 0.2, 0.6 and 1.0 s."""
    phase_s = (TIME_S - 0.2) % 0.4
    sounds = (phase_s < 0.1) & (TIME_S > 0.2) & (TIME_S < 1.2)
    return sine(1000.0) * np.where(sounds, np.sin(np.pi * phase_s / 0.1), 0).astype(np.float32)


@pytest.mark.parametrize("semitones", [-12.0, -3.0, -1.0, 0.0, 2.0, 7.0])
@pytest.mark.parametrize("frequency_hz", [220.0, 1000.0])
def test_pitch_moves_by_the_semitones(semitones, frequency_hz):
    shifted = augmented("pitch_shift", sine(frequency_hz), semitones=(semitones, semitones))
    middle = slice(RATE_HZ // 4, -RATE_HZ // 4)
    assert peak_hz(shifted[middle]) == pytest.approx(frequency_hz * 2 ** (semitones / 12), rel=2e-3)
    assert rms(shifted[middle]) == pytest.approx(np.sqrt(0.5), rel=0.05)


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_pitch_moves_and_the_tempo_does_not(semitones):
    shifted = augmented("pitch_shift", beeps(), semitones=(semitones, semitones))
    np.testing.assert_allclose(onsets_s(beeps()), [0.25, 0.65, 1.05], atol=0.002)
    np.testing.assert_allclose(onsets_s(shifted), onsets_s(beeps()), atol=0.03)  # frames last 0.064 s


@pytest.mark.parametrize("rate", [0.7, 0.9, 1.0, 1.25])
def test_the_tempo_changes_and_the_pitch_does_not(rate):
    stretched = augmented("time_stretch", beeps(), rate=(rate, rate))
    np.testing.assert_allclose(onsets_s(stretched), onsets_s(beeps()) / rate, atol=0.03)
    tone = augmented("time_stretch", sine(440.0), rate=(rate, rate))
    end = int(min(1.0, 1 / rate) * len(tone)) - RATE_HZ // 8
    assert peak_hz(tone[RATE_HZ // 8 : end]) == pytest.approx(440.0, rel=2e-3)
    assert rms(tone[RATE_HZ // 8 : end]) == pytest.approx(np.sqrt(0.5), rel=0.05)


def test_what_became_shorter_is_followed_by_zeros():
    faster = augmented("time_stretch", NOISE, rate=(2.0, 2.0))
    assert faster[: len(NOISE) // 2 - 100].any() and not faster[len(NOISE) // 2 :].any()


@SEEDS
def test_noise_lies_at_the_stated_level(seed):
    snrs = [
        20 * np.log10(rms(NOISE) / rms(augmented("noise", NOISE, seed, snr_db=snr) - NOISE))
        for snr in ((7.0, 7.0), (3.0, 20.0))
    ]
    assert snrs[0] == pytest.approx(7.0, abs=0.01) and 3.0 <= snrs[1] <= 20.0


@pytest.mark.parametrize("named", [(), ("hum",), ("hum", "rain")])
def test_noises_are_those_that_are_named_or_all(monkeypatch, named):
    heard, load = set(), plugins.load

    def loaded(kind: str, name: str):
        return (
            SimpleNamespace(make=lambda n, *_: heard.add(name) or np.zeros(n)) if kind == "noises" else load(kind, name)
        )

    monkeypatch.setattr(plugins, "load", loaded)
    for seed in range(150):
        augmented("noise", NOISE[:10], seed, noises=named)
    assert heard == set(named or plugins.names("noises"))


def test_an_unknown_noise_is_refused_at_the_start():
    with pytest.raises(ConfigError, match=r"no audio/synthesis/noises/rains\.py; did you mean 'rain'"):
        plugins.load("augment", "noise").build(RATE_HZ, noises=["hum", "rains"])


@pytest.mark.parametrize("rt60_s", [0.2, 0.6])
def test_a_room_lengthens_the_decay(rt60_s):
    burst = NOISE.copy()
    burst[RATE_HZ // 2 :] = 0.0
    falls = []
    for seed in range(8):
        wet = augmented("room", burst, seed, rt60_s=(rt60_s, rt60_s))
        early, late = (wet[RATE_HZ // 2 + round(s * RATE_HZ) :][:800] for s in (0.25 * rt60_s, 0.75 * rt60_s))
        falls.append(20 * np.log10(rms(early) / rms(late)))
        assert rms(wet) == pytest.approx(rms(burst), rel=1e-3)
        assert not np.abs(wet[RATE_HZ // 2 + round(1.05 * rt60_s * RATE_HZ) :]).max() > 1e-5
    assert 20 < np.median(falls) < 40  # half of the time for 60 dB, and the high frequencies go faster


@SEEDS
@pytest.mark.parametrize("snr_db", [(10.0, 40.0), (15.0, 15.0)])
def test_raw_boosts_noise_stays_within_the_stated_snr(seed, snr_db):
    added = augmented("raw_boost", NOISE, seed, algorithms=(3,), snr_db=snr_db) - NOISE
    measured = 20 * np.log10(rms(NOISE) / rms(added))
    assert snr_db[0] - 0.01 <= measured <= snr_db[1] + 0.01
    assert abs(np.corrcoef(added, NOISE)[0, 1]) < 0.03  # whatever the signal is


def test_raw_boosts_noise_is_coloured():
    added = augmented("raw_boost", NOISE, 0, algorithms=(3,)) - NOISE
    power = np.abs(np.fft.rfft(added.reshape(-1, 500), axis=1)) ** 2
    spread = np.ptp(10 * np.log10(power.mean(axis=0)[10:-10]))
    white = np.abs(np.fft.rfft(NOISE.reshape(-1, 500), axis=1)) ** 2
    assert spread > 4 + np.ptp(10 * np.log10(white.mean(axis=0)[10:-10]))


@SEEDS
def test_raw_boosts_impulses_are_few_and_depend_on_the_signal(seed):
    added = augmented("raw_boost", NOISE, seed, algorithms=(2,), impulse_share=0.1, impulse_gain=2.0) - NOISE
    assert 0 < (added != 0).mean() <= 0.1
    assert (np.abs(added) <= 2.001 * np.abs(NOISE) + 1e-7).all()
    half = np.where(TIME_S < 1, NOISE, 0).astype(np.float32)
    assert not (augmented("raw_boost", half, seed, algorithms=(2,)) - half)[RATE_HZ:].any()


def test_raw_boosts_powers_add_harmonics_and_keep_the_level():
    linear, distorted = (
        np.abs(np.fft.rfft(augmented("raw_boost", sine(500.0), 1, algorithms=(1,), n_powers=n))) for n in (1, 3)
    )
    at = [round(2 * hz) for hz in (500, 1000, 1500, 2000)]  # 2 s: bins of 0.5 Hz
    assert (linear[at[1:]] < 0.01 * linear[at[0]]).all()  # a filter makes no frequencies
    assert (distorted[at[1:3]] > 0.01 * distorted[at[0]]).all() and distorted[at[3]] < 0.01 * distorted[at[0]]
    for seed in range(5):
        wet = augmented("raw_boost", NOISE, seed, algorithms=(1,))
        assert rms(wet) == pytest.approx(rms(NOISE), rel=1e-3) and abs(wet.mean()) < 1e-6


def test_raw_boosts_algorithms_go_in_series():
    results = [augmented("raw_boost", NOISE, 0, algorithms=which) for which in ((1,), (2,), (3,), (1, 2), (2, 1))]
    assert len({result.tobytes() for result in results}) == 5
    level = augmented("raw_boost", NOISE, 0, algorithms=(1,))
    second = augmented("raw_boost", NOISE, 0, algorithms=(1, 2)) - level
    assert 0 < (second != 0).mean() <= 0.1


@pytest.mark.parametrize("n_samples", [1000, 3596, 20_000])
def test_raw_boost_filters_as_scipys_fir_design_does(n_samples):
    signals = np.random.default_rng(1).standard_normal((2, n_samples)).astype(np.float32)
    rngs = np.random.default_rng(2), np.random.default_rng(2)
    expected = np.zeros(n_samples)
    for signal in signals:
        taps = np.ones(1)
        for _ in range(raw_boost.N_NOTCHES):
            centre_hz, width_hz = rngs[0].uniform(*raw_boost.CENTRE_HZ), rngs[0].uniform(*raw_boost.WIDTH_HZ)
            edges_hz = np.clip([centre_hz - width_hz / 2, centre_hz + width_hz / 2], 1.0, RATE_HZ / 2 - 1.0)
            n_taps = 2 * int(rngs[0].integers(5, 51)) + 1
            taps = np.convolve(taps, scipy.signal.firwin(n_taps, edges_hz, fs=RATE_HZ))
        taps /= np.abs(np.fft.rfft(taps, 4096)).max()
        expected += scipy.signal.fftconvolve(signal, taps)[len(taps) // 2 :][:n_samples]
    responses = np.stack([raw_boost._draw_response(RATE_HZ, rngs[1]) for _ in signals])
    np.testing.assert_allclose(raw_boost._filtered_sum(signals, responses), expected, atol=1e-5)
    assert rngs[0].random() == rngs[1].random()


@pytest.mark.parametrize("algorithms", [(), (4,), ("one",)])
def test_raw_boost_has_three_algorithms(algorithms):
    build = plugins.load("augment", "raw_boost").build
    with pytest.raises(ConfigError, match=r"here\.algorithms"):
        plugins.check_args(build, {"algorithms": algorithms}, "here")
    plugins.check_args(build, {"algorithms": [3, 1]}, "here")
