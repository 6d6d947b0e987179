"""Contracts of every statistic: named numbers, always the same ones, always finite; and what each of them finds."""

import inspect

import numpy as np
import pytest
import scipy.signal

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError
from fakevoice.features.statistics import pitch, rhythm, spectral, voicing

RATE, HOP = 16_000, 256
NAMES = plugins.names("statistics")
statistics = pytest.mark.parametrize("name", NAMES)
rng = np.random.default_rng(0)
SOUNDS = {
    "silence": np.zeros(5 * RATE, np.float32),
    "constant": np.full(5 * RATE, 0.5, np.float32),
    "noise": rng.standard_normal(5 * RATE).astype(np.float32),
    "voice": (np.arange(2 * RATE) % 128 == 0).astype(np.float32),
    "impulse": np.eye(1, RATE, 400, dtype=np.float32)[0],
    "short": np.ones(10, np.float32),
    "sample": np.ones(1, np.float32),
    "loud": 1e4 * rng.standard_normal(RATE).astype(np.float32),
    "eight silent frames": np.zeros(7 * HOP, np.float32),
}


def pool(name: str, waveform: np.ndarray, rate_hz: int = RATE, n_fft: int = 512, hop_length: int = HOP) -> dict:
    power = power_spectrogram(waveform, n_fft, hop_length)
    return plugins.load("statistics", name).pool(waveform, power, rate_hz, hop_length)


@statistics
@pytest.mark.parametrize("sound", sorted(SOUNDS))
def test_finite_numbers_for_every_sound(name, sound):
    pooled = pool(name, SOUNDS[sound])
    assert pooled and all(type(value) is float for value in pooled.values())
    assert np.isfinite(np.array(list(pooled.values()), np.float32)).all()


@statistics
def test_the_columns_are_the_same_for_every_sound(name):
    columns = list(pool(name, SOUNDS["noise"]))
    assert len(set(columns)) == len(columns)
    for waveform in SOUNDS.values():
        assert list(pool(name, waveform)) == columns
    for size in ((8_000, 512, 128), (22_050, 1024, 1024), (44_100, 2048, 512)):
        pooled = pool(name, SOUNDS["voice"], *size)
        assert list(pooled) == columns and np.isfinite(list(pooled.values())).all()


def test_no_column_has_the_name_of_another():
    columns = [column for name in NAMES for column in pool(name, SOUNDS["voice"])]
    assert len(set(columns)) == len(columns)


@statistics
def test_same_sound_same_numbers_and_the_input_is_left_alone(name):
    waveform = SOUNDS["noise"].copy()
    power = power_spectrogram(waveform, 512, HOP)
    kept, module = power.copy(), plugins.load("statistics", name)
    assert module.pool(waveform, power, RATE, HOP) == module.pool(waveform, power, RATE, HOP)
    assert np.array_equal(waveform, SOUNDS["noise"]) and np.array_equal(power, kept)


@statistics
def test_sounds_differ_in_it(name):
    assert pool(name, SOUNDS["noise"], n_fft=1024) != pool(name, SOUNDS["voice"], n_fft=1024)


@statistics
def test_all_are_asked_alike(name):
    parameters = list(inspect.signature(plugins.load("statistics", name).pool).parameters)
    assert parameters == ["waveform", "power", "sample_rate_hz", "hop_length"]


@statistics
def test_the_source_is_cited(name):
    assert any(character.isdigit() for character in plugins.load("statistics", name).__doc__)


@pytest.mark.parametrize(("rate_hz", "expected"), [(1.0, "0.5hz"), (3.0, "2hz"), (6.0, "4hz"), (12.0, "8hz")])
def test_rhythm_finds_the_rate_of_the_loudness(rate_hz, expected):
    time_s = np.arange(5 * RATE) / RATE
    pooled = pool("rhythm", SOUNDS["noise"] * (1 + 0.8 * np.sin(2 * np.pi * rate_hz * time_s)))
    for region in range(rhythm.N_REGIONS):
        shares = {name: value for name, value in pooled.items() if name.startswith(f"rhythm_{region}") and "hz" in name}
        assert max(shares, key=shares.get) == f"rhythm_{region}_{expected}"
        assert len(shares) == len(rhythm.MODULATION_HZ) and sum(shares.values()) <= 1.0
        assert pooled[f"rhythm_{region}_depth_db"] > 3.0


