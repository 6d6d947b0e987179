"""What each augmentation of pictures does: where it fills, with what, and how far it moves."""

import numpy as np
import pytest
from albumentations import Compose

from fakevoice.audio import spectrum
from fakevoice.core import plugins
from fakevoice.core.config import config_names, load_config
from fakevoice.training.augment import shift

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


def network_shapes() -> list:
    """Every (n_bands, n_frames) that a network of a shipped config reads; all but the two smallest are slow."""
    shapes = {(40, 63)}
    for name in config_names():
        config = load_config(name)
        n_frames = spectrum.n_frames(config.n_samples, config.spectrogram.hop_length)
        for network in config.networks.values():
            args = config.features[network.feature]
            n_bands = args.get("n_mfcc") or args.get("n_lfcc") or args.get("n_mels")
            if n_bands and "encoder" not in args:
                shapes.add((n_bands * (1 + args.get("deltas", 0)), n_frames))
    by_size = sorted(shapes, key=np.prod)
    return by_size[:2] + [pytest.param(shape, marks=pytest.mark.slow) for shape in by_size[2:]]


@pytest.mark.parametrize("shape", network_shapes(), ids=str)
def test_shift_moves_half_of_the_clips_uniformly_at_every_shape_of_the_configs(shape):
    compose = Compose([plugins.load("augment", "shift").build(shape)])
    compose.set_random_seed(0)
    picture = np.ones((*shape, 1), np.float32)
    moved = []
    for _ in range(2000):
        result = compose(image=picture)["image"][:, :, 0]
        if not np.array_equal(result, picture[:, :, 0]):
            moved.append([1 - result.max(axis=1).mean(), 1 - result.max(axis=0).mean()])
    assert 0.46 < len(moved) / 2000 < 0.54  # three standard deviations
    np.testing.assert_allclose(np.mean(moved, axis=0), 0.01, atol=0.001)  # half of .02 of bands and of frames
    np.testing.assert_allclose(np.max(moved, axis=0), 0.02, atol=0.0005)


def test_shift_interpolates_linearly_between_pixels():
    ramp = np.arange(1.0, 6.0, dtype=np.float32)[:, None] * np.ones((1, 7), np.float32)
    np.testing.assert_allclose(shift._shifted(ramp, 0, 1.25)[:, 0], [0, 0.75, 1.75, 2.75, 3.75])
    np.testing.assert_allclose(shift._shifted(ramp, 0, -1.25)[:, 0], [2.25, 3.25, 4.25, 3.75, 0])
    np.testing.assert_allclose(shift._shifted(ramp, 1, 0.0), ramp)
    assert not shift._shifted(ramp, 1, 8.5).any()


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
