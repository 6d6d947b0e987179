"""Contracts of every feature: bands over frames, or the samples themselves, never broken."""

import inspect
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from fakevoice.audio.spectrum import n_frames, power_spectrogram
from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError

RATE = 16_000
NAMES = plugins.names("features")
features = pytest.mark.parametrize("name", NAMES)
PICTURES = [name for name in NAMES if not hasattr(plugins.load("features", name), "INPUT")]
PARAMETERS = {name: inspect.signature(plugins.load("features", name).compute).parameters for name in NAMES}
WITH_HOP = [name for name in NAMES if "hop_length" in PARAMETERS[name]]  # of their own frames, from the samples
WITH_DELTAS = [name for name in NAMES if "deltas" in PARAMETERS[name]]
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
    return plugins.load("features", name).compute(heard(name, waveform, size), size.rate_hz, **args)


def n_columns(name: str, n_samples: int, size: Size = Size()) -> int:  # noqa: B008 - never changed
    hop_length = size.hop_length
    if name == "waveform_16khz":
        return round(n_samples * RATE / size.rate_hz)
    if name in WITH_HOP:
        hop_length = PARAMETERS[name]["hop_length"].default
    return n_frames(n_samples, hop_length) if name in PICTURES + WITH_HOP else n_samples


@features
@pytest.mark.parametrize("sound", sorted(SOUNDS))
def test_bands_over_frames_always_finite(name, sound):
    feature = compute(name, SOUNDS[sound])
    assert feature.ndim == 2 and feature.shape[1] == n_columns(name, len(SOUNDS[sound]))
    assert feature.dtype == np.float32 and np.isfinite(feature).all()
    assert np.abs(feature).max() < 6e4  # the cache keeps float16


@features
def test_as_many_bands_whatever_the_length(name):
    assert len({compute(name, waveform).shape[0] for waveform in SOUNDS.values()}) == 1


@features
@pytest.mark.parametrize("size", [Size(8_000, 512, 128), Size(32_000, 1024, 512), Size(44_100, 2048, 512)])
def test_other_rates_and_frames(name, size):
    feature = compute(name, SOUNDS["noise"], size)
    assert feature.shape[1] == n_columns(name, 5 * RATE, size) and np.isfinite(feature).all()


@features
def test_same_sound_same_bytes_and_the_input_is_left_alone(name):
    sound = heard(name, SOUNDS["noise"])
    before, module = sound.copy(), plugins.load("features", name)
    assert module.compute(sound, RATE).tobytes() == module.compute(sound, RATE).tobytes()
    assert np.array_equal(sound, before)


@features
def test_sounds_differ_in_it(name):
    assert not np.allclose(compute(name, SOUNDS["noise"]), compute(name, SOUNDS["constant"]), atol=0.1)


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_in_a_frame_stays_in_its_column(name):
    feature = compute(name, SOUNDS["impulse"])
    loud = np.abs(feature - feature[:, :1]).max(axis=0) > 0.5  # dB, or half of what a chroma can be
    assert loud.any() and set(np.flatnonzero(loud)) <= set(range(40_000 // 256 - 1, 40_000 // 256 + 3))


@pytest.mark.parametrize("name", WITH_HOP)
def test_what_is_in_a_frame_stays_in_the_columns_that_hear_it(name):
    """The frame of the lowest bin is the longest, and reaches half its length to each side."""
    default = {key: parameter.default for key, parameter in PARAMETERS[name].items()}
    ratio = 2 ** (2 / default["bins_per_octave"])
    reach = (ratio + 1) / (ratio - 1) * RATE / default["fmin_hz"] / 2
    feature = compute(name, SOUNDS["impulse"])
    moved = np.abs(feature - compute(name, SOUNDS["silence"])).max(axis=0)
    loud = np.flatnonzero(moved > moved.max() / 2) * default["hop_length"]
    assert moved.max() > 0.5 and len(loud) and np.all(np.abs(loud - 40_000) <= reach)


@features
def test_arguments_are_typed_keywords_with_defaults(name):
    parameters = list(PARAMETERS[name].values())
    assert [parameter.name for parameter in parameters[:2]] == [
        "power" if name in PICTURES else "waveform",
        "sample_rate_hz",
    ]
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


@features
def test_the_source_is_cited(name):
    module = plugins.load("features", name)
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
        ("linear", {"n_bands": 700}),
        ("cqt", {"n_bins": 100}),
        ("cqt", {"n_bins": 0}),
        ("cqt", {"fmin_hz": 8000.0}),
        ("cqt", {"fmin_hz": 0.0}),
        ("cqt", {"hop_length": 0}),
        ("chroma_cqt", {"bins_per_octave": 18}),
        ("chroma_cqt", {"bins_per_octave": 0}),
        ("chroma_cqt", {"n_octaves": 0}),
    ],
)
def test_impossible_arguments_are_refused(name, args):
    with pytest.raises(ConfigError):
        compute(name, SOUNDS["second"], **args)


