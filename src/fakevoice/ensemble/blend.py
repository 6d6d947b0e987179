"""Blends networks and stacker into one calibrated probability of each output.

The blend is a model of what is heard as a whole: nothing, a fake voice, a real one, both. Outputs are sums over
that, so that they fit together. Every number that is printed comes from cross-fitting: the blend that scores fold k
was fitted on the other folds. The one that scores new clips is fitted on all folds.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.progress import track
from fakevoice.core.tasks import condition_columns, normalise, rows_by_output
from fakevoice.data.leakage import hide_labels, refuse_hidden_labels

EXACT_LOG_ODDS, MAX_LOG_ODDS = 10.0, 14.0  # log-odds between the two are compressed: no two of them become equal
SMALLEST_DEVIATION, MAX_ITERATIONS = 1e-6, 1000
LEAST_PROBABILITY = 1e-9
STACK = "stack"  # the stacker's name among the members, and its stage


@dataclass(frozen=True)
class Blend:
    """What turns the members' logits into probabilities; plain values, so that it is saved as JSON.

    Attributes:
        members: names, in the order of their logits.
        combinations: of labels that occur together, n_outputs of 0 and 1 each.
        weights, intercepts: per combination, of all members' logits, member by member.
        calibrator: plug-in name; `parameters` holds its fitted values, one entry per output.
        simulated, shares: of each combination, among the scenes and as it is expected, which the intercepts allow for.
        prior: share of each output that is expected, predicted for clips that cannot be read.
        conditions: for each output the column of the one that it depends on, -1 if there is none; its probability is
            conditional on that one.
        pooling: how the windows of a file are pooled, per output (`pooling.POOLINGS`); empty if files are clips.
    """

    members: list[str]
    combinations: list[list[int]]
    weights: list[list[float]]
    intercepts: list[float]
    calibrator: str
    parameters: list[dict[str, Any]]
    simulated: list[float]
    shares: list[float]
    prior: list[float]
    conditions: list[int]
    pooling: list[str]
    task: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Blend":
        """The reverse of `to_dict`.

        Raises:
            ArtifactError: keys missing or unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ArtifactError(f"the saved ensemble does not fit this version: {error}; ./run.sh ensemble") from error

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities.

        Args:
            logits: (n_clips, n_members, n_outputs).

        Returns:
            (n_clips, n_outputs) float64.
        """
        return self._calibrated(self._scores(logits), np.array(self.combinations))

    def combination_probability(self, logits: np.ndarray, combinations: np.ndarray) -> np.ndarray:
        """Probability of each of `combinations` (n_combinations, n_outputs), before any calibrator.

        Returns:
            (n_clips, n_combinations) float64, rows that sum to 1; next to 0 for one that the blend does not know.
        """
        said = np.full((len(logits), len(combinations)), LEAST_PROBABILITY)
        place = {tuple(labels): index for index, labels in enumerate(combinations.tolist())}
        known = np.exp(log_softmax(self._scores(logits), axis=1))
        said[:, [place[tuple(labels)] for labels in self.combinations]] = known + LEAST_PROBABILITY
        return said / said.sum(axis=1, keepdims=True)

    def probability_of_outputs(self, joint: np.ndarray, combinations: np.ndarray) -> np.ndarray:
        """As `probability`, from what `combination_probability` says or what was made of it: (n_clips, n_outputs)."""
        return self._calibrated(np.log(joint), combinations)

    def at_shares(self, shares: np.ndarray) -> "Blend":
        """The same ensemble where each combination (n_combinations,) is as frequent as `shares` says."""
        intercepts = np.array(self.intercepts) + np.log(shares) - np.log(self.shares)
        prior = _prior(shares, np.array(self.combinations), self.conditions)
        return replace(self, intercepts=intercepts.tolist(), shares=shares.tolist(), prior=prior.tolist())

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        """(n_clips, n_combinations), log-probabilities up to a constant of each clip."""
        return logits.reshape(len(logits), -1) @ np.array(self.weights).T + np.array(self.intercepts)

    def _calibrated(self, scores: np.ndarray, combinations: np.ndarray) -> np.ndarray:
        """(n_clips, n_outputs) from log-probabilities of combinations, up to a constant of each clip."""
        blended = _log_odds(scores, combinations.astype(bool), self.conditions)
        apply = plugins.load("calibrators", self.calibrator).apply
        columns = [apply(parameters, blended[:, i]) for i, parameters in enumerate(self.parameters)]
        return normalise(np.stack(columns, axis=1), self.task)


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Clips, and for each fold the blend that was fitted without it.

    Attributes:
        blends: by fold.
        logits: (n_clips, n_members, n_outputs) out-of-fold.
        target: (n_clips, n_outputs) of 0 and 1.
        fold: (n_clips,) int.
    """

    blends: dict[int, Blend]
    logits: np.ndarray
    target: np.ndarray
    fold: np.ndarray

    def probability(self) -> np.ndarray:
        """(n_clips, n_outputs) float64, each clip's by the blend that was fitted without its fold."""
        return self._answers(Blend.probability)

    def combination_probability(self, combinations: np.ndarray) -> np.ndarray:
        """As `Blend.combination_probability`, in the same way: (n_clips, n_combinations) float64."""
        return self._answers(lambda blend, logits: blend.combination_probability(logits, combinations))

    def _answers(self, ask: Callable[[Blend, np.ndarray], np.ndarray]) -> np.ndarray:
        places = [np.flatnonzero(self.fold == index) for index in self.blends]
        parts = [
            ask(blend, self.logits[held_out]) for blend, held_out in zip(self.blends.values(), places, strict=True)
        ]
        return np.concatenate(parts)[np.argsort(np.concatenate(places))]


