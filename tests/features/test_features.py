"""Contracts of every feature: bands over frames, or the samples themselves, never broken."""

import inspect
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from fakevoice import lookup
from fakevoice.errors import ConfigError
from fakevoice.spectrum import n_frames, power_spectrogram

RATE = 16_000
NAMES = lookup.names("features")
features = pytest.mark.parametrize("name", NAMES)
PICTURES = [name for name in NAMES if not hasattr(lookup.load("features", name), "INPUT")]
rng = np.random.default_rng(0)
SOUNDS = {
    "silence": np.zeros(5 * RATE, np.float32),
    "noise": rng.standard_normal(5 * RATE).astype(np.float32),
    "second": 0.1 * rng.standard_normal(RATE).astype(np.float32),
    "constant": np.full(5 * RATE, 0.5, np.float32),
    "impulse": np.eye(1, 5 * RATE, 40_000, dtype=np.float32)[0],
    "sample": np.ones(1, np.float32),
    "loud": 1e4 * rng.standard_normal(RATE).astype(np.float32),
}


@dataclass
class Size:
    rate_hz: int = RATE
    n_fft: int = 512
    hop_length: int = 256


def heard(name: str, waveform: np.ndarray, size: Size = Size()) -> np.ndarray:  # noqa: B008 - never changed
    """What the feature is computed from."""
    return power_spectrogram(waveform, size.n_fft, size.hop_length) if name in PICTURES else waveform


def compute(name: str, waveform: np.ndarray, size: Size = Size(), **args) -> np.ndarray:  # noqa: B008 - never changed
    return lookup.load("features", name).compute(heard(name, waveform, size), size.rate_hz, **args)


def n_columns(name: str, n_samples: int, hop_length: int) -> int:
    return n_frames(n_samples, hop_length) if name in PICTURES else n_samples


@features
@pytest.mark.parametrize("sound", sorted(SOUNDS))
def test_bands_over_frames_always_finite(name, sound):
    feature = compute(name, SOUNDS[sound])
    assert feature.ndim == 2 and feature.shape[1] == n_columns(name, len(SOUNDS[sound]), 256)
    assert feature.dtype == np.float32 and np.isfinite(feature).all()
    assert np.abs(feature).max() < 6e4  # the cache keeps float16


@features
def test_as_many_bands_whatever_the_length(name):
    assert len({compute(name, waveform).shape[0] for waveform in SOUNDS.values()}) == 1


@features
@pytest.mark.parametrize("size", [Size(8_000, 512, 128), Size(32_000, 1024, 512), Size(44_100, 2048, 512)])
def test_other_rates_and_frames(name, size):
    feature = compute(name, SOUNDS["noise"], size)
    assert feature.shape[1] == n_columns(name, 5 * RATE, size.hop_length) and np.isfinite(feature).all()


@features
def test_same_sound_same_bytes_and_the_input_is_left_alone(name):
    sound = heard(name, SOUNDS["noise"])
    before, module = sound.copy(), lookup.load("features", name)
    assert module.compute(sound, RATE).tobytes() == module.compute(sound, RATE).tobytes()
    assert np.array_equal(sound, before)


@features
def test_sounds_differ_in_it(name):
    assert not np.allclose(compute(name, SOUNDS["noise"]), compute(name, SOUNDS["constant"]), atol=0.1)


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_in_a_frame_stays_in_its_column(name):
    feature = compute(name, SOUNDS["impulse"])
    loud = np.abs(feature - feature[:, :1]).max(axis=0) > 1.0
    assert loud.any() and set(np.flatnonzero(loud)) <= set(range(40_000 // 256 - 1, 40_000 // 256 + 3))


@features
def test_arguments_are_typed_keywords_with_defaults(name):
    parameters = list(inspect.signature(lookup.load("features", name).compute).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == [
        "power" if name in PICTURES else "waveform",
        "sample_rate_hz",
    ]
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


@features
def test_the_source_is_cited(name):
    module = lookup.load("features", name)
    assert any(character.isdigit() for character in module.__doc__ + (module.compute.__doc__ or ""))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("mel", {"fmax_hz": 8001.0}),
        ("mel", {"n_mels": 400}),
        ("mfcc", {"n_mfcc": 65}),
        ("mfcc", {"fmin_hz": -1.0}),
        ("lfcc", {"n_lfcc": 21}),
        ("lfcc", {"n_lfcc": 0}),
        ("lfcc", {"fmax_hz": 8001.0}),
    ],
)
def test_impossible_arguments_are_refused(name, args):
    with pytest.raises(ConfigError):
        compute(name, SOUNDS["second"], **args)


def test_a_louder_sound_moves_only_the_first_coefficient():
    quiet, loud = compute("mfcc", SOUNDS["noise"]), compute("mfcc", 10 * SOUNDS["noise"])
    np.testing.assert_allclose(loud[1:], quiet[1:], atol=1e-2)
    np.testing.assert_allclose(loud[0] - quiet[0], 20 * np.sqrt(64), atol=1e-2)


def test_lfcc_by_the_formula():
    """DCT-II over the dB of triangles of unit height whose corners are the neighbours' centres."""
    power = power_spectrogram(SOUNDS["second"], 512, 256).astype(np.float64)
    corners_hz, bins_hz = np.linspace(100.0, 7000.0, 32), np.arange(257) * RATE / 512
    triangles = [np.interp(bins_hz, corners_hz[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(30)]
    level_db = 10 * np.log10(np.maximum(np.array(triangles) @ power, 1e-10))
    band, order = np.arange(30), np.arange(12)[:, None]
    expected = np.sqrt(2 / 30) * np.cos(np.pi * order * (band + 0.5) / 30) @ level_db
    expected[0] /= np.sqrt(2)
    ours = compute("lfcc", SOUNDS["second"], n_lfcc=12, n_filters=30, fmin_hz=100.0, fmax_hz=7000.0)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_lfcc_reaches_half_the_rate_where_no_upper_edge_is_given():
    given = compute("lfcc", SOUNDS["noise"], fmax_hz=RATE / 2)
    assert np.array_equal(compute("lfcc", SOUNDS["noise"]), given)


@pytest.mark.parametrize("deltas", [0, 1, 2])
def test_lfcc_appends_derivatives(deltas):
    plain, feature = compute("lfcc", SOUNDS["noise"]), compute("lfcc", SOUNDS["noise"], deltas=deltas)
    assert feature.shape == ((1 + deltas) * 20, plain.shape[1])
    orders = feature.reshape(1 + deltas, 20, -1)
    assert np.array_equal(orders[0], plain)
    for before, after in pairwise(orders):
        np.testing.assert_allclose(after[:, 1:-1], (before[:, 2:] - before[:, :-2]) / 2, atol=1e-4)
        np.testing.assert_allclose(after[:, 0], (before[:, 1] - before[:, 0]) / 2, atol=1e-4)


def test_the_waveform_is_the_samples():
    assert np.array_equal(compute("waveform", SOUNDS["noise"]), SOUNDS["noise"][None])