def test_a_louder_sound_moves_only_the_first_coefficient():
    quiet, loud = compute("mfcc", SOUNDS["noise"]), compute("mfcc", 10 * SOUNDS["noise"])
    np.testing.assert_allclose(loud[1:], quiet[1:], atol=1e-2)
    np.testing.assert_allclose(loud[0] - quiet[0], 20 * np.sqrt(64), atol=1e-2)


def test_lfcc_reaches_half_the_rate_where_no_upper_edge_is_given():
    given = compute("lfcc", SOUNDS["noise"], fmax_hz=RATE / 2)
    assert np.array_equal(compute("lfcc", SOUNDS["noise"]), given)


@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("name", WITH_DELTAS)
def test_derivatives_go_below(name, deltas):
    plain, feature = compute(name, SOUNDS["noise"]), compute(name, SOUNDS["noise"], deltas=deltas)
    assert feature.shape == ((1 + deltas) * len(plain), plain.shape[1]) and feature.dtype == np.float32
    orders = feature.reshape(1 + deltas, *plain.shape)
    assert np.array_equal(orders[0], plain)
    for before, after in pairwise(orders):
        np.testing.assert_allclose(after[:, 1:-1], (before[:, 2:] - before[:, :-2]) / 2, atol=1e-4)
        np.testing.assert_allclose(after[:, 0], (before[:, 1] - before[:, 0]) / 2, atol=1e-4)
        np.testing.assert_allclose(after[:, -1], (before[:, -1] - before[:, -2]) / 2, atol=1e-4)


def test_which_features_have_derivatives():
    assert WITH_DELTAS == ["cqt", "lfcc", "linear", "mel", "mfcc"]