def test_voicing_finds_how_long_a_voice_lasts():
    waveform = 0.01 * SOUNDS["noise"]
    waveform[RATE : 3 * RATE : RATE // 125] += 1.0  # pulses at 125 Hz from second 1 to 3
    pooled = pool("voicing", waveform, n_fft=1024)
    assert pooled["voicing_longest_s"] == pytest.approx(2.0, abs=0.1)
    assert pooled["voicing_fraction"] == pytest.approx(0.4, abs=0.05)
    assert pooled["voicing_runs"] == 1.0
    assert pooled["voicing_p90"] > 2.0 > pooled["voicing_p10"]


def test_noise_has_next_to_no_voicing():
    pooled = pool("voicing", SOUNDS["noise"], n_fft=1024)
    assert pooled["voicing_fraction"] < 0.02 and pooled["voicing_longest_s"] < 0.1


def test_voicing_asks_for_frames_that_hold_a_period():
    with pytest.raises(ConfigError, match="too short to see a pitch"):
        voicing.pool(SOUNDS["noise"], power_spectrogram(SOUNDS["noise"], 64, 32), RATE, 32)


def sung(semitones: np.ndarray) -> np.ndarray:
    """Five harmonics over 200 Hz, 16,000 samples a second, moved by so many semitones at each sample."""
    phase = 2 * np.pi * np.cumsum(200.0 * 2 ** (semitones / 12)) / RATE
    return sum(np.cos(k * phase) / k for k in range(1, 6)).astype(np.float32)


def test_pitch_of_a_glide():
    pooled = pool("pitch", sung(np.linspace(0.0, 6.0, 2 * RATE)))
    assert pooled["pitch_slope_semitones_per_s"] == pytest.approx(3.0, abs=0.05)
    assert pooled["pitch_median_hz"] == pytest.approx(200.0 * 2**0.25, rel=0.01)
    assert pooled["pitch_spread_semitones"] == pytest.approx(6.0 / np.sqrt(12), abs=0.1)
    assert pooled["pitch_range_semitones"] == pytest.approx(0.9 * 6.0, abs=0.1)
    assert pooled["pitch_step_semitones"] == pytest.approx(3.0 * HOP / RATE, abs=0.01)
    assert pooled["pitch_voiced_share"] > 0.95


def test_pitch_counts_the_frames_that_have_one_and_steps_within_them_alone():
    waveform = np.concatenate([sung(np.zeros(RATE)), np.zeros(2 * RATE), sung(np.full(RATE, 12.0))])
    pooled = pool("pitch", waveform.astype(np.float32))
    assert pooled["pitch_voiced_share"] == pytest.approx(0.5, abs=0.03)
    assert pooled["pitch_range_semitones"] == pytest.approx(12.0, abs=0.1)
    assert pooled["pitch_step_semitones"] < 0.02  # the leap over the pause is none
    assert pooled["pitch_slope_semitones_per_s"] == pytest.approx(1.5 * 6 / (1.5**2 + 1 / 12), abs=0.1)


def test_a_clip_without_a_pitch_has_zeros():
    assert set(pool("pitch", SOUNDS["silence"]).values()) == {0.0}
    assert pool("pitch", SOUNDS["noise"])["pitch_voiced_share"] < 0.1


def test_spectral_is_of_frames_as_long_as_those_of_the_power():
    half = np.concatenate([np.zeros(RATE), np.ones(RATE)]).astype(np.float32)
    pooled = spectral.pool(half, power_spectrogram(half, 1024, 512), RATE, 512)
    assert pooled["spectral_rms_mean"] == pytest.approx(0.5, abs=0.02)
    assert pooled["spectral_rms_std"] == pytest.approx(0.5, abs=0.02)
    assert pooled["spectral_crossing_rate_mean"] == 0.0


def test_deep_voice_has_the_columns_of_the_dataset():
    first = ["chroma_stft", "rms", "spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate"]
    assert list(pool("deep_voice", SOUNDS["voice"])) == first + [f"mfcc{order}" for order in range(1, 21)]


def test_deep_voice_has_frames_of_its_own():
    assert pool("deep_voice", SOUNDS["voice"]) == pool("deep_voice", SOUNDS["voice"], RATE, 1024, 128)


def test_pitch_has_frames_of_its_own():
    assert pool("pitch", SOUNDS["voice"]) == pool("pitch", SOUNDS["voice"], RATE, 64)
    assert pitch.pool(SOUNDS["voice"], np.empty((0, 0)), RATE, 2 * HOP)["pitch_median_hz"] == pytest.approx(
        125, rel=0.01
    )


def burst(loud: np.ndarray, pause_db: float = -40.0) -> np.ndarray:
    """A sound from second 1 to 3 of five, and noise that far below it before and after."""
    waveform = 10 ** (pause_db / 20) * SOUNDS["noise"]
    waveform[RATE : 3 * RATE] = loud
    return waveform.astype(np.float32)


def starting(pooled: dict[str, float], start: str, end: str = "") -> np.ndarray:
    return np.array([value for name, value in pooled.items() if name.startswith(start) and name.endswith(end)])


def pulses(period: int, n_samples: int) -> np.ndarray:
    return (np.arange(n_samples) % period == 0).astype(np.float64)


def test_speech_is_described_where_it_is_loud_and_over_its_pauses():
    steady = pool("speech", burst(SOUNDS["noise"][: 2 * RATE], -30.0))
    assert starting(steady, "speech", "over_pauses") == pytest.approx(30.0, abs=3.0)
    swelling = burst(SOUNDS["noise"][: 2 * RATE] * np.geomspace(0.2, 5, 2 * RATE), -60.0)
    assert (starting(pool("speech", swelling), "speech", "_std") > starting(steady, "speech", "_std")).all()
    assert pool("speech", 0.1 * swelling)["speech_30_kurtosis"] == pytest.approx(
        pool("speech", swelling)["speech_30_kurtosis"], rel=0.01
    )


def test_cepstra_see_how_fast_the_envelope_moves():
    noise = SOUNDS["noise"][: 2 * RATE]
    low, high = (scipy.signal.lfilter([1.0, sign * 0.9], [1.0], noise) for sign in (1, -1))
    changing = np.where(np.arange(2 * RATE) // 1600 % 2, low, high)  # ten times a second
    fast, slow = pool("cepstra", burst(changing)), pool("cepstra", burst(low))
    assert fast["cepstra_01_speed"] > 3 * slow["cepstra_01_speed"]
    assert fast["cepstra_01_std"] > 3 * slow["cepstra_01_std"]


def test_prediction_finds_the_filter_and_what_excites_it():
    rng_ = np.random.default_rng(1)
    hiss = scipy.signal.lfilter([1.0], [1.0, -0.9], rng_.standard_normal(2 * RATE))
    buzz = scipy.signal.lfilter([1.0], [1.0, -0.9], pulses(160, 2 * RATE))
    hissed, buzzed = pool("prediction", burst(hiss)), pool("prediction", burst(buzz))
    assert hissed["prediction_00_mean"] == pytest.approx(-0.9, abs=0.03)
    assert np.abs(starting(hissed, "prediction_0", "_mean")[1:]).max() < 0.1
    assert buzzed["prediction_kurtosis_mean"] > hissed["prediction_kurtosis_mean"] + 1.0
    assert buzzed["prediction_skewness_mean"] > 1.0 > abs(hissed["prediction_skewness_mean"])
    assert hissed["prediction_power_mean"] == pytest.approx(np.log(1 - 0.9**2), abs=0.1)


def test_phases_of_a_pulse_agree_and_those_of_noise_do_not():
    pulsed, noisy = pool("phase", pulses(512, 5 * RATE).astype(np.float32)), pool("phase", SOUNDS["noise"])
    assert starting(pulsed, "phase", "_delay_loud").min() > 0.95
    assert 0.1 < starting(noisy, "phase", "_turn_all").min() <= starting(noisy, "phase", "_turn_all").max() < 0.5


def test_phase_is_blind_to_the_gain():
    quiet, loud = pool("phase", 0.01 * SOUNDS["noise"]), pool("phase", SOUNDS["noise"])
    assert list(quiet.values()) == pytest.approx(list(loud.values()), abs=1e-3)


@pytest.mark.parametrize(("rate_hz", "column"), [(3.0, "2hz"), (20.0, "16hz"), (55.0, "48hz")])
def test_modulation_finds_how_fast_levels_move(rate_hz, column):
    time_s = np.arange(5 * RATE) / RATE
    pooled = pool("modulation", SOUNDS["noise"] * (1 + 0.9 * np.sin(2 * np.pi * rate_hz * time_s)))
    for band in range(12):
        rates = {
            name: value for name, value in pooled.items() if name.startswith(f"modulation_{band:02d}") and "hz" in name
        }
        assert max(rates, key=rates.get) == f"modulation_{band:02d}_{column}"


def test_harmonics_stand_out_where_there_are_some():
    buzz, hiss = pool("harmonics", burst(pulses(80, 2 * RATE))), pool("harmonics", burst(SOUNDS["noise"][: 2 * RATE]))
    assert (starting(buzz, "harmonics_peak", "_loud") > 2 * starting(hiss, "harmonics_peak", "_loud")).all()
    assert starting(buzz, "harmonics_peak", "_other") == pytest.approx(
        starting(hiss, "harmonics_peak", "_other"), rel=0.3
    )


def test_levels_that_move_slowly_persist():
    time_s = np.arange(5 * RATE) / RATE
    slow = pool("persistence", (SOUNDS["noise"] * (1.05 + np.sin(2 * np.pi * time_s))).astype(np.float32))
    assert starting(slow, "persistence", "_32ms").min() > 0.3
    assert np.abs(starting(pool("persistence", SOUNDS["noise"]), "persistence", "_48ms")).max() < 0.1
