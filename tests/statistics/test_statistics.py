"""Contracts of every statistic: named numbers, always the same ones, always finite; and what each of them finds."""

import inspect

import numpy as np
import pytest

from fakevoice import lookup
from fakevoice.errors import ConfigError
from fakevoice.spectrum import power_spectrogram
from fakevoice.statistics import pitch, rhythm, spectral, voicing

RATE, HOP = 16_000, 256
NAMES = lookup.names("statistics")
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
    return lookup.load("statistics", name).pool(waveform, power, rate_hz, hop_length)


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
    kept, module = power.copy(), lookup.load("statistics", name)
    assert module.pool(waveform, power, RATE, HOP) == module.pool(waveform, power, RATE, HOP)
    assert np.array_equal(waveform, SOUNDS["noise"]) and np.array_equal(power, kept)


@statistics
def test_sounds_differ_in_it(name):
    assert pool(name, SOUNDS["noise"], n_fft=1024) != pool(name, SOUNDS["voice"], n_fft=1024)


@statistics
def test_all_are_asked_alike(name):
    parameters = list(inspect.signature(lookup.load("statistics", name).pool).parameters)
    assert parameters == ["waveform", "power", "sample_rate_hz", "hop_length"]


@statistics
def test_the_source_is_cited(name):
    assert any(character.isdigit() for character in lookup.load("statistics", name).__doc__)


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
