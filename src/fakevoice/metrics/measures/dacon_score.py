"""The score of DACON 236253: ranking, sharpness and calibration in one number, lower is better."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd

from fakevoice.core import plugins
from fakevoice.core.errors import FakevoiceError
from fakevoice.metrics.checks import checked

GREATER_IS_BETTER = False
COLUMNS = ("auc", "brier", "ece", "eer")


@cache
def _measures() -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    return {
        "auc": plugins.load("metrics", "auc").measure,
        "brier": plugins.load("metrics", "brier").measure,
        "ece": plugins.load("metrics", "ece").measure,
        "eer": plugins.load("metrics", "eer").measure,
    }


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """0.5·(1 - mean AUC) + 0.25·mean Brier + 0.25·mean ECE over the outputs.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].

    Returns:
        In [0, 1]; 0.3125 for a constant 0.5 at equal shares, nan as soon as one output has a single class.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses.

    Source: the competition's rules, https://dacon.io/competitions/official/236253.
    """
    auc, brier, ece = (_measures()[name](label, probability) for name in ("auc", "brier", "ece"))
    return 0.5 * (1 - auc) + 0.25 * brier + 0.25 * ece


def parts(label: np.ndarray, probability: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """What the score is made of, output by output.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 and 1.
        probability: the same shape, in [0, 1].
        names: of the outputs, in order.

    Returns:
        One row per name and a last one ``mean``; columns auc, brier, ece, eer and score. The mean of
        the scores is the score of all outputs. A nan stays one in the mean.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses, or another number of names than of outputs.
    """
    label, probability = checked(label, probability)
    if len(names) != label.shape[1]:
        raise FakevoiceError(f"{len(names)} names ({', '.join(names)}) for {label.shape[1]} outputs")
    columns = [(label[:, index], probability[:, index]) for index in range(len(names))]
    table = pd.DataFrame({c: [_measures()[c](*column) for column in columns] for c in COLUMNS}, index=list(names))
    table["score"] = [measure(*column) for column in columns]
    table.loc["mean"] = table.mean(skipna=False)
    return table
