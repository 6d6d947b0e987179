"""How far a clip lies from what training covered, by the pooled features of the scenes; no label is looked at.

Directions in which scenes vary much are told apart one by one, all others together. Calibrated probabilities are
promises about clips like the scenes; of a clip beyond them, nobody knows what they are worth.

Source: the distance is Mahalanobis', regularised as in probabilistic principal components: Tipping & Bishop,
"Probabilistic principal component analysis", 1999.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import threadpoolctl
from safetensors.numpy import load, save

from fakevoice.core.artifacts import write_bytes
from fakevoice.core.errors import ArtifactError
from fakevoice.core.random import Stream, generator

RANGE = "range.safetensors"  # in the stage's folder
KEPT_VARIANCE = 0.8  # with more directions silence and clicks no longer stand out (LOG.md)
INSIDE = 0.99  # of the scenes lie in the range
WIDEST = 20.0  # deviations; what lies further out counts as much
NORMAL_DECILES = 2.563  # deviations from the first to the ninth decile of a normal distribution
MAX_SCENES = 20_000  # more change no digit that is shown


@dataclass(frozen=True, eq=False)
class Range:
    """What training covered.

    Attributes:
        centre, scale: (n_columns,) median and deviation of each column.
        mean: (n_columns,) of the standardised columns.
        directions: (n_columns, n_directions) orthonormal.
        variance: (n_directions + 1,), of each direction, and of all others together.
        limit: (1,) the distance within which the scenes lie.
    """

    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    directions: np.ndarray
    variance: np.ndarray
    limit: np.ndarray

    @classmethod
    def fit(cls, columns: np.ndarray, seed: int) -> "Range":
        """Learn the range of pooled features (n_scenes, n_columns); on one thread, by whose number sums differ."""
        with threadpoolctl.threadpool_limits(1):
            return cls._fit(columns, seed)

    @classmethod
    def _fit(cls, columns: np.ndarray, seed: int) -> "Range":
        rows = generator(Stream.RANGE_SCENES, seed).permutation(len(columns))[:MAX_SCENES]
        columns = columns[np.sort(rows)].astype(np.float64)
        # Few clips with many columns lie nearer to themselves than any other will: each half is held against the other.
        halves = columns[::2], columns[1::2]
        apart = [cls._of(one).distance(other) for one, other in (halves, halves[::-1])] if len(columns) > 3 else []
        distance = np.concatenate(apart or [cls._of(columns).distance(columns)])
        limit = np.maximum(np.quantile(distance, [INSIDE]), 1e-9)  # 0 where nothing varies
        return replace(cls._of(columns), limit=limit)

    @classmethod
    def _of(cls, columns: np.ndarray) -> "Range":
        """The range of clips (n_clips, n_columns) float64, with a limit of 1."""
        low, centre, high = np.quantile(columns, [0.1, 0.5, 0.9], axis=0)
        scale = np.maximum((high - low) / NORMAL_DECILES, 1e-6)
        standardised = _standardised(columns, centre, scale)
        mean = standardised.mean(axis=0)
        variance, directions = np.linalg.eigh(np.atleast_2d(np.cov(standardised, rowvar=False)))
        variance, directions = np.maximum(variance[::-1], 1e-9), directions[:, ::-1]
        n_kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), KEPT_VARIANCE)) + 1
        rest = max(float(variance[n_kept:].sum()), 1e-9)
        variance = np.append(variance[:n_kept], rest)
        return cls(centre, scale, mean, np.ascontiguousarray(directions[:, :n_kept]), variance, np.ones(1))

    def distance(self, columns: np.ndarray) -> np.ndarray:
        """Distance of each clip, in units of `limit`: above 1 it lies outside the range.

        Args:
            columns: (n_clips, n_columns) pooled features.

        Returns:
            (n_clips,) float64.
        """
        standardised = _standardised(columns.astype(np.float64), self.centre, self.scale) - self.mean
        along = standardised @ self.directions
        rest = np.square(standardised - along @ self.directions.T).sum(axis=1)
        n_kept = len(self.variance) - 1
        return (np.square(along) @ (1 / self.variance[:-1]) / n_kept + rest / self.variance[-1]) / self.limit

    def save(self, path: Path) -> None:
        """Write all arrays into one ``.safetensors``."""
        write_bytes(path, save(dict(vars(self))))

    @classmethod
    def load(cls, path: Path) -> "Range":
        """Read what `save` wrote.

        Raises:
            ArtifactError: missing or damaged.
        """
        try:
            return cls(**load(path.read_bytes()))
        except Exception as error:  # safetensors has errors of its own kind
            raise ArtifactError(f"{path} cannot be read ({error}): ./run.sh stack --force") from error


def _standardised(columns: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((columns - centre) / scale, -WIDEST, WIDEST)
