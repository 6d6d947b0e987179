"""Blends networks and stacker and calibrates the result to the competition's score.

Every number that is printed comes from cross-fitting: weights and calibrators that score fold k were
fitted on the other folds. The ones that score new clips are fitted on all folds.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fakevoice import lookup
from fakevoice.config import Config
from fakevoice.errors import ArtefactError
from fakevoice.prior import adjust, log_odds_shift
from fakevoice.progress import track
from fakevoice.tasks import normalise

N_CANDIDATES = 48
STACK = "stack"  # the stacker's name among the members, and its stage


@dataclass(frozen=True)
class Blend:
    """What turns the members' logits into probabilities; plain values, so that it is saved as JSON.

    Attributes:
        members: names, in the order of the weights.
        weights: sum to 1.
        calibrator: plug-in name; `parameters` holds its fitted values, one entry per output.
        prior: share of each output that is expected, predicted for clips that cannot be read.
        shift: added to the log-odds of each output, where it is not as frequent as in the scenes.
    """

    members: list[str]
    weights: list[float]
    calibrator: str
    parameters: list[dict[str, Any]]
    prior: list[float]
    shift: list[float]
    task: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Blend":
        """The reverse of `to_dict`.

        Raises:
            ArtefactError: keys missing or unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ArtefactError(f"the saved ensemble does not fit this version: {error}; ./run.sh ensemble") from error

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities.

        Args:
            logits: (n_clips, n_members, n_outputs).

        Returns:
            (n_clips, n_outputs) float64.
        """
        blended = np.einsum("cmo,m->co", logits, np.array(self.weights))
        apply = lookup.load("calibrators", self.calibrator).apply
        columns = [apply(parameters, blended[:, i]) for i, parameters in enumerate(self.parameters)]
        return normalise(adjust(np.stack(columns, axis=1), np.array(self.shift)), self.task)

    def at_shares(self, shares: np.ndarray) -> "Blend":
        """The same ensemble where each output is as frequent as `shares` says."""
        shift = log_odds_shift(shares, np.array(self.prior))
        return replace(self, prior=shares.tolist(), shift=shift.tolist())


def fit_blend(logits: np.ndarray, target: np.ndarray, members: list[str], config: Config) -> Blend:
    """Weights by search over the simplex for the best score after calibration, drawn back towards equal ones.

    Args:
        logits: (n_clips, n_members, n_outputs) out-of-fold.
        target: (n_clips, n_outputs) of 0 and 1.
    """
    metric = lookup.load("metrics", config.metric)
    n_members = len(members)
    equal = np.full(n_members, 1.0 / n_members)
    drawn = np.random.default_rng([config.seed, 4]).dirichlet(np.ones(n_members), N_CANDIDATES)
    candidates = [equal, *np.eye(n_members), *drawn] if n_members > 1 else [equal]
    blends = [_calibrated(logits, target, members, weights, config) for weights in candidates]
    scores = [metric.measure(target, blend.probability(logits)) for blend in blends]
    best = candidates[int(np.argmax(scores) if metric.GREATER_IS_BETTER else np.argmin(scores))]
    shrinkage = config.ensemble.shrinkage
    return _calibrated(logits, target, members, (1 - shrinkage) * best + shrinkage * equal, config)


def _calibrated(
    logits: np.ndarray, target: np.ndarray, members: list[str], weights: np.ndarray, config: Config
) -> Blend:
    fit = lookup.load("calibrators", config.ensemble.calibrator).fit
    blended = np.einsum("cmo,m->co", logits, weights)
    parameters = [fit(blended[:, i], target[:, i]) for i in range(target.shape[1])]
    prior, shift = target.mean(axis=0).tolist(), [0.0] * target.shape[1]
    return Blend(members, weights.tolist(), config.ensemble.calibrator, parameters, prior, shift, config.task)


def cross_fit(
    logits: np.ndarray,
    target: np.ndarray,
    fold: np.ndarray,
    members: list[str],
    config: Config,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities of every row from a blend that was fitted without its fold.

    Args:
        rows: (n_fitted,) int, what blends are fitted on, some rows more than once, others never; all once if None.

    Returns:
        (n_clips, n_outputs) float64.
    """
    probability, rows = np.empty(target.shape), np.arange(len(target)) if rows is None else rows
    folds = np.unique(fold)
    for index in track(folds, len(folds), f"ensemble: {' + '.join(members)}", "folds"):
        held_out, others = fold == index, rows[fold[rows] != index]
        blend = fit_blend(logits[others], target[others], members, config)
        probability[held_out] = blend.probability(logits[held_out])
    return probability
