"""Training and scoring batches: channel removed, standardised, augmented."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fakevoice import lookup
from fakevoice.cache import CachedFeature
from fakevoice.settings import Plugin

SAMPLE_FOR_STATISTICS = 2000


@dataclass(frozen=True)
class Standardizer:
    """Brings each band to mean 0 and deviation 1 over the training scenes, after an optional channel removal.

    Attributes:
        mean_subtraction: ``"band"`` subtracts each clip's own mean per band first (cepstral mean
            subtraction, Atal 1974), which removes any fixed channel; ``"none"`` keeps it.
        mean, deviation: (n_bands, 1) float32.
    """

    mean_subtraction: str
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, feature: CachedFeature, rows: np.ndarray, mean_subtraction: str) -> "Standardizer":
        """Statistics over at most some thousand evenly chosen rows."""
        sample = rows[:: max(1, len(rows) // SAMPLE_FOR_STATISTICS)]
        x = _without_channel(feature.take(sample), mean_subtraction)  # (n, bands, frames)
        mean = x.mean(axis=(0, 2), dtype=np.float64)[:, None].astype(np.float32)
        deviation = x.std(axis=(0, 2), dtype=np.float64)[:, None].astype(np.float32)
        return cls(mean_subtraction, mean, np.maximum(deviation, 1e-3))  # silence has no deviation

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Standardise (n_clips, n_bands, n_frames) float32."""
        return (_without_channel(x, self.mean_subtraction) - self.mean) / self.deviation


def _without_channel(x: np.ndarray, mean_subtraction: str) -> np.ndarray:
    return x - x.mean(axis=2, keepdims=True) if mean_subtraction == "band" else x


class Augmentation:
    """The augmentations of a network, composed; a clip's draw depends on seed and, say, epoch and row alone.

    albumentations keeps its random state inside, so that workers copy each other and epochs repeat
    unless it is set for every item.
    """

    def __init__(self, plugins: list[Plugin], shape: tuple[int, int], seed: int):
        self.seed = seed
        self.compose = None
        if plugins:
            steps = [lookup.load("augment", plugin.name).build(shape, **plugin.args) for plugin in plugins]
            from albumentations import Compose

            self.compose = Compose(steps)

    def __call__(self, x: np.ndarray, *draw: int) -> np.ndarray:
        """Augment one standardised spectrogram (n_bands, n_frames) float32.

        Args:
            draw: numbers that stand for this draw alone.
        """
        if self.compose is None:
            return x
        self.compose.set_random_seed(int(np.random.SeedSequence([self.seed, *draw]).generate_state(1)[0]))
        return self.compose(image=x[:, :, None])["image"][:, :, 0]


def training_batches(
    feature: CachedFeature,
    target: np.ndarray,
    rows: np.ndarray,
    standardizer: Standardizer,
    augmentation: Augmentation,
    batch_size: int,
    epoch: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One epoch in an order that depends on seed and epoch alone; the last incomplete batch is left out.

    A batch of one would have no variance for batch normalisation.

    Yields:
        x (batch, 1, n_bands, n_frames) float32, y (batch, n_outputs) float32.
    """
    order = np.random.default_rng([augmentation.seed, 3, epoch]).permutation(rows)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        picked = order[start : start + batch_size]
        x = standardizer(feature.take(picked))
        x = np.stack([augmentation(image, epoch, int(row)) for image, row in zip(x, picked, strict=True)])
        yield x[:, None], target[picked]


def unlabeled_batch(
    feature: CachedFeature, standardizer: Standardizer, augmentation: Augmentation, size: int, epoch: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clips for one training step, drawn by seed, epoch and step alone, whatever was drawn before.

    Returns:
        The clips as they are and augmented, both (size, 1, n_bands, n_frames) float32.
    """
    rng = np.random.default_rng([augmentation.seed, 4, epoch, step])
    picked = rng.choice(len(feature), size, replace=len(feature) < size)
    plain = standardizer(feature.take(picked))
    # from 1 on: a seed does not count zeros at its end, and this clip would get the draw of scene number `step`
    augmented = np.stack([augmentation(image, epoch, step, place) for place, image in enumerate(plain, start=1)])
    return plain[:, None], augmented[:, None]


def scoring_batches(
    feature: CachedFeature, rows: np.ndarray, standardizer: Standardizer, batch_size: int
) -> Iterator[np.ndarray]:
    """Standardised batches (batch, 1, n_bands, n_frames) float32 in the order of `rows`."""
    for start in range(0, len(rows), batch_size):
        yield standardizer(feature.take(rows[start : start + batch_size]))[:, None]
