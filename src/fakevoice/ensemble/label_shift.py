"""How often nothing, one class or both are heard in the unlabeled clips, and what that changes in the probabilities.

Scenes are drawn with states as frequent as the config says; nobody knows how frequent they are in the test. The
unlabeled clips come from the test's environment, so the calibrated ensemble can count. It counts combinations of
labels: whether anything is heard is plain, whose voice it is is not, and the one must not be bent to fit the other.
"""

from collections.abc import Iterator

import numpy as np

from fakevoice.core.random import Stream, generator

N_ITERATIONS = 500
TOLERANCE = 1e-7
PSEUDO_SHARE = 3.0  # weight of the simulated shares per counted clip; see LOG, "Which member counts the labels best?"
LEAST = 0.02  # no combination is ever held to be rarer
CONCENTRATION = 20  # of a Dirichlet distribution: an output's share is off by some .11


def estimate_shares(probability: np.ndarray, simulated: np.ndarray, pseudo_share: float = PSEUDO_SHARE) -> np.ndarray:
    """Shares of each combination of labels by expectation maximisation, drawn towards the simulated ones.

    Source: Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14, 2002; the pseudo-counts make it a maximum a posteriori estimate.

    Args:
        probability: (n_clips, n_combinations), rows that sum to 1, calibrated at the simulated shares.
        simulated: (n_combinations,) shares among the scenes.
        pseudo_share: weight of the simulated shares, as a fraction of the number of clips.

    Returns:
        (n_combinations,) float64 that sum to 1.
    """
    shares = simulated.astype(np.float64)
    for _ in range(N_ITERATIONS):
        counted = adjust(probability, shares, simulated).mean(axis=0)
        updated = _possible((counted + pseudo_share * simulated) / (1 + pseudo_share))
        if np.abs(updated - shares).max() < TOLERANCE:
            break
        shares = updated
    return shares


def adjust(probability: np.ndarray, shares: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips, n_combinations) where combinations are as frequent as `shares` says."""
    moved = probability * (shares / simulated)
    return moved / moved.sum(axis=1, keepdims=True)


def resample_to_shares(heard: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Rows drawn so that each combination is as frequent as `shares` says.

    Args:
        heard: (n_scenes,) int, the combination of each.

    Returns:
        (n_scenes,) int row numbers.
    """
    chances = _chances(heard, shares, np.ones(len(heard)))
    return generator(Stream.SCENES_BY_SHARE, seed).choice(len(heard), len(heard), p=chances)


def draw_tests(
    heard: np.ndarray,
    fold: np.ndarray,
    groups: np.ndarray,
    simulated: np.ndarray,
    n_clips: int,
    n_draws: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Tests as they may come: all clips from one fold, and its groups and combinations as frequent as chance has it.

    A test has few sources. Its voices may all seem more real than they are, as those of one fold may; folds together
    make up for one another.

    Args:
        heard: (n_scenes,) int, the combination of each.
        fold: (n_scenes,) int; folds take turns.
        groups: (n_scenes,) what errs together; weighed by the Bayesian bootstrap (Rubin 1981).
        simulated: (n_combinations,) shares among the scenes, around which those of tests lie.
        n_clips: how many clips a test has.

    Yields:
        (n_clips,) int row numbers.
    """
    rng = generator(Stream.SIMULATED_TESTS, seed)
    names, group = np.unique(groups, return_inverse=True)
    for index in np.resize(np.unique(fold), n_draws):
        weight = rng.exponential(size=len(names))[group] * (fold == index)
        shares = rng.dirichlet(CONCENTRATION * simulated)
        yield rng.choice(len(heard), n_clips, p=_chances(heard, shares, weight))


def _possible(shares: np.ndarray) -> np.ndarray:
    """Shares that sum to 1, none of them hopelessly small."""
    shares = np.maximum(shares, LEAST)
    return shares / shares.sum()


def _chances(heard: np.ndarray, shares: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights (n_scenes,) that sum to 1, at which each combination that there is has its share."""
    found = np.bincount(heard, weight, minlength=len(shares))
    chances = weight * (shares / np.where(found > 0, found, 1))[heard]
    return chances / chances.sum()


def resample_by_weight(weight: np.ndarray, fold: np.ndarray, stratum: np.ndarray, seed: int) -> np.ndarray:
    """As many rows of each fold as it has, drawn by weight: what counts little is rarely there.

    In its fold a row comes as often as its weight asks, to the whole number below or above, and so does each stratum.
    By even steps along the weights, from one random start, chance adds little to what is measured on the rows.

    Args:
        weight: (n_scenes,) float64, 0 or more.
        fold: (n_scenes,) int.
        stratum: (n_scenes,) of anything that can be sorted.

    Returns:
        (n_scenes,) int row numbers.

    Source: systematic resampling, Kitagawa, "Monte Carlo filter and smoother", Journal of Computational and Graphical
    Statistics 5, 1996.
    """
    rng = generator(Stream.SCENES_BY_WEIGHT, seed)
    parts = []
    for index in np.unique(fold):
        rows = np.flatnonzero(fold == index)
        rows = rows[np.argsort(stratum[rows], kind="stable")]
        ends = np.cumsum(weight[rows])
        steps = (rng.random() + np.arange(len(rows))) / len(rows)
        parts.append(rows[np.searchsorted(ends / ends[-1], steps)])
    return np.concatenate(parts)
