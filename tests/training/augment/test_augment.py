"""Contracts of every augmentation, by what it changes: same shape, finite, seeded, gentle."""

import inspect
import re

import numpy as np
import pytest
from albumentations import Compose
from pydantic import TypeAdapter

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.training.augment import __doc__ as kinds
from fakevoice.training.cross_validation import check_networks

RATE_HZ, SHAPE = 16_000, (64, 157)
NAMES = plugins.names("augment")
FIRST = {"waveform": ["sample_rate_hz"], "picture": ["shape"], "batch": []}
RNG = np.random.default_rng(0)
PICTURE = RNG.standard_normal(SHAPE).astype(np.float32)
WAVEFORM = (0.1 * np.cumsum(RNG.standard_normal(8000)) / 30).astype(np.float32)
X, Y = RNG.standard_normal((8, 1, 12, 40)).astype(np.float32), np.eye(8, 3, dtype=np.float32)


def of_kind(kind: str) -> list[str]:
    return [name for name in NAMES if kind == plugins.load("augment", name).INPUT]


every = pytest.mark.parametrize("name", NAMES)
pictures, waveforms, batches = (
    pytest.mark.parametrize("name", of_kind(kind)) for kind in ("picture", "waveform", "batch")
)


def picture(name: str, x: np.ndarray, seed: int, **args) -> np.ndarray:
    compose = Compose([plugins.load("augment", name).build(x.shape, **args)])
    compose.set_random_seed(seed)
    return compose(image=x[:, :, None])["image"][:, :, 0]


def waveform(name: str, x: np.ndarray, seed: int, sample_rate_hz: int = RATE_HZ, **args) -> np.ndarray:
    return plugins.load("augment", name).build(sample_rate_hz, **args)(x, np.random.default_rng(seed))


def batch(name: str, x: np.ndarray, y: np.ndarray, seed: int, **args) -> tuple[np.ndarray, np.ndarray]:
    return plugins.load("augment", name).build(**args)(x, y, np.random.default_rng(seed))


def augmented(name: str, seed: int, **args) -> tuple[np.ndarray, ...]:
    """What becomes of the example of the plug-in's kind."""
    kind = plugins.load("augment", name).INPUT
    if kind == "batch":
        return batch(name, X, Y, seed, **args)
    return (picture(name, PICTURE, seed, **args),) if kind == "picture" else (waveform(name, WAVEFORM, seed, **args),)


def examples(name: str) -> tuple[np.ndarray, ...]:
    return {"picture": (PICTURE,), "waveform": (WAVEFORM,), "batch": (X, Y)}[plugins.load("augment", name).INPUT]


@every
def test_it_says_what_it_changes(name):
    assert plugins.load("augment", name).INPUT in FIRST
    assert all(f'``"{kind}"``' in kinds for kind in FIRST)


@every
def test_arguments_are_typed_keywords_with_defaults(name):
    module = plugins.load("augment", name)
    parameters = list(inspect.signature(module.build).parameters.values())
    keywords = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert [parameter.name for parameter in parameters if parameter not in keywords] == FIRST[module.INPUT]
    for parameter in keywords:
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty
        TypeAdapter(parameter.annotation).validate_python(parameter.default)
    assert "probability" in {parameter.name for parameter in keywords}


@every
def test_it_is_cited(name):
    assert re.search(r"\(\w[^()]* (19|20)\d\d\)", plugins.load("augment", name).__doc__)


@every
def test_same_shape_and_finite(name):
    for seed in range(10):
        for before, after in zip(examples(name), augmented(name, seed, probability=1.0), strict=True):
            assert after.shape == before.shape and after.dtype == np.float32 and np.isfinite(after).all()


@every
def test_the_seed_decides(name):
    results = [[array.tobytes() for array in augmented(name, seed)] for seed in range(12)]
    assert results == [[array.tobytes() for array in augmented(name, seed)] for seed in range(12)]
    assert len({result[0] for result in results}) > 3


