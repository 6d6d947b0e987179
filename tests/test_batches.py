"""What a network sees: standardised by its own training rows, augmented by seed, epoch and row alone."""

import numpy as np
import pytest

from fakevoice.batches import Augmentation, Standardizer, scoring_batches, training_batches, unlabeled_batch
from fakevoice.settings import Plugin

N_CLIPS, SHAPE = 50, (8, 40)
ROWS = np.arange(0, N_CLIPS, 2)
TARGET = np.arange(2 * N_CLIPS, dtype=np.float32).reshape(N_CLIPS, 2)


class Feature:
    """A cache in memory."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape = values, values.shape[1:]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows].copy()


def values(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bands = rng.uniform(-40, 20, SHAPE[0]), rng.uniform(1, 20, SHAPE[0])
    noise = rng.standard_normal((N_CLIPS, *SHAPE))
    return (bands[0][:, None] + bands[1][:, None] * noise).astype(np.float32)


def augmentation(seed: int = 0, *names: str) -> Augmentation:
    return Augmentation([Plugin(name=name) for name in names], SHAPE, seed)


@pytest.mark.parametrize("mean_subtraction", ["none", "band"])
def test_training_rows_get_mean_0_and_deviation_1_per_band(mean_subtraction):
    feature = Feature(values())
    x = Standardizer.fit(feature, ROWS, mean_subtraction)(feature.take(ROWS))
    assert x.dtype == np.float32 and x.shape == (len(ROWS), *SHAPE)
    np.testing.assert_allclose(x.mean(axis=(0, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=(0, 2)), 1.0, atol=1e-3)


@pytest.mark.parametrize("mean_subtraction", ["none", "band"])
def test_rows_that_are_held_out_change_nothing(mean_subtraction):
    changed = values()
    changed[1::2] = 1e3
    ours, theirs = (Standardizer.fit(Feature(v), ROWS, mean_subtraction) for v in (values(), changed))
    assert ours.mean.tobytes() == theirs.mean.tobytes() and ours.deviation.tobytes() == theirs.deviation.tobytes()
    assert ours.mean.shape == ours.deviation.shape == (SHAPE[0], 1)


def test_many_rows_are_sampled_evenly():
    many = Feature(np.arange(9000, dtype=np.float32)[:, None, None].repeat(2, axis=2))
    standardizer = Standardizer.fit(many, np.arange(9000), "none")
    assert standardizer.mean[0, 0] == pytest.approx(4500, rel=0.01)
    assert standardizer.deviation[0, 0] == pytest.approx(9000 / np.sqrt(12), rel=0.01)


def test_mean_subtraction_removes_a_fixed_channel():
    feature, channel = Feature(values()), np.linspace(-30, 30, SHAPE[0], dtype=np.float32)[:, None]
    x = feature.take(ROWS)
    without, kept = (Standardizer.fit(feature, ROWS, how) for how in ("band", "none"))
    np.testing.assert_allclose(without(x + channel), without(x), atol=1e-4)
    assert np.abs(kept(x + channel) - kept(x)).max() > 1.0


def test_silence_is_standardised_to_zeros():
    feature = Feature(np.full((N_CLIPS, *SHAPE), -100.0, np.float32))
    assert not Standardizer.fit(feature, ROWS, "none")(feature.take(ROWS)).any()


@pytest.mark.parametrize("names", [("spec_augment",), ("spec_augment", "shift")])
def test_a_clips_augmentation_depends_on_seed_epoch_and_row_alone(names):
    picture = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    first, second = augmentation(0, *names), augmentation(0, *names)
    second(picture, 9, 9)  # what was drawn before must not matter
    draws = [(epoch, row) for epoch in range(4) for row in range(4)]
    ours = {draw: first(picture, *draw).tobytes() for draw in draws}
    theirs = {draw: second(picture, *draw).tobytes() for draw in reversed(draws)}
    assert ours == theirs
    assert len({ours[0, row] for row in range(4)}) > 1 and len({ours[epoch, 0] for epoch in range(4)}) > 1
    assert len(set(ours.values())) > 8
    assert ours != {draw: augmentation(1, *names)(picture, *draw).tobytes() for draw in draws}


def test_without_augmentation_the_picture_stays():
    picture = np.ones(SHAPE, np.float32)
    assert augmentation()(picture, 0, 0) is picture


def epoch_of(epoch: int, seed: int = 0, batch_size: int = 8, *names: str) -> list[tuple[np.ndarray, np.ndarray]]:
    feature = Feature(values())
    standardizer = Standardizer.fit(feature, ROWS, "none")
    augment = augmentation(seed, *names)
    return list(training_batches(feature, TARGET, ROWS, standardizer, augment, batch_size, epoch))


def test_batches_are_whole_and_hold_training_rows_once():
    batches = epoch_of(0)
    assert len(batches) == len(ROWS) // 8  # 25 rows: the last one is left out
    assert all(x.shape == (8, 1, *SHAPE) and y.shape == (8, 2) for x, y in batches)
    rows = np.concatenate([y[:, 0] // 2 for _, y in batches]).astype(int)
    assert len(set(rows)) == len(rows) and set(rows) <= set(ROWS)


def test_pictures_and_targets_belong_together():
    feature = Feature(values())
    standardizer = Standardizer.fit(feature, ROWS, "none")
    for x, y in epoch_of(0):
        np.testing.assert_array_equal(x[:, 0], standardizer(feature.take((y[:, 0] // 2).astype(int))))


def test_order_differs_by_epoch_and_seed_and_repeats():
    first = [np.concatenate([y[:, 0] for _, y in epoch_of(*what)]).tolist() for what in ((0, 0), (1, 0), (0, 1))]
    assert first[0] != first[1] and first[0] != first[2]
    assert first[0] == np.concatenate([y[:, 0] for _, y in epoch_of(0)]).tolist()


def test_epochs_are_augmented_differently_and_repeat_exactly():
    def by_row(epoch: int) -> dict[float, bytes]:
        batches = epoch_of(epoch, 0, 5, "spec_augment")
        return {label: image.tobytes() for x, y in batches for image, label in zip(x, y[:, 0], strict=True)}

    first, second = by_row(0), by_row(1)
    assert first == by_row(0)
    assert sum(first[row] != second[row] for row in first) > 0.7 * len(ROWS)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_scoring_keeps_every_row_in_order(batch_size):
    feature = Feature(values())
    standardizer, rows = Standardizer.fit(feature, ROWS, "band"), np.array([3, 1, 4, 15, 9, 2, 6, 5])
    batches = list(scoring_batches(feature, rows, standardizer, batch_size))
    assert all(len(x) <= batch_size and x.shape[1:] == (1, *SHAPE) for x in batches)
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], standardizer(feature.take(rows)))


def unlabeled(size: int = 6, epoch: int = 0, step: int = 0, seed: int = 0, names=("spec_augment",), n_clips=N_CLIPS):
    feature = Feature(values()[:n_clips])
    standardizer = Standardizer.fit(feature, np.arange(n_clips), "none")
    return unlabeled_batch(feature, standardizer, augmentation(seed, *names), size, epoch, step)


def test_unlabeled_clips_are_drawn_by_seed_epoch_and_step_alone():
    plain, augmented = unlabeled()
    assert plain.shape == augmented.shape == (6, 1, *SHAPE) and plain.dtype == augmented.dtype == np.float32
    assert len({clip.tobytes() for clip in plain}) == 6  # none twice
    for other in ({"epoch": 1}, {"step": 1}, {"seed": 1}):
        assert not np.array_equal(unlabeled(**other)[0], plain)
    again = unlabeled()
    assert np.array_equal(again[0], plain) and np.array_equal(again[1], augmented)


def test_unlabeled_clips_come_plain_and_augmented():
    plain, augmented = unlabeled()
    masked = augmented != plain
    assert masked.any() and (augmented[masked] == 0).all()
    assert np.array_equal(*unlabeled(names=()))


def test_a_clip_drawn_twice_is_augmented_twice():
    plain, augmented = unlabeled(size=12, n_clips=2)
    assert len({clip.tobytes() for clip in plain}) == 2
    assert len({clip.tobytes() for clip in augmented}) > 4


def test_no_unlabeled_clip_shares_its_augmentation_with_a_scene():
    draws = []

    class Recorded(Augmentation):
        def __call__(self, x, *draw):
            draws.append(tuple(np.random.SeedSequence([self.seed, *draw]).generate_state(2)))
            return x

    augment, feature = Recorded([], SHAPE, 5), Feature(values())
    standardizer = Standardizer.fit(feature, ROWS, "none")
    for epoch in range(2):
        list(training_batches(feature, TARGET, ROWS, standardizer, augment, 5, epoch))
        for step in range(5):
            unlabeled_batch(feature, standardizer, augment, 4, epoch, step)
    assert len(set(draws)) == len(draws) == 2 * (25 + 20)
