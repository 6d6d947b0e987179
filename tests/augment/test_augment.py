"""Contracts of every augmentation: same shape, finite, seeded, gentle."""

import inspect

import numpy as np
import pytest
from albumentations import Compose

from fakevoice import lookup

SHAPE = (64, 157)
augmentations = pytest.mark.parametrize("name", lookup.names("augment"))
PICTURE = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def augmented(name: str, picture: np.ndarray, seed: int, **args) -> np.ndarray:
    compose = Compose([lookup.load("augment", name).build(picture.shape, **args)])
    compose.set_random_seed(seed)
    return compose(image=picture[:, :, None])["image"][:, :, 0]


@augmentations
@pytest.mark.parametrize("shape", [SHAPE, (40, 32), (8, 8)])
def test_same_shape_and_finite(name, shape):
    picture = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for seed in range(20):
        result = augmented(name, picture, seed)
        assert result.shape == shape and result.dtype == np.float32 and np.isfinite(result).all()


@augmentations
def test_the_seed_decides(name):
    results = [augmented(name, PICTURE, seed).tobytes() for seed in range(12)]
    assert results == [augmented(name, PICTURE, seed).tobytes() for seed in range(12)]
    assert len(set(results)) > 3


@augmentations
def test_the_picture_itself_is_left_alone(name):
    before = PICTURE.copy()
    augmented(name, PICTURE, 3)
    assert np.array_equal(PICTURE, before)


@augmentations
def test_probability_0_changes_nothing_and_1_does(name):
    assert all(np.array_equal(augmented(name, PICTURE, seed, probability=0.0), PICTURE) for seed in range(5))
    assert not any(np.array_equal(augmented(name, PICTURE, seed, probability=1.0), PICTURE) for seed in range(5))


@augmentations
def test_loudness_is_never_cut(name):
    loud = 100 * PICTURE  # nothing may treat the picture as one of values from 0 to 1
    assert max(np.abs(augmented(name, loud, seed)).max() for seed in range(10)) > 100


@augmentations
def test_arguments_are_typed_keywords_with_defaults(name):
    parameters = list(inspect.signature(lookup.load("augment", name).build).parameters.values())
    assert [parameter.name for parameter in parameters[:1]] == ["shape"]
    for parameter in parameters[1:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


@pytest.mark.parametrize("seed", range(10))
def test_spec_augment_fills_whole_bands_with_the_mean(seed):
    args = {"probability": 1.0, "max_time_fraction": 0.1, "max_frequency_fraction": 0.1}
    masked = augmented("spec_augment", PICTURE, seed, **args) == 0.0
    rows, columns = masked.all(axis=1), masked.all(axis=0)
    assert np.array_equal(masked, rows[:, None] | columns[None])
    assert 1 <= rows.sum() <= 2 * 6 and 1 <= columns.sum() <= 2 * 15


@pytest.mark.parametrize("seed", range(10))
def test_shift_moves_by_no_more_than_told(seed):
    dot = np.zeros((100, 200), np.float32)
    dot[50, 100] = 1.0
    moved = augmented("shift", dot, seed, probability=1.0, max_time_fraction=0.1, max_frequency_fraction=0.02)
    row, column = np.unravel_index(moved.argmax(), moved.shape)
    assert abs(row - 50) <= 3 and abs(column - 100) <= 21