def tone(f0_hz: float, rate_hz: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * f0_hz * np.arange(2 * rate_hz) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("name", ["chroma", "chroma_cqt"])
@pytest.mark.parametrize(("f0_hz", "pitch_class"), [(261.63, 0), (440.0, 9), (880.0, 9), (1108.73, 1), (987.77, 11)])
def test_a_tone_is_its_pitch_class(name, f0_hz, pitch_class):
    middle = compute(name, tone(f0_hz), Size(n_fft=2048))[:, 40:80]
    assert set(middle.argmax(axis=0)) == {pitch_class} and np.all(middle.max(axis=0) == 1.0)
    assert np.delete(middle, pitch_class, axis=0).max() < 0.5


@pytest.mark.parametrize("name", ["chroma", "chroma_cqt"])
def test_chroma_is_from_0_to_1_whatever_the_level(name):
    quiet, loud = (compute(name, gain * SOUNDS["second"]) for gain in (1e-3, 10.0))
    assert quiet.shape[0] == 12 and quiet.min() >= 0 and np.all(quiet.max(axis=0) == 1.0)
    np.testing.assert_allclose(loud, quiet, atol=1e-4)
    assert not compute(name, SOUNDS["silence"]).any()


@pytest.mark.parametrize("fmin_hz", [65.41, 110.0, 155.56])
def test_chroma_from_another_lowest_bin_has_the_same_classes(fmin_hz):
    middle = compute("chroma_cqt", tone(440.0), fmin_hz=fmin_hz, n_octaves=5, bins_per_octave=24)[:, 40:80]
    assert set(middle.argmax(axis=0)) == {9}


@pytest.mark.parametrize(("rate_hz", "n_bins"), [(8_000, 83), (16_000, 84), (44_100, 84), (4_000, 71)])
def test_cqt_has_seven_octaves_or_what_fits(rate_hz, n_bins):
    assert len(compute("cqt", SOUNDS["second"], Size(rate_hz))) == n_bins


@pytest.mark.parametrize("f0_hz", [110.0, 440.0, 3520.0])
def test_cqt_of_a_tone(f0_hz):
    """The bin of its pitch, at the power of amplitude 1 over a frame: a quarter of the frame's length."""
    feature = compute("cqt", tone(f0_hz))[:, 40:80]
    place = round(12 * np.log2(f0_hz / 32.7032))
    quality = (2 ** (1 / 6) + 1) / (2 ** (1 / 6) - 1)
    assert set(feature.argmax(axis=0)) == {place}
    np.testing.assert_allclose(feature[place], 10 * np.log10(quality * RATE / f0_hz / 4), atol=0.02)


def test_chroma_by_the_formula():
    """Gaussians around each pitch class, shared within a bin, octaves weighted around the fifth; over the largest."""
    power = power_spectrogram(SOUNDS["second"], 1024, 256).astype(np.float64)
    bank = np.empty((12, 513))
    for place in range(513):
        semitone = 12 * np.log2(max(place, 0.5**1.5) * RATE / 1024 / 27.5)  # 0 Hz lies 18 semitones below the first bin
        width = max(1.0, 12 * np.log2((place + 1) / place)) if place else 18.0
        off = np.array([min((semitone - 3 - c) % 12, (c + 3 - semitone) % 12) for c in range(12)])
        share = np.exp(-0.5 * (2 * off / width) ** 2)
        bank[:, place] = share / np.sqrt((share**2).sum()) * np.exp(-0.5 * ((semitone / 12 - 5) / 2) ** 2)
    expected = bank @ power
    ours = compute("chroma", SOUNDS["second"], Size(n_fft=1024))
    np.testing.assert_allclose(ours, expected / expected.max(axis=0), atol=1e-4)


def cepstrum_by_the_formula(level_db: np.ndarray, n_coefficients: int) -> np.ndarray:
    band, order = np.arange(len(level_db)), np.arange(n_coefficients)[:, None]
    cepstrum = np.sqrt(2 / len(level_db)) * np.cos(np.pi * order * (band + 0.5) / len(level_db)) @ level_db
    cepstrum[0] /= np.sqrt(2)
    return cepstrum


def spectrum_by_the_formula(waveform: np.ndarray) -> np.ndarray:
    """Power of a DFT by matrix of each Hann-windowed frame of 512 samples every 256, zeros around."""
    padded, window = np.pad(waveform.astype(float), 256), 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    frames = np.array([padded[start : start + 512] * window for start in range(0, len(padded) - 511, 256)])
    return np.abs(np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512) @ frames.T) ** 2