@every
def test_the_input_is_left_alone(name):
    before = [array.copy() for array in examples(name)]
    augmented(name, 3, probability=1.0)
    assert all(map(np.array_equal, before, examples(name)))


@every
def test_probability_0_changes_nothing_and_1_does(name):
    for seed in range(5):
        assert all(map(np.array_equal, augmented(name, seed, probability=0.0), examples(name)))
        assert not any(map(np.array_equal, augmented(name, seed, probability=1.0), examples(name)))


@every
def test_a_probability_between_is_a_share(name):
    changed = 0
    for seed in range(100):
        (before, *_), (after, *_) = examples(name), augmented(name, seed, probability=0.3)
        axes = tuple(range(1, before.ndim)) if before.ndim == 4 else None
        changed += np.mean(np.any(before != after, axis=axes))
    assert 15 < changed < 45


@every
@pytest.mark.parametrize("probability", [-0.1, 1.1, "often"])
def test_an_impossible_probability_is_refused(name, probability):
    config = load_config("demo", ["features.waveform={}"])
    plugin = {"name": name, "args": {"probability": probability}}
    network = config.networks["mel"].model_validate(config.networks["mel"].model_dump() | {"augment": [plugin]})
    with pytest.raises(ConfigError, match=rf"networks\.mel\.augment\.{name}\.args"):
        check_networks(config.model_copy(update={"networks": {"mel": network}}), {"mel": SHAPE})


@pictures
@pytest.mark.parametrize("shape", [SHAPE, (40, 32), (8, 8), (20, 3000)])
def test_pictures_of_other_shapes(name, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for seed in range(10):
        result = picture(name, x, seed, probability=1.0)
        assert result.shape == shape and result.dtype == np.float32 and np.isfinite(result).all()


@pictures
def test_loudness_is_never_cut(name):
    loud = 100 * PICTURE  # nothing may treat the picture as one of values from 0 to 1
    assert max(np.abs(picture(name, loud, seed)).max() for seed in range(10)) > 100


@waveforms
@pytest.mark.parametrize("n_samples", [1, 2, 100, 4001])
@pytest.mark.parametrize("sample_rate_hz", [8_000, 44_100])
def test_short_waveforms_and_other_rates(name, n_samples, sample_rate_hz):
    for seed in range(5):
        result = waveform(name, WAVEFORM[-n_samples:], seed, sample_rate_hz, probability=1.0)
        assert result.shape == (n_samples,) and result.dtype == np.float32 and np.isfinite(result).all()


@waveforms
@pytest.mark.parametrize("n_samples", [1, 4000])
def test_silence_stays_silent(name, n_samples):
    silence = np.zeros(n_samples, np.float32)
    assert not any(waveform(name, silence, seed, probability=1.0).any() for seed in range(5))


@waveforms
def test_a_quiet_clip_is_treated_as_a_loud_one(name):
    quiet, loud = (waveform(name, level * WAVEFORM, 1, probability=1.0) for level in (np.float32(2**-6), np.float32(1)))
    np.testing.assert_allclose(64 * quiet, loud, atol=1e-4 * np.abs(loud).max())


@batches
@pytest.mark.parametrize("shape", [(2, 1, 64, 157), (8, 1, 1, 4000), (1, 1, 8, 8)])
def test_batches_of_other_shapes(name, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    y = np.eye(len(x), 2, dtype=np.float32)
    for seed in range(5):
        result, labels = batch(name, x, y, seed, probability=1.0)
        assert result.shape == shape and result.dtype == labels.dtype == np.float32 and labels.shape == y.shape


@batches
def test_labels_stay_labels(name):
    for seed in range(10):
        _, labels = batch(name, X, Y, seed, probability=1.0)
        assert labels.min() >= 0 and labels.max() <= 1
        ones = np.ones_like(Y)
        np.testing.assert_allclose(batch(name, X, ones, seed, probability=1.0)[1], ones, atol=1e-6)
