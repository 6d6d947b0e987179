"""Training batches: cropped, channel removed, standardised, augmented."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network, Plugin
from fakevoice.core.random import Stream, generator, integer
from fakevoice.features.extract import extract
from fakevoice.features.store import CachedFeature
from fakevoice.training.standardize import Standardizer

WAVEFORM = "waveform"  # the feature that holds the samples


def build_augmentation(plugin: Plugin, shape: tuple[int, int], sample_rate_hz: int) -> Callable:
    """One augmentation, as `augment/__init__.py` says for its kind.

    Args:
        shape: (n_bands, n_frames) of the pictures, cropped.
    """
    module = plugins.load("augment", plugin.name)
    given = {"waveform": (sample_rate_hz,), "picture": (shape,), "batch": ()}
    return module.build(*given[module.INPUT], **plugin.args)


def waveform_plugins(network: Network) -> list[Plugin]:
    """Augmentations that change the samples, for which the cache must hold them."""
    return [plugin for plugin in network.augment if plugins.load("augment", plugin.name).INPUT == "waveform"]


class Augmentation:
    """The augmentations of a network; a draw depends on the seed and, say, epoch and row alone.

    Those of waveforms come first, then those of pictures, then those of batches; each kind in the order of the
    config. albumentations keeps its random state inside, so that workers copy each other and epochs repeat
    unless it is set for every item.

    Args:
        shape: (n_bands, n_frames) of the pictures, cropped.
    """

    def __init__(self, network: Network, config: Config, shape: tuple[int, int], seed: int):
        self.network, self.config, self.seed = network, config, seed
        steps: dict[str, list[Callable]] = {"waveform": [], "picture": [], "batch": []}
        for plugin in network.augment:
            kind = plugins.load("augment", plugin.name).INPUT
            steps[kind].append(build_augmentation(plugin, shape, config.sample_rate_hz))
        self.of_waveforms, self.of_batches, self.compose = steps["waveform"], steps["batch"], None
        if steps["picture"]:
            from albumentations import Compose

            self.compose = Compose(steps["picture"])

    def waveform(self, waveform: np.ndarray, *draw: int) -> np.ndarray:
        """Augment the samples (n_samples,) float32 of a clip.

        Args:
            draw: numbers that stand for this draw alone.
        """
        rng = generator(Stream.WAVEFORM_AUGMENTATION, self.seed, *draw)
        for augment in self.of_waveforms:
            waveform = augment(waveform, rng)
        return waveform

    def feature(self, waveform: np.ndarray) -> np.ndarray:
        """What the network reads of samples (n_samples,) float32: (n_bands, n_frames) float16, as it is cached."""
        name = self.network.feature
        return extract(waveform, self.config, [name])[name].astype(np.float16)

    def picture(self, x: np.ndarray, *draw: int) -> np.ndarray:
        """Augment one standardised spectrogram (n_bands, n_frames) float32; `draw` as in `waveform`."""
        if self.compose is None:
            return x
        self.compose.set_random_seed(integer(Stream.PICTURE_AUGMENTATION, self.seed, *draw))
        return self.compose(image=x[:, :, None])["image"][:, :, 0]

    def batch(self, x: np.ndarray, y: np.ndarray, *draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Augment x (batch, 1, n_bands, n_frames) and y (batch, n_columns) float32; `draw` as in `waveform`."""
        rng = generator(Stream.BATCH_AUGMENTATION, self.seed, *draw)
        for augment in self.of_batches:
            x, y = augment(x, y, rng)
        return x, y


@dataclass(frozen=True)
class TrainingClips:
    """Cached clips of one split, as a network that is trained sees them.

    Attributes:
        feature: what the network reads.
        waveforms: the samples of the same clips, where an augmentation changes them.
    """

    feature: CachedFeature
    standardizer: Standardizer
    augmentation: Augmentation
    waveforms: CachedFeature | None = None

    def plain(self, rows: np.ndarray) -> np.ndarray:
        """Clips (len(rows), n_bands, n_frames) float32 as scoring sees them."""
        return self.standardizer(self.feature.take(rows))

    def augmented(self, rows: np.ndarray, draws: list[tuple[int, ...]]) -> np.ndarray:
        """The same clips with waveforms and pictures augmented; what no waveform augmentation met stays as cached.

        Args:
            draws: for each row the numbers that stand for its draw alone.
        """
        x = self.feature.take(rows)
        if self.waveforms is not None:
            for place, (waveform, draw) in enumerate(zip(self.waveforms.take(rows)[:, 0], draws, strict=True)):
                heard = self.augmentation.waveform(waveform, *draw)
                if not np.array_equal(heard, waveform):  # else the cache knows better: it saw unrounded samples
                    x[place] = self.augmentation.feature(heard)
        pictures = self.standardizer(x)
        for picture, draw in zip(pictures, draws, strict=True):
            picture[:] = self.augmentation.picture(picture, *draw)
        return pictures


def training_batches(
    clips: TrainingClips,
    target: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    epoch: int,
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One epoch in an order that depends on seed and epoch alone; the last incomplete batch is left out.

    A batch of one would have no variance for batch normalisation.

    Args:
        part: (rank, count): clips rank, rank + count, ... of every batch. Augmentations of batches mix these alone,
            each part by draws of its own; all else about a clip is the same in whichever part it is.

    Yields:
        x (batch, 1, n_bands, n_frames) float32, y (batch, n_outputs) float32.
    """
    order = generator(Stream.BATCH_ORDER, clips.augmentation.seed, epoch).permutation(rows)
    for step, start in enumerate(range(0, len(order) - batch_size + 1, batch_size)):
        picked = order[start : start + batch_size][part[0] :: part[1]]
        x = clips.augmented(picked, [(epoch, int(row)) for row in picked])
        yield clips.augmentation.batch(x[:, None], target[picked], epoch, step, part[0])


def unlabeled_batch(
    clips: TrainingClips, size: int, epoch: int, step: int, part: tuple[int, int] = (0, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Clips for one training step, drawn by seed, epoch and step alone, whatever was drawn before.

    Those of batches augment none of them: a mixed clip has a mixed label, and these have no label.

    Args:
        part: as in `training_batches`.

    Returns:
        The clips as they are and augmented, both (n_clips, 1, n_bands, n_frames) float32.
    """
    rng = generator(Stream.UNLABELED_CLIPS, clips.augmentation.seed, epoch, step)
    own = slice(part[0], None, part[1])
    picked = rng.choice(len(clips.feature), size, replace=len(clips.feature) < size)[own]
    augmented = clips.augmented(picked, [(epoch, step, place) for place in range(size)[own]])
    return clips.plain(picked)[:, None], augmented[:, None]
