"""SpecMix: bands of time and frequency taken from another clip, labels mixed by area (Kim et al. 2021)."""

from collections.abc import Callable

import numpy as np

from fakevoice.core.config_sections import Depth, Share

INPUT = "batch"


def build(
    *,
    n_time: Depth = 3,
    n_frequency: Depth = 3,
    max_time_fraction: Share = 0.1,
    max_frequency_fraction: Share = 0.1,
    probability: Share = 0.5,
) -> Callable:
    """Paste whole bands of another clip of the batch into each clip.

    Args:
        n_time, n_frequency: at most so many bands.
        max_time_fraction, max_frequency_fraction: of one band.
        probability: that a clip is mixed.

    Source: Kim, Han & Ko, "SpecMix: a mixed sample data augmentation method for training with time-frequency
    domain features", Interspeech 2021.
    """

    def mask(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """(n_bands, n_frames) bool: where the other clip is pasted in."""
        if rng.random() >= probability:
            return np.zeros(shape, bool)
        rows = _band(shape[0], n_frequency, max_frequency_fraction, rng)
        return rows[:, None] | _band(shape[1], n_time, max_time_fraction, rng)[None]

    def augment(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        other = rng.permutation(len(x))
        pasted = np.stack([mask(x.shape[2:], rng) for _ in x])  # (batch, n_bands, n_frames)
        share = pasted.mean(axis=(1, 2)).astype(np.float32)[:, None]
        return np.where(pasted[:, None], x[other], x), (1 - share) * y + share * y[other]

    return augment


def _band(size: int, n_bands: int, max_fraction: float, rng: np.random.Generator) -> np.ndarray:
    """(size,) bool; never all of it at once, so that a feature of a single band is cut in time alone."""
    taken, widest = np.zeros(size, bool), min(max(1, int(max_fraction * size)), size - 1)
    for _ in range(rng.integers(1, n_bands + 1) if widest else 0):
        width = rng.integers(1, widest + 1)
        start = rng.integers(0, size - width + 1)
        taken[start : start + width] = True
    return taken
