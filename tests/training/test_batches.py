"""What a network sees: standardised by its own training rows, augmented by seed, epoch and row alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Crop, Network, Plugin, Training
from fakevoice.core.errors import ConfigError
from fakevoice.core.random import Stream, generator
from fakevoice.features.extract import extract
from fakevoice.training.batches import (
    Augmentation,
    TrainingClips,
    training_batches,
    unlabeled_batch,
)
from fakevoice.training.standardize import Standardizer, cropped_shape, scoring_batches

N_CLIPS, SHAPE = 50, (8, 40)
ROWS = np.arange(0, N_CLIPS, 2)
TARGET = np.arange(2 * N_CLIPS, dtype=np.float32).reshape(N_CLIPS, 2)
WORDS = ["clip_duration_s=0.2", "spectrogram={n_fft: 256, hop_length: 80}", "features.waveform={}"]
CONFIG = load_config("demo", [*WORDS, "features.mel.n_mels=8"])


class Feature:
    """A cache in memory."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape = values, values.shape[1:]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows].astype(np.float32)


def values(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bands = rng.uniform(-40, 20, SHAPE[0]), rng.uniform(1, 20, SHAPE[0])
    noise = rng.standard_normal((N_CLIPS, *SHAPE))
    return (bands[0][:, None] + bands[1][:, None] * noise).astype(np.float32)


def network(*names: str, feature: str = "mel", args: dict | None = None, crop: Crop | None = None, **training):
    """A network with these augmentations, all with the same arguments."""
    augment = [Plugin(name=name, args=args or {}) for name in names]
    model, training = Plugin(name="resnet"), Training(**training)
    return Network(feature=feature, model=model, augment=augment, crop=crop or Crop(), training=training)


def augmentation(seed: int = 0, *names: str, shape: tuple[int, int] = SHAPE, **args) -> Augmentation:
    return Augmentation(network(*names, args=args), CONFIG, shape, seed)


def fitted(feature: Feature, rows: np.ndarray = ROWS, crop: Crop | None = None, **training) -> Standardizer:
    return Standardizer.fit(feature, rows, network(crop=crop, **training))


@pytest.mark.parametrize("mean_subtraction", ["none", "band"])
def test_training_rows_get_mean_0_and_deviation_1_per_band(mean_subtraction):
    feature = Feature(values())
    x = fitted(feature, mean_subtraction=mean_subtraction)(feature.take(ROWS))
    assert x.dtype == np.float32 and x.shape == (len(ROWS), *SHAPE)
    np.testing.assert_allclose(x.mean(axis=(0, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=(0, 2)), 1.0, atol=1e-3)


@pytest.mark.parametrize("mean_subtraction", ["none", "band"])
def test_rows_that_are_held_out_change_nothing(mean_subtraction):
    changed = values()
    changed[1::2] = 1e3
    ours, theirs = (fitted(Feature(v), mean_subtraction=mean_subtraction) for v in (values(), changed))
    assert ours.mean.tobytes() == theirs.mean.tobytes() and ours.deviation.tobytes() == theirs.deviation.tobytes()
    assert ours.mean.shape == ours.deviation.shape == (SHAPE[0], 1)


def test_many_rows_are_sampled_evenly():
    many = Feature(np.arange(9000, dtype=np.float32)[:, None, None].repeat(2, axis=2))
    standardizer = fitted(many, np.arange(9000))
    assert standardizer.mean[0, 0] == pytest.approx(4500, rel=0.01)
    assert standardizer.deviation[0, 0] == pytest.approx(9000 / np.sqrt(12), rel=0.01)


def test_mean_subtraction_removes_a_fixed_channel():
    feature, channel = Feature(values()), np.linspace(-30, 30, SHAPE[0], dtype=np.float32)[:, None]
    x = feature.take(ROWS)
    without, kept = (fitted(feature, mean_subtraction=how) for how in ("band", "none"))
    np.testing.assert_allclose(without(x + channel), without(x), atol=1e-4)
    assert np.abs(kept(x + channel) - kept(x)).max() > 1.0


def test_silence_is_standardised_to_zeros():
    feature = Feature(np.full((N_CLIPS, *SHAPE), -100.0, np.float32))
    assert not fitted(feature)(feature.take(ROWS)).any()


CROPS = [Crop(bands=(0.25, 1.0)), Crop(frames=(0.0, 0.5)), Crop(bands=(0.1, 0.9), frames=(0.26, 0.74))]


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("how", [{}, {"mean_subtraction": "band"}])
def test_a_crop_is_as_if_there_were_no_more(crop, how):
    n_bands, n_frames = SHAPE
    bands = slice(round(crop.bands[0] * n_bands), round(crop.bands[1] * n_bands))
    frames = slice(round(crop.frames[0] * n_frames), round(crop.frames[1] * n_frames))
    whole, part = Feature(values()), Feature(values()[:, bands, frames].copy())
    x = fitted(whole, crop=crop, **how)(whole.take(ROWS))
    assert x.shape[1:] == cropped_shape(SHAPE, crop) == part.shape
    np.testing.assert_allclose(x, fitted(part, **how)(part.take(ROWS)), atol=1e-5)
    (scored,) = scoring_batches(whole, ROWS, fitted(whole, crop=crop, **how), len(ROWS))
    assert np.array_equal(scored[:, 0], x)


def test_by_default_nothing_is_cropped():
    assert cropped_shape(SHAPE, Crop()) == SHAPE
    assert fitted(Feature(values())).crop == Standardizer("none", np.zeros((8, 1)), np.ones((8, 1))).crop == Crop()


@pytest.mark.parametrize("crop", [Crop(bands=(0.5, 0.5)), Crop(frames=(0.99, 1.0)), Crop(bands=(0.5, 0.55))])
def test_a_crop_that_leaves_nothing_is_refused(crop):
    with pytest.raises(ConfigError, match=r"here leaves \d+ of 8 bands and \d+ of 40 frames: widen"):
        cropped_shape(SHAPE, crop, "here")


@pytest.mark.parametrize("names", [("spec_augment",), ("spec_augment", "shift"), ("erase", "spec_average")])
def test_a_clips_augmentation_depends_on_seed_epoch_and_row_alone(names):
    picture = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    args = {"probability": 0.8}
    first, second = augmentation(0, *names, **args), augmentation(0, *names, **args)
    second.picture(picture, 9, 9)  # what was drawn before must not matter
    draws = [(epoch, row) for epoch in range(4) for row in range(4)]
    ours = {draw: first.picture(picture, *draw).tobytes() for draw in draws}
    theirs = {draw: second.picture(picture, *draw).tobytes() for draw in reversed(draws)}
    assert ours == theirs
    assert len({ours[0, row] for row in range(4)}) > 1 and len({ours[epoch, 0] for epoch in range(4)}) > 1
    assert len(set(ours.values())) > 8
    assert ours != {draw: augmentation(1, *names, **args).picture(picture, *draw).tobytes() for draw in draws}


def test_waveforms_and_batches_are_drawn_by_seed_epoch_and_number_alone():
    waveform, draws = np.random.default_rng(1).standard_normal(500).astype(np.float32), [(0, 0), (0, 1), (1, 0), (1, 1)]
    x, y = np.random.default_rng(2).standard_normal((4, 1, 3, 5)).astype(np.float32), np.eye(4, dtype=np.float32)

    def drawn(seed: int, draws: list[tuple[int, int]]) -> dict:
        augment = augmentation(seed, "noise", "mixup", "room", probability=1.0)
        return {d: (augment.waveform(waveform, *d).tobytes(), augment.batch(x, y, *d)[0].tobytes()) for d in draws}

    first = drawn(0, draws)
    assert first == drawn(0, draws[::-1])
    for kind in (0, 1):
        assert len({pair[kind] for pair in [*first.values(), *drawn(1, draws).values()]}) == 8


def test_without_augmentation_everything_stays():
    picture, waveform, y = np.ones(SHAPE, np.float32), np.ones(9, np.float32), np.ones((1, 2), np.float32)
    none = augmentation()
    assert none.picture(picture, 0, 0) is picture and none.waveform(waveform, 0, 0) is waveform
    assert none.batch(picture, y, 0, 0) == (picture, y)


def test_augmentations_of_a_kind_go_in_the_order_of_the_config(monkeypatch):
    def fake(kind: str, name: str):
        step = float(name)
        return SimpleNamespace(INPUT="waveform", build=lambda rate_hz: lambda waveform, rng: waveform * step + step)

    monkeypatch.setattr(plugins, "load", fake)
    assert augmentation(0, "2", "3").waveform(np.float32(1), 0) == (1 * 2 + 2) * 3 + 3


def clips_of(seed: int = 0, *names: str, **args) -> TrainingClips:
    feature = Feature(values())
    return TrainingClips(feature, fitted(feature), augmentation(seed, *names, **args))


def epoch_of(epoch: int, seed: int = 0, batch_size: int = 8, *names: str, **args) -> list[tuple]:
    return list(training_batches(clips_of(seed, *names, **args), TARGET, ROWS, batch_size, epoch))


def as_bytes(batches: list[tuple]) -> list[tuple[bytes, bytes]]:
    return [(x.tobytes(), y.tobytes()) for x, y in batches]


def test_batches_are_whole_and_hold_training_rows_once():
    batches = epoch_of(0)
    assert len(batches) == len(ROWS) // 8  # 25 rows: the last one is left out
    assert all(x.shape == (8, 1, *SHAPE) and y.shape == (8, 2) for x, y in batches)
    rows = np.concatenate([y[:, 0] // 2 for _, y in batches]).astype(int)
    assert len(set(rows)) == len(rows) and set(rows) <= set(ROWS)


def test_pictures_and_targets_belong_together():
    feature = Feature(values())
    for x, y in epoch_of(0):
        np.testing.assert_array_equal(x[:, 0], fitted(feature)(feature.take((y[:, 0] // 2).astype(int))))


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


@pytest.mark.parametrize("name", ["mixup", "spec_mix"])
def test_batches_are_mixed_last_and_anew_in_every_step(name):
    plain, mixed = epoch_of(0), epoch_of(0, 0, 8, name, probability=1.0)
    build, seed = plugins.load("augment", name).build(probability=1.0), augmentation().seed
    for step, (before, after) in enumerate(zip(plain, mixed, strict=True)):
        rng = generator(Stream.BATCH_AUGMENTATION, seed, 0, step, 0)
        x, y = build(*before, rng)
        assert np.array_equal(after[0], x) and np.array_equal(after[1], y) and not np.array_equal(y, before[1])
    again = epoch_of(0, 0, 8, name, probability=1.0)
    assert as_bytes(again) == as_bytes(mixed)
    unmixed = epoch_of(0, 0, 8, name, probability=0.0)
    assert as_bytes(unmixed) == as_bytes(plain)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_scoring_keeps_every_row_in_order(batch_size):
    feature = Feature(values())
    standardizer, rows = fitted(feature, mean_subtraction="band"), np.array([3, 1, 4, 15, 9, 2, 6, 5])
    batches = list(scoring_batches(feature, rows, standardizer, batch_size))
    assert all(len(x) <= batch_size and x.shape[1:] == (1, *SHAPE) for x in batches)
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], standardizer(feature.take(rows)))


N_HEARD = 12


def heard(feature: str, *names: str, seed: int = 0, crop: Crop | None = None, **args) -> TrainingClips:
    """Clips whose samples are cached beside the feature, both rounded as the cache rounds them."""
    rng = np.random.default_rng(5)
    waveforms = (0.1 * rng.standard_normal((N_HEARD, CONFIG.n_samples))).astype(np.float32)
    arrays = [extract(waveform, CONFIG, [feature, "waveform"]) for waveform in waveforms]
    cached, samples = (
        Feature(np.stack([a[name] for a in arrays]).astype(np.float16)) for name in (feature, "waveform")
    )
    settings = network(*names, feature=feature, args=args, crop=crop)
    augment = Augmentation(settings, CONFIG, cropped_shape(cached.shape, settings.crop), seed)
    return TrainingClips(cached, Standardizer.fit(cached, np.arange(N_HEARD), settings), augment, samples)


def seen(clips: TrainingClips, epoch: int = 0) -> np.ndarray:
    """Clips of one epoch by row: (n_clips, n_bands, n_frames)."""
    target = np.arange(N_HEARD, dtype=np.float32)[:, None]
    x, y = map(np.concatenate, zip(*training_batches(clips, target, np.arange(N_HEARD), 4, epoch), strict=True))
    assert sorted(y[:, 0]) == list(range(N_HEARD))
    return x[np.argsort(y[:, 0]), 0]


features = pytest.mark.parametrize("feature", ["mel", "waveform"])


@features
def test_waveforms_that_no_augmentation_met_stay_as_cached(feature):
    never = heard(feature, "noise", "raw_boost", probability=0.0)
    assert seen(never).tobytes() == seen(heard(feature)).tobytes() == never.plain(np.arange(N_HEARD)).tobytes()


@features
@pytest.mark.parametrize("crop", [Crop(), Crop(frames=(0.25, 0.75))])
def test_augmented_waveforms_become_the_networks_feature(feature, crop):
    clips = heard(feature, "noise", probability=1.0, crop=crop)
    make = plugins.load("augment", "noise").build(CONFIG.sample_rate_hz, probability=1.0)
    for row, picture in enumerate(seen(clips, epoch=3)):
        rng = generator(Stream.WAVEFORM_AUGMENTATION, 0, 3, row)
        noisy = make(clips.waveforms.take(np.array([row]))[0, 0], rng)
        fresh = extract(noisy, CONFIG, [feature])[feature].astype(np.float16).astype(np.float32)
        assert np.array_equal(picture, clips.standardizer(fresh[None])[0])
        assert picture.shape == cropped_shape(clips.feature.shape, crop)


@features
def test_waveforms_differ_by_epoch_and_seed_and_repeat(feature):
    clips = heard(feature, "noise", probability=1.0)
    first, second, other = seen(clips), seen(clips, 1), seen(heard(feature, "noise", seed=1, probability=1.0))
    assert first.tobytes() == seen(heard(feature, "noise", probability=1.0)).tobytes()
    for row in range(N_HEARD):
        assert len({x[row].tobytes() for x in (first, second, other)}) == 3


def test_only_the_clips_that_were_met_are_extracted_anew(monkeypatch):
    clips, fresh, original = heard("mel", "noise", probability=0.5), [], Augmentation.feature
    monkeypatch.setattr(Augmentation, "feature", lambda self, x: fresh.append(1) or original(self, x))
    changed = (seen(clips) != clips.plain(np.arange(N_HEARD))).any(axis=(1, 2))
    assert 0 < changed.sum() == len(fresh) < N_HEARD


def test_waveforms_come_before_pictures():
    both, sound = (heard("mel", *names, probability=1.0) for names in (("spec_augment", "noise"), ("noise",)))
    masked, unmasked = seen(both), seen(sound)
    hidden = masked != unmasked
    assert hidden.any() and (masked[hidden] == 0).all()  # nothing was extracted over a mask


def test_scoring_never_augments():
    clips, rows = heard("mel", "noise", "spec_augment", probability=1.0), np.arange(N_HEARD)
    (scored,) = scoring_batches(clips.feature, rows, clips.standardizer, N_HEARD)
    assert scored[:, 0].tobytes() == seen(heard("mel")).tobytes()
    assert (scored[:, 0] != seen(clips)).any(axis=(1, 2)).all()


def test_unlabeled_waveforms_are_augmented_and_their_plain_twins_are_not():
    clips = heard("mel", "noise", "mixup", probability=1.0)
    plain, augmented = unlabeled_batch(clips, 6, 0, 0)
    known = {clip.tobytes() for clip in clips.plain(np.arange(N_HEARD))}
    assert {clip.tobytes() for clip in plain} <= known and not {clip.tobytes() for clip in augmented} & known
    sound = heard("mel", "noise", probability=1.0)
    assert np.array_equal(unlabeled_batch(sound, 6, 0, 0)[1], augmented)  # and nothing is mixed
    assert not np.array_equal(unlabeled_batch(clips, 6, 0, 1)[1], augmented)
    assert np.array_equal(*unlabeled_batch(heard("mel", "noise", probability=0.0), 6, 0, 0))


def unlabeled(size: int = 6, epoch: int = 0, step: int = 0, seed: int = 0, names=("spec_augment",), n_clips=N_CLIPS):
    feature = Feature(values()[:n_clips])
    clips = TrainingClips(feature, fitted(feature, np.arange(n_clips)), augmentation(seed, *names))
    return unlabeled_batch(clips, size, epoch, step)


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


@pytest.mark.parametrize("kind", ["picture", "waveform"])
def test_no_unlabeled_clip_shares_its_augmentation_with_a_scene(monkeypatch, kind):
    draws = []
    stream = Stream.PICTURE_AUGMENTATION if kind == "picture" else Stream.WAVEFORM_AUGMENTATION

    def recorded(augment, x, *draw):
        draws.append(generator(stream, augment.seed, *draw).integers(2**62))
        return x

    monkeypatch.setattr(Augmentation, kind, recorded)
    clips = heard("mel", seed=5)
    for epoch in range(2):
        list(training_batches(clips, TARGET, np.arange(N_HEARD), 4, epoch))
        for step in range(5):
            unlabeled_batch(clips, 4, epoch, step)
    assert len(set(draws)) == len(draws) == 2 * (12 + 20)