def fit_blend(logits: np.ndarray, target: np.ndarray, members: list[str], config: Config) -> Blend:
    """Multinomial logistic regression of the combination of labels on all members' logits, then the calibrator.

    A combination's score is first of all what each member says of its labels, times one weight of the member's own;
    what any other logit adds to that, and its intercept, is penalised, so that few clips of many classes do not fit
    noise.

    Source: stacking, Wolpert 1992; the regression as a calibrator of several classes at once: Kull et al.,
    "Beyond temperature scaling", 2019, section 3 (matrix scaling with a penalty on what is off the diagonal).

    Args:
        logits: (n_clips, n_members, n_outputs) out-of-fold.
        target: (n_clips, n_outputs) of 0 and 1.
    """
    refuse_hidden_labels(target, "the ensemble")
    combinations, heard = np.unique(target.astype(int), axis=0, return_inverse=True)
    weights, intercepts = _regress(logits, combinations, heard.ravel(), config.ensemble.penalty)
    conditions = condition_columns(config)
    scores = logits.reshape(len(logits), -1) @ weights.T + intercepts
    log_odds = _log_odds(scores, combinations.astype(bool), conditions)
    rows = rows_by_output(target, config)
    fit = plugins.load("calibrators", config.ensemble.calibrator).fit
    shares = np.bincount(heard.ravel(), minlength=len(combinations)) / len(target)
    return Blend(
        members=members,
        combinations=combinations.tolist(),
        weights=weights.tolist(),
        intercepts=intercepts.tolist(),
        calibrator=config.ensemble.calibrator,
        parameters=[fit(log_odds[rows[:, i], i], target[rows[:, i], i]) for i in range(target.shape[1])],
        simulated=shares.tolist(),
        shares=shares.tolist(),
        prior=_prior(shares, combinations, conditions).tolist(),
        conditions=conditions,
        pooling=[],
        task=config.task,
    )