def triangles_by_the_formula(corners_hz: np.ndarray) -> np.ndarray:
    bins_hz = np.arange(257) * RATE / 512
    return np.array(
        [np.interp(bins_hz, corners_hz[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(len(corners_hz) - 2)]
    )


def mel_corners_hz(n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Slaney's scale by inverting a fine table of it: 200/3 Hz per mel up to 1 kHz, 27 mel per factor 6.4 above."""
    hz = np.geomspace(10.0, 10_000.0, 400_000)
    mel = np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(hz / 1000) / np.log(6.4))
    low, high = np.interp([fmin_hz, fmax_hz], hz, mel)
    return np.interp(np.linspace(low, high, n_mels + 2), mel, hz)


def test_mel_and_mfcc_by_the_formula():
    corners_hz = mel_corners_hz(40, 50.0, 7000.0)
    bank = triangles_by_the_formula(corners_hz) * (2 / (corners_hz[2:] - corners_hz[:-2]))[:, None]
    level_db = 10 * np.log10(np.maximum(bank @ spectrum_by_the_formula(SOUNDS["second"]), 1e-10))
    args = {"n_mels": 40, "fmin_hz": 50.0, "fmax_hz": 7000.0}
    np.testing.assert_allclose(compute("mel", SOUNDS["second"], **args), level_db, atol=2e-3)
    expected = cepstrum_by_the_formula(level_db, 13)
    np.testing.assert_allclose(compute("mfcc", SOUNDS["second"], n_mfcc=13, **args), expected, atol=2e-3)


def test_linear_and_lfcc_by_the_formula():
    """Triangles of unit height whose corners are the neighbours' centres."""
    bank = triangles_by_the_formula(np.linspace(100.0, 7000.0, 32))
    level_db = 10 * np.log10(np.maximum(bank @ spectrum_by_the_formula(SOUNDS["second"]), 1e-10))
    args = {"fmin_hz": 100.0, "fmax_hz": 7000.0}
    np.testing.assert_allclose(compute("linear", SOUNDS["second"], n_bands=30, **args), level_db, atol=1e-3)
    ours = compute("lfcc", SOUNDS["second"], n_lfcc=12, n_filters=30, **args)
    np.testing.assert_allclose(ours, cepstrum_by_the_formula(level_db, 12), atol=1e-3)


def test_the_waveform_at_16_khz():
    assert np.array_equal(compute("waveform_16khz", SOUNDS["noise"]), SOUNDS["noise"][None])
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / (2 * RATE)).astype(np.float32)
    halved = compute("waveform_16khz", tone, Size(rate_hz=2 * RATE))
    assert halved.shape == (1, RATE) and np.allclose(halved[0, 100:-100], tone[::2][100:-100], atol=1e-3)


def test_the_waveform_is_the_samples():
    assert np.array_equal(compute("waveform", SOUNDS["noise"]), SOUNDS["noise"][None])


def test_image_has_the_colours_of_the_colour_map_and_its_highest_band_on_top():
    power = power_spectrogram(SOUNDS["second"], 512, 256)
    power[:, :10] *= 1e-4  # a quieter start
    module = plugins.load("features", "image")
    pixels = module.compute(power, RATE, n_mels=32, colormap="gray").reshape(3, 32, -1)
    assert pixels.min() == 0 and pixels.max() == 1
    assert np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2])
    mel = plugins.load("features", "mel").compute(power, RATE, n_mels=32, fmin_hz=0.0, reference="max", top_db=80.0)
    np.testing.assert_allclose(pixels[0], (mel[::-1] - mel.min()) / -mel.min(), atol=2 / 255)
    coloured = module.compute(power, RATE, n_mels=32).reshape(3, 32, -1)
    assert not np.array_equal(coloured[0], coloured[2])


def test_image_has_the_size_asked_for():
    power = power_spectrogram(SOUNDS["noise"], 512, 256)
    module = plugins.load("features", "image")
    pixels = module.compute(power, RATE, n_rows=128, n_columns=128)
    assert pixels.shape == (3 * 128, 128) and pixels.dtype == np.float32
    whole = module.compute(power, RATE).reshape(3, 128, -1)
    np.testing.assert_allclose(pixels.reshape(3, 128, 128).mean(axis=2), whole.mean(axis=2), atol=0.01)


@pytest.mark.parametrize("args", [{"colormap": "none such"}, {"n_rows": -1}, {"n_mels": 400}])
def test_impossible_images_are_refused(args):
    with pytest.raises(ConfigError):
        compute("image", SOUNDS["second"], **args)
