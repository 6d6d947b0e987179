"""What each augmentation of pictures does: where it fills, with what, and how far it moves."""

import numpy as np
import pytest
from albumentations import Compose

from fakevoice.core import plugins

SHAPE = (64, 157)
PICTURE = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32) + 3
SEEDS = pytest.mark.parametrize("seed", range(10))


def augmented(name: str, picture: np.ndarray, seed: int, **args) -> np.ndarray:
    compose = Compose([plugins.load("augment", name).build(picture.shape, probability=1.0, **args)])
    compose.set_random_seed(seed)
    return compose(image=picture[:, :, None])["image"][:, :, 0]


@SEEDS
@pytest.mark.parametrize(("name", "fill"), [("spec_augment", 0.0), ("spec_average", PICTURE.mean())])
def test_whole_bands_are_filled_with_a_mean(name, fill, seed):
    args = {"max_time_fraction": 0.1, "max_frequency_fraction": 0.1}
    result = augmented(name, PICTURE, seed, **args)
    masked = result != PICTURE
    rows, columns = masked.all(axis=1), masked.all(axis=0)
    assert np.array_equal(masked, rows[:, None] | columns[None])
    assert 1 <= rows.sum() <= 2 * 6 and 1 <= columns.sum() <= 2 * 15
    np.testing.assert_allclose(result[masked], fill, rtol=1e-6)


@SEEDS
@pytest.mark.parametrize(
    ("time", "frequency", "limits"), [(0.1, 0.0, (0, 21)), (0.0, 0.02, (3, 0)), (0.1, 0.02, (3, 21))]
)
def test_shift_moves_by_no_more_than_told(time, frequency, limits, seed):
    dot = np.zeros((100, 200), np.float32)
    dot[50, 100] = 1.0
    moved = augmented("shift", dot, seed, max_time_fraction=time, max_frequency_fraction=frequency)
    row, column = np.unravel_index(moved.argmax(), moved.shape)
    assert abs(row - 50) <= limits[0] and abs(column - 100) <= limits[1]


def hole(picture: np.ndarray, erased: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the smallest rectangle around what changed."""
    rows, columns = (np.flatnonzero((erased != picture).any(axis=axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("shape", [SHAPE, (40, 1000), (100, 20)])
def test_erase_fills_one_rectangle_of_the_stated_area_with_silence(shape):
    picture = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    picture[0, 0] = -7.0
    areas = []
    for seed in range(60):
        erased = augmented("erase", picture, seed)
        top, bottom, left, right = hole(picture, erased)
        assert (erased[top:bottom, left:right] == -7.0).all()
        outside = erased.copy()
        outside[top:bottom, left:right] = picture[top:bottom, left:right]
        assert np.array_equal(outside, picture)
        areas.append((bottom - top) * (right - left) / picture.size)
    assert 0.012 < min(areas) < 0.03 and 0.065 < max(areas) < 0.095  # whole bands and frames


def test_erase_reaches_every_corner_and_varies_its_sides():
    holes = np.array([hole(PICTURE, augmented("erase", PICTURE, seed)) for seed in range(300)])
    assert holes[:, 0].min() <= 1 and holes[:, 1].max() >= SHAPE[0] - 1
    assert holes[:, 2].min() <= 3 and holes[:, 3].max() >= SHAPE[1] - 3
    aspect = (holes[:, 1] - holes[:, 0]) / (holes[:, 3] - holes[:, 2]) * SHAPE[1] / SHAPE[0]
    assert 0.2 < aspect.min() < 0.5 and 2.0 < aspect.max() < 5.0


@pytest.mark.parametrize("area", [(0.3, 0.3), (1.0, 1.0)])
def test_erase_takes_the_area_that_it_is_told(area):
    erased = augmented("erase", PICTURE, 0, area=area)
    assert (erased == PICTURE.min()).mean() == pytest.approx(area[0], abs=0.03 if area[0] < 1 else 0.5)
