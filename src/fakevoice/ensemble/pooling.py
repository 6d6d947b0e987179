"""Pools the windows of a file into one answer for each output; how is chosen on simulated files, out of fold."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, logit, softmax

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.tasks import condition_columns
from fakevoice.ensemble.calibration import PROBABILITY_FLOOR

TOP_SHARE = 0.25  # of the windows, whose mean is `top_k`; a share, so that it does not grow with the length of a file
Pooling = Callable[[np.ndarray, np.ndarray], float]


def _top_k(log_odds: np.ndarray, attention: np.ndarray) -> float:
    k = int(np.ceil(TOP_SHARE * len(log_odds)))
    return float(np.sort(log_odds)[-k:].mean())


POOLINGS: dict[str, Pooling] = {  # log-odds (n_windows,) of an output and of what it depends on → log-odds of the file
    "mean": lambda log_odds, attention: float(log_odds.mean()),
    "max": lambda log_odds, attention: float(log_odds.max()),
    "top_k": _top_k,
    "attention": lambda log_odds, attention: float(softmax(attention) @ log_odds),
}


def pool(probability: np.ndarray, pooling: Sequence[str], conditions: Sequence[int]) -> np.ndarray:
    """One probability per output from those of all windows of a file.

    Log-odds are pooled: ``mean``, ``max``, ``top_k`` (mean of the highest quarter, at least one) or ``attention``
    (mean with weights from a softmax over the windows). The weights of an output that depends on another one are by
    the log-odds of that one, so that windows with a voice decide whether it is fake; others are weighted by their own.

    Args:
        probability: (n_windows, n_outputs), one window or more.
        pooling: a key of `POOLINGS` per output.
        conditions: of `tasks.condition_columns`.

    Returns:
        (n_outputs,) float64.

    Source: Wang, Li & Metze, "A comparison of five multiple instance learning pooling functions for sound event
    detection with weak labeling", ICASSP 2019.
    """
    log_odds = logit(np.clip(probability, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR))
    values = []
    for output, (name, condition) in enumerate(zip(pooling, conditions, strict=True)):
        attention = log_odds[:, condition if condition >= 0 else output]
        values.append(POOLINGS[name](log_odds[:, output], attention))
    return expit(np.array(values))


def choose_pooling(windows: Sequence[np.ndarray], label: np.ndarray, config: Config) -> list[str]:
    """The pooling of each output that gives the best metric, the others being pooled by the first of the config.

    Args:
        windows: per file the probabilities (n_windows, n_outputs), of models that did not see the file's fold.
        label: (n_files, n_outputs) of 0 and 1.

    Returns:
        A name per output; the first of `files.pooling` where the metric has no value.
    """
    metric = plugins.load("metrics", config.metric)
    conditions, n_outputs = condition_columns(config), label.shape[1]
    pooled = {}
    for name in config.files.pooling:
        pooled[name] = np.stack([pool(probability, [name] * n_outputs, conditions) for probability in windows])
    first = config.files.pooling[0]
    chosen = []
    for output in range(n_outputs):
        scores = {}
        for name, answers in pooled.items():
            probability = pooled[first].copy()
            probability[:, output] = answers[:, output]
            score = metric.measure(label, probability)
            scores[name] = score if metric.GREATER_IS_BETTER else -score
        best = max(scores, key=lambda name: np.nan_to_num(scores[name], nan=-np.inf))
        chosen.append(best)
    return chosen


def cross_fitted_files(
    windows: Sequence[np.ndarray], label: np.ndarray, fold: np.ndarray, config: Config
) -> np.ndarray:
    """Probabilities (n_files, n_outputs) of files, each pooled as is best on the files of the other folds.

    Args:
        windows, label: as in `choose_pooling`.
        fold: (n_files,) int.
    """
    conditions, probability = condition_columns(config), np.zeros(label.shape)
    for index in np.unique(fold):
        others = np.flatnonzero(fold != index)
        pooling = choose_pooling([windows[row] for row in others], label[others], config)
        for row in np.flatnonzero(fold == index):
            probability[row] = pool(windows[row], pooling, conditions)
    return probability
