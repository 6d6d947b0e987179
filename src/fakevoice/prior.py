"""How often each class is heard in the unlabeled clips, and what that changes in the probabilities.

Scenes are drawn with states as frequent as the config says; nobody knows how frequent they are in the
test. The unlabeled clips come from the test's environment, so the calibrated ensemble can count.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit

N_ITERATIONS = 500
TOLERANCE = 1e-7
LEAST = 0.02  # no class is ever held to be rarer, or more certain, than this
N_COUNTS = 8  # draws from each fold


def estimate_shares(probability: np.ndarray, simulated: np.ndarray, pseudo_share: float) -> np.ndarray:
    """Shares of each output by expectation maximisation, drawn towards the simulated ones.

    Source: Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14, 2002; the pseudo-counts make it a maximum a posteriori estimate.

    Args:
        probability: (n_clips, n_outputs), calibrated at the simulated shares.
        simulated: (n_outputs,) shares among the scenes.
        pseudo_share: weight of the simulated shares, as a fraction of the number of clips.

    Returns:
        (n_outputs,) float64.
    """
    shares = simulated.astype(np.float64)
    for _ in range(N_ITERATIONS):
        counted = adjust(probability, log_odds_shift(shares, simulated)).mean(axis=0)
        updated = np.clip((counted + pseudo_share * simulated) / (1 + pseudo_share), LEAST, 1 - LEAST)
        if np.abs(updated - shares).max() < TOLERANCE:
            break
        shares = updated
    return shares


def share_error(
    probability: np.ndarray, target: np.ndarray, fold: np.ndarray, n_clips: int, pseudo_share: float, seed: int
) -> np.ndarray:
    """How far off `estimate_shares` is on clips that sound unlike all that was learned from.

    Voices of a fold held back may all seem more real than they are; the estimate takes that for more real voices.

    Args:
        probability: (n_scenes, n_outputs), each by a blend that was fitted without its fold.
        target: (n_scenes, n_outputs) of 0 and 1.
        fold: (n_scenes,) int.
        n_clips: how many are counted at a time.
        pseudo_share: as in `estimate_shares`.

    Returns:
        (n_outputs,) float64, root mean square over draws from each fold.
    """
    rng, simulated, errors = np.random.default_rng([seed, 10]), target.mean(axis=0), []
    for index in np.repeat(np.unique(fold), N_COUNTS):
        rows = rng.choice(np.flatnonzero(fold == index), n_clips)
        errors.append(estimate_shares(probability[rows], simulated, pseudo_share) - target[rows].mean(axis=0))
    return np.sqrt(np.square(errors).mean(axis=0))


def log_odds_shift(shares: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """What to add to the log-odds of each output when its share is another one than in training."""
    return logit(np.clip(shares, LEAST, 1 - LEAST)) - logit(np.clip(simulated, LEAST, 1 - LEAST))


def adjust(probability: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Probabilities (n_clips, n_outputs) after a shift of their log-odds."""
    return expit(logit(probability) + shift)


def resample_to_shares(target: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Rows drawn so that each output is as frequent as `shares` says, by raking over the label combinations.

    Args:
        target: (n_scenes, n_outputs) of 0 and 1.

    Returns:
        (n_scenes,) int row numbers.
    """
    chances = _raked(target, shares, np.ones(len(target)))
    return np.random.default_rng([seed, 5]).choice(len(target), len(target), p=chances)


def draw_tests(
    target: np.ndarray,
    groups: np.ndarray,
    shares: np.ndarray,
    error: np.ndarray,
    n_clips: int,
    n_draws: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Tests as they may come: other voices, and shares as far from those that were counted as counts are off.

    Voices are drawn by the Bayesian bootstrap of their groups (Rubin, "The Bayesian bootstrap", 1981).

    Args:
        target: (n_scenes, n_outputs) of 0 and 1.
        groups: (n_scenes,) what errs together.
        shares, error: (n_outputs,) mean and deviation of the shares.
        n_clips: how many clips a test has.

    Yields:
        (n_clips,) int row numbers.
    """
    rng, (names, group) = np.random.default_rng([seed, 11]), np.unique(groups, return_inverse=True)
    for _ in range(n_draws):
        weight = rng.exponential(size=len(names))[group]
        drawn = np.clip(rng.normal(shares, error), LEAST, 1 - LEAST)
        yield rng.choice(len(target), n_clips, p=_raked(target, drawn, weight))


def _raked(target: np.ndarray, shares: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights (n_scenes,) that sum to 1, at which each output is as frequent as asked for, others being kept.

    Source: Deming & Stephan, Annals of Mathematical Statistics 11, 1940.
    """
    combinations, which = np.unique(target.astype(bool), axis=0, return_inverse=True)
    found = np.bincount(which.ravel(), weight)
    raked = found / found.sum()
    for _ in range(100):
        for output, share in zip(combinations.T, shares, strict=True):
            if output.any() and not output.all():
                raked[output] *= share / raked[output].sum()
                raked[~output] *= (1 - share) / raked[~output].sum()
    chances = weight * (raked / found)[which.ravel()]
    return chances / chances.sum()


def resample_by_weight(weight: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """As many rows of each fold as it has, drawn by weight: what counts little is rarely there.

    Args:
        weight: (n_scenes,) float64, 0 or more.
        fold: (n_scenes,) int.

    Returns:
        (n_scenes,) int row numbers.
    """
    rng, parts = np.random.default_rng([seed, 9]), []
    for index in np.unique(fold):
        rows = np.flatnonzero(fold == index)
        parts.append(rng.choice(rows, len(rows), p=weight[rows] / weight[rows].sum()))
    return np.concatenate(parts)