def _regress(
    logits: np.ndarray, combinations: np.ndarray, heard: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n_combinations, n_members * n_outputs) and intercepts of the softmax over combinations.

    Args:
        logits: (n_clips, n_members, n_outputs).
        combinations: (n_combinations, n_outputs) of 0 and 1.
        heard: (n_clips,) int, which of them.
        penalty: L2, of the intercepts, and of what is added to the members' own weights in units of the logits'
            deviation.
    """
    n_combinations, n_members = len(combinations), logits.shape[1]
    x = logits.reshape(len(logits), -1)
    centre, deviation = x.mean(axis=0), np.maximum(x.std(axis=0), SMALLEST_DEVIATION)
    x = (x - centre) / deviation
    said = logits @ combinations.T  # (n_clips, n_members, n_combinations): log-odds of its labels, up to a constant
    truth = np.eye(n_combinations)[heard]
    ends = np.cumsum([n_members, n_combinations])

    def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        own, intercepts, added = np.split(values, ends)
        added = added.reshape(n_combinations, -1)
        scores = log_softmax(np.einsum("m,nmc->nc", own, said) + intercepts + x @ added.T, axis=1)
        error = np.exp(scores) - truth
        gradient = [np.einsum("nc,nmc->m", error, said), error.sum(axis=0) + penalty * intercepts]
        gradient.append(error.T @ x + penalty * added)
        loss = penalty / 2 * (np.sum(added**2) + np.sum(intercepts**2)) - np.sum(scores * truth)
        return loss / len(x), np.concatenate([part.ravel() for part in gradient]) / len(x)

    start = np.concatenate([np.full(n_members, 1 / n_members), np.zeros(n_combinations * (1 + x.shape[1]))])
    bounds = [(0, None)] * n_members + [(None, None)] * (len(start) - n_members)  # no member is taken for a liar
    solver = {"maxiter": MAX_ITERATIONS, "ftol": 1e-12, "gtol": 1e-7}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=solver).x
    own, intercepts, added = np.split(found, ends)
    added = added.reshape(n_combinations, -1) / deviation
    weights = (own[:, None] * combinations[:, None]).reshape(n_combinations, -1) + added
    return weights, intercepts - added @ centre


def _prior(shares: np.ndarray, combinations: np.ndarray, conditions: list[int]) -> np.ndarray:
    """Share of each output (n_outputs,), among the clips where the output that it depends on is 1.

    Args:
        shares: (n_combinations,) that sum to 1.
        combinations: (n_combinations, n_outputs) of 0 and 1.
    """
    possible = possible_combinations(combinations, conditions)
    return shares @ combinations / np.maximum(shares @ possible, LEAST_PROBABILITY)


def possible_combinations(holds: np.ndarray, conditions: list[int]) -> np.ndarray:
    """In which combinations the output that each output depends on is 1: (n_combinations, n_outputs) bool."""
    columns = [np.ones(len(holds), bool) if c < 0 else holds[:, c].astype(bool) for c in conditions]
    return np.stack(columns, axis=1)


def _log_odds(scores: np.ndarray, holds: np.ndarray, conditions: list[int]) -> np.ndarray:
    """Log-odds of each output: the combinations that hold it against the others in which it can occur.

    Args:
        scores: (n_clips, n_combinations), logarithms of probabilities up to a constant of each clip.
        holds: (n_combinations, n_outputs) bool.

    Returns:
        (n_clips, n_outputs) float64 within ±MAX_LOG_ODDS, at the limit where one side has no combination, and 0 where
        the output cannot occur.
    """
    columns = []
    for held, possible in zip(holds.T, possible_combinations(holds, conditions).T, strict=True):
        if not possible.any():
            columns.append(np.zeros(len(scores)))
            continue
        with_it = np.logaddexp.reduce(scores[:, held & possible], axis=1, initial=-np.inf)
        without = np.logaddexp.reduce(scores[:, ~held & possible], axis=1, initial=-np.inf)
        columns.append(with_it - without)
    return _compressed(np.stack(columns, axis=1))


def _compressed(log_odds: np.ndarray) -> np.ndarray:
    """Bring log-odds into ±MAX_LOG_ODDS in their order; those within ±EXACT_LOG_ODDS stay as they are."""
    room = MAX_LOG_ODDS - EXACT_LOG_ODDS
    size = np.abs(log_odds)
    beyond = np.maximum(size - EXACT_LOG_ODDS, 0.0)
    return np.sign(log_odds) * (np.minimum(size, EXACT_LOG_ODDS) + room - room**2 / (beyond + room))


def cross_fit(
    logits: np.ndarray,
    target: np.ndarray,
    fold: np.ndarray,
    members: list[str],
    config: Config,
    rows: np.ndarray | None = None,
) -> CrossFitted:
    """Fit one blend per fold, on the clips of all other folds.

    Args:
        logits, target: as of `fit_blend`.
        fold: (n_clips,) int.
        rows: (n_fitted,) int, what blends are fitted on, some rows more than once, others never; all once if None.
    """
    rows, folds, blends = np.arange(len(target)) if rows is None else rows, np.unique(fold), {}
    for index in track(folds, len(folds), f"ensemble: {' + '.join(members)}", "folds"):
        others = rows[fold[rows] != index]
        blends[int(index)] = fit_blend(logits[others], hide_labels(target, fold == index)[others], members, config)
    return CrossFitted(blends, logits, target, fold)
