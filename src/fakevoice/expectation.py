"""The score to expect: tests as they may come, replayed from the count of the unlabeled clips to the score.

How real the voices of a test sound as a whole is not known beforehand, nor how often each class is heard, and a count
in unlabeled clips takes the one for the other. Both are drawn together in folds that no model saw, and of all replays
those tell whose count came out most like the one at hand.
"""

from dataclasses import dataclass

import numpy as np

from fakevoice import lookup
from fakevoice.config import Config
from fakevoice.prior import adjust, draw_tests, estimate_shares
from fakevoice.progress import track
from fakevoice.shares import Shares

N_REPLAYS = 4  # for each that is kept


@dataclass(frozen=True, eq=False)
class Replays:
    """Tests whose count came out most like that of the unlabeled clips.

    Attributes:
        scores: (n_tests,) float64, the metric; nan where it has no value.
        errors: (n_tests, n_combinations) float64, shares as counted less what was there.
    """

    scores: np.ndarray
    errors: np.ndarray


def replay_tests(
    joint: np.ndarray,
    target: np.ndarray,
    fold: np.ndarray,
    groups: np.ndarray,
    shares: Shares,
    n_test: int,
    config: Config,
) -> Replays:
    """Count, adjust and score in tests drawn from one fold each, and keep those with the count of the unlabeled clips.

    Args:
        joint: (n_scenes, n_combinations) probabilities at the simulated shares, each by a blend fitted without its
            fold.
        target: (n_scenes, n_outputs) of 0 and 1.
        fold, groups: (n_scenes,), as for `draw_tests`.
        shares: counted in unlabeled clips.
        n_test: clips of a test that are scored, beside as many to count in as there are unlabeled ones.

    Returns:
        As many tests as `n_bootstrap` asks for.

    Source: approximate Bayesian computation by rejection, Beaumont, Zhang & Balding, "Approximate Bayesian computation
    in population genetics", Genetics 162, 2002.
    """
    measure, weight = lookup.load("metrics", config.metric).measure, config.ensemble.pseudo_share
    n_kept, n_clips, heard = config.ensemble.n_bootstrap, shares.n_counted + n_test, shares.heard(target)
    scores, counts, errors = [], [], []
    tests = draw_tests(heard, fold, groups, shares.simulated, n_clips, N_REPLAYS * n_kept, config.seed)
    for rows in track(tests, N_REPLAYS * n_kept, "the score to expect", "tests"):
        unlabeled, test = np.split(rows, [shares.n_counted])
        count = estimate_shares(joint[unlabeled], shares.simulated, weight)
        there = np.bincount(heard[unlabeled], minlength=len(count)) / len(unlabeled)
        probability = adjust(joint[test], count, shares.simulated) @ shares.combinations
        scores.append(measure(target[test], probability))
        counts.append(count)
        errors.append(count - there)
    nearest = np.argsort(np.square(np.array(counts) - shares.expected).sum(axis=1), kind="stable")[:n_kept]
    return Replays(np.array(scores)[nearest], np.array(errors)[nearest])
