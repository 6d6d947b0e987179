"""The score to expect: tests as they may come, replayed from the count of the unlabeled clips to the score.

How real the voices of a test sound as a whole is not known beforehand, nor how often each class is heard, and a count
in unlabeled clips takes the one for the other. Both are drawn together in folds that no model saw, and of all replays
those tell whose count came out most like the one at hand.
"""

from dataclasses import dataclass

import numpy as np

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.progress import track
from fakevoice.ensemble.blend import CrossFitted
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import adjust, draw_tests, estimate_shares

N_REPLAYS = 4  # for each whose count is like the one at hand


@dataclass(frozen=True, eq=False)
class Replays:
    """What came of tests.

    Attributes:
        scores: (n_tests,) float64, the metric; nan where it has no value.
        counts: (n_tests, n_combinations) float64, shares as counted in each test's unlabeled clips.
        errors: the same shape, as counted less what was there.
    """

    scores: np.ndarray
    counts: np.ndarray
    errors: np.ndarray

    def like(self, count: np.ndarray) -> "Replays":
        """One in N_REPLAYS of the tests: those whose counts came out most like this one, (n_combinations,).

        Source: approximate Bayesian computation by rejection, Beaumont, Zhang & Balding, "Approximate Bayesian
        computation in population genetics", Genetics 162, 2002.
        """
        distance = np.square(self.counts - count).sum(axis=1)
        nearest = np.argsort(distance, kind="stable")[: max(len(distance) // N_REPLAYS, 1)]
        return Replays(self.scores[nearest], self.counts[nearest], self.errors[nearest])

    def summary(self) -> tuple[float, float, float]:
        """Mean of the scores, and the ends of the interval that holds 95 % of them."""
        low, high = np.nanquantile(self.scores, [0.025, 0.975])
        return float(np.nanmean(self.scores)), float(low), float(high)


def replay_tests(
    scenes: CrossFitted,
    groups: np.ndarray,
    rows: np.ndarray,
    shares: Shares,
    n_test: int,
    config: Config,
) -> Replays:
    """Draw tests from one fold each, count in their unlabeled clips, adjust the rest and score it.

    Args:
        groups: (n_scenes,) what errs together.
        rows: (n_drawn,) int, the scenes of which tests are drawn, some more than once, others never.
        shares: counted in unlabeled clips; each test has as many of them.
        n_test: clips of a test that are scored.

    Returns:
        N_REPLAYS times as many tests as `n_bootstrap` asks for.
    """
    measure = plugins.load("metrics", config.metric).measure
    target, fold, combinations = scenes.target[rows], scenes.fold[rows], shares.combinations
    joint = scenes.combination_probability(combinations)[rows]
    heard, n_draws = shares.heard(target), N_REPLAYS * config.ensemble.n_bootstrap
    tests = draw_tests(heard, fold, groups[rows], shares.simulated, shares.n_counted + n_test, n_draws, config.seed)
    scores, counts, errors = [], [], []
    for drawn in track(tests, n_draws, "the score to expect", "tests"):
        unlabeled, test = np.split(drawn, [shares.n_counted])
        blend = scenes.blends[int(fold[drawn[0]])]
        count = estimate_shares(joint[unlabeled], shares.simulated)
        there = np.bincount(heard[unlabeled], minlength=len(count)) / len(unlabeled)
        adjusted = adjust(joint[test], count, shares.simulated)
        scores.append(measure(target[test], blend.probability_of_outputs(adjusted, combinations)))
        counts.append(count)
        errors.append(count - there)
    return Replays(np.array(scores), np.array(counts), np.array(errors))
