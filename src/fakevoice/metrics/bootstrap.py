"""How far a score could have fallen otherwise: percentile intervals from resampled clips or groups."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fakevoice.core.errors import FakevoiceError
from fakevoice.core.random import Stream, generator
from fakevoice.metrics.checks import refuse_rows

MOST_LOST = 0.1  # share of draws without a value beyond which the interval comes with a warning


def bootstrap_interval(
    measure: Callable[[np.ndarray, np.ndarray], float],
    label: ArrayLike,
    probability: ArrayLike,
    groups: ArrayLike | None = None,
    n_draws: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a metric; the same seed gives the same interval.

    Clips of one speaker or generator err together: with `groups`, whole groups are drawn, and the
    interval is as wide as that makes it. A resample holds clips twice, which biases an ECE upwards;
    its interval may lie above the score itself.

    Args:
        measure: a metric's `measure`.
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].
        groups: (n_clips,) of anything that can be compared; rows are drawn one by one if None.
        level: share of the draws inside the interval.

    Returns:
        (low, high); both nan where there is but one group or no draw had a value.

    Raises:
        FakevoiceError: a clip without a group, or another number of groups than of clips.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3; whole groups:
    Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
    """
    label, probability = np.asarray(label), np.asarray(probability)
    group = np.arange(len(label)) if groups is None else _group_number(groups, len(label))
    n_groups = len(np.unique(group))
    if n_groups < 2:
        warnings.warn(f"no interval: {n_groups} group to draw from", stacklevel=2)
        return float("nan"), float("nan")
    values = np.array([measure(label[rows], probability[rows]) for rows in _draws(group, n_draws, seed)])
    found = values[~np.isnan(values)]
    if len(found) < (1 - MOST_LOST) * n_draws:
        warnings.warn(f"{n_draws - len(found)} of {n_draws} draws have no value (one class only?)", stacklevel=2)
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _group_number(groups: ArrayLike, n_clips: int) -> np.ndarray:
    number, _ = pd.factorize(np.asarray(groups))
    if len(number) != n_clips:
        raise FakevoiceError(f"{len(number)} groups for {n_clips} clips")
    refuse_rows(number < 0, "group", "missing")
    return number


def _draws(group: np.ndarray, n_draws: int, seed: int) -> Iterator[np.ndarray]:
    rng = generator(Stream.BOOTSTRAP, seed)
    rows = np.argsort(group, kind="stable")
    size = np.bincount(group)
    start = np.cumsum(size) - size
    for _ in range(n_draws):
        drawn = rng.integers(len(size), size=len(size))
        # Where the drawn groups' members lie in `rows`, without a loop over the groups.
        end = np.cumsum(size[drawn])
        within = np.arange(end[-1]) - np.repeat(end - size[drawn], size[drawn])
        yield rows[np.repeat(start[drawn], size[drawn]) + within]
