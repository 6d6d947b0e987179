"""Standardised features: what networks read, in training and when they score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fakevoice.core.config_sections import Crop, Network
from fakevoice.core.errors import ConfigError
from fakevoice.features.store import CachedFeature

SAMPLE_FOR_STATISTICS = 2000
WHOLE = Crop()


def cropped_shape(shape: tuple[int, ...], crop: Crop, where: str = "crop") -> tuple[int, int]:
    """What a crop leaves of a picture (n_bands, n_frames).

    Args:
        where: the key of the crop, for the message.

    Raises:
        ConfigError: nothing.
    """
    n_bands, n_frames = (part.stop - part.start for part in _parts(shape, crop))
    if not n_bands or not n_frames:
        raise ConfigError(
            f"{where} leaves {n_bands} of {shape[0]} bands and {n_frames} of {shape[1]} frames: widen bands or frames"
        )
    return n_bands, n_frames


def _parts(shape: tuple[int, ...], crop: Crop) -> tuple[slice, slice]:
    ends = zip((crop.bands, crop.frames), shape, strict=True)
    bands, frames = (slice(round(start * size), round(end * size)) for (start, end), size in ends)
    return bands, frames


@dataclass(frozen=True)
class Standardizer:
    """Brings what is left of a crop to mean 0 and deviation 1 over the training scenes, after a channel removal.

    Attributes:
        mean_subtraction: ``"band"`` subtracts each clip's own mean per band first (cepstral mean
            subtraction, Atal 1974), which removes any fixed channel; ``"none"`` keeps it.
        mean, deviation: (n_bands, 1) float32.
    """

    mean_subtraction: str
    mean: np.ndarray
    deviation: np.ndarray
    crop: Crop = WHOLE

    @classmethod
    def fit(cls, feature: CachedFeature, rows: np.ndarray, network: Network) -> "Standardizer":
        """Statistics over at most some thousand evenly chosen rows."""
        settings, sample = network.training, rows[:: max(1, len(rows) // SAMPLE_FOR_STATISTICS)]
        x = _visible(feature.take(sample), network.crop, settings.mean_subtraction)  # (n, bands, frames)
        mean = x.mean(axis=(0, 2), dtype=np.float64).reshape(-1, 1).astype(np.float32)
        deviation = x.std(axis=(0, 2), dtype=np.float64).reshape(-1, 1).astype(np.float32)
        deviation = np.maximum(deviation, 1e-3)  # silence has none
        return cls(settings.mean_subtraction, mean, deviation, network.crop)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Crop and standardise (n_clips, n_bands, n_frames) float32."""
        standardised = _visible(x, self.crop, self.mean_subtraction) - self.mean
        standardised /= self.deviation
        return standardised


def _visible(x: np.ndarray, crop: Crop, mean_subtraction: str) -> np.ndarray:
    x = x[:, *_parts(x.shape[1:], crop)]
    return x - x.mean(axis=2, keepdims=True) if mean_subtraction == "band" else x


def scoring_batches(
    feature: CachedFeature, rows: np.ndarray, standardizer: Standardizer, batch_size: int
) -> Iterator[np.ndarray]:
    """Standardised batches (batch, 1, n_bands, n_frames) float32 in the order of `rows`."""
    for start in range(0, len(rows), batch_size):
        yield standardizer(feature.take(rows[start : start + batch_size]))[:, None]
