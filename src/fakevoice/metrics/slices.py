"""Scores by slice: where an ensemble is weak, pair by pair and kind by kind, and where it is overconfident."""

import inspect
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from fakevoice.core import plugins
from fakevoice.core.config import Config

Z_95 = 1.96  # of a normal distribution, within which 95 % lie
PARTS = ("auc", "brier", "ece", "eer", "accuracy", "log_loss")


def label_and_probability(table: pd.DataFrame, outputs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays (n_scenes, n_outputs) float64 of a table with label_<output> and probability_<output>."""
    return tuple(table[[f"{kind}_{name}" for name in outputs]].to_numpy(float) for kind in ("label", "probability"))


def slice_scores(table: pd.DataFrame, by: str, config: Config) -> pd.DataFrame:
    """Metric, its parts, and mean label and probability of each output, slice by slice.

    An ECE of few scenes is biased upwards: compare slices of like size.

    Args:
        table: of `describe_scenes`.
        by: a column of it.

    Returns:
        Index: the slices and a last row "all". n, share_<output>, predicted_<output>, then the metrics;
        nan where a slice has no such number, as an AUC where an output has one class only.
    """
    parts = {value: rows for value, rows in table.groupby(by, observed=True)} | {"all": table}
    scores = pd.DataFrame([_scores(rows, config) for rows in parts.values()])
    return scores.set_index(pd.Index(map(str, parts), name=by))


def _scores(rows: pd.DataFrame, config: Config) -> dict[str, float]:
    label, probability = label_and_probability(rows, config.outputs)
    facts = {"n": len(rows)}
    for kind, means in (("share", label.mean(axis=0)), ("predicted", probability.mean(axis=0))):
        facts |= {f"{kind}_{name}": mean for name, mean in zip(config.outputs, means, strict=True)}
    return facts | measure_all((config.metric, *PARTS), label, probability, config)


def measure_all(
    names: Sequence[str], label: np.ndarray, probability: np.ndarray, config: Config, **args: dict[str, float]
) -> dict[str, float]:
    """Each of some metrics, once.

    Args:
        label, probability: (n_clips, n_outputs).
        args: metric → keyword arguments of it alone.
    """
    return {name: _measure(name, label, probability, config, args.get(name, {})) for name in dict.fromkeys(names)}


def _measure(name: str, label: np.ndarray, probability: np.ndarray, config: Config, args: dict[str, float]) -> float:
    measure = plugins.load("metrics", name).measure
    # A slice of a multilabel task may hold one label in every row, and would be taken for multiclass.
    takes = "multiclass" in inspect.signature(measure).parameters
    return measure(label, probability, **args, **({"multiclass": config.task == "multiclass"} if takes else {}))


def auc_with_interval(
    is_positive: ArrayLike, score: ArrayLike, groups: ArrayLike | None = None
) -> tuple[float, float, float]:
    """AUC and its 95 % interval, in one pass: `bootstrap_interval` would take minutes for hundreds of slices.

    The interval adds up what each group adds to the AUC. It has no width where every clip is on its side, and is too
    narrow for a handful of groups.

    Args:
        is_positive: (n_clips,) of 0 and 1.
        score: (n_clips,) of any scale.
        groups: (n_clips,) what errs together; each clip by itself if None.

    Returns:
        auc, low, high; all nan where there is one class only, low and high where there is one group only.

    Source: DeLong, DeLong & Clarke-Pearson 1988; groups: Obuchowski, "Nonparametric analysis of clustered ROC curve
    data", 1997.
    """
    is_positive, score = np.asarray(is_positive, bool), np.asarray(score, float)
    n_positive, n_negative = is_positive.sum(), (~is_positive).sum()
    if not n_positive or not n_negative:
        return (float("nan"),) * 3
    rank, won = rankdata(score), np.empty(len(score))  # won: share of the other class that a clip is right about
    won[is_positive] = (rank[is_positive] - rankdata(score[is_positive])) / n_negative
    won[~is_positive] = 1 - (rank[~is_positive] - rankdata(score[~is_positive])) / n_positive
    auc = won[is_positive].mean()
    group = np.arange(len(score)) if groups is None else pd.factorize(np.asarray(groups))[0]
    added = np.bincount(group, (won - auc) / np.where(is_positive, n_positive, n_negative))
    if len(added) < 2:
        return float(auc), float("nan"), float("nan")
    spread = Z_95 * np.sqrt(len(added) / (len(added) - 1) * np.square(added).sum())
    return float(auc), float(max(auc - spread, 0.0)), float(min(auc + spread, 1.0))


def slice_aucs(table: pd.DataFrame, by: str, outputs: Sequence[str]) -> pd.DataFrame:
    """AUC of each output within each slice, with its interval by drawing groups.

    Args:
        table: of `describe_scenes`.
        by: a column of it.

    Returns:
        slice, output, n (scenes), auc, low, high; slices in their order, without those where an output has one class.
    """
    rows = []
    for value, part in table.groupby(by, observed=True):
        for name in outputs:
            measured = auc_with_interval(part[f"label_{name}"], part[f"probability_{name}"], part["first_group"])
            rows.append((str(value), name, len(part), *measured))
    columns = ["slice", "output", "n", "auc", "low", "high"]
    return pd.DataFrame(rows, columns=columns).dropna(subset="auc", ignore_index=True)


def pair_aucs(
    state: pd.Series, probability: np.ndarray, outputs: Sequence[str], groups: ArrayLike | None = None
) -> pd.DataFrame:
    """AUC between two states by the output that should tell them apart: what the score is lost on.

    Args:
        state: (n_clips,) classes heard, joined by ``+``, or ``none``.
        probability: (n_clips, n_outputs).
        groups: (n_clips,) what errs together; each clip by itself if None.

    Returns:
        output, state (holds the output), against (does not), auc, low, high (95 % interval), n (clips of both), lost
        (what the pair takes from the output's AUC over all states: they add up to 1 - AUC).
    """
    groups = np.arange(len(state)) if groups is None else np.asarray(groups)
    count, rows = state.value_counts(), []
    for place, output in enumerate(outputs):
        holds = {name: output in name.split("+") for name in sorted(count.index)}
        n_holding = sum(count[name] for name in holds if holds[name])
        n_pairs = n_holding * (len(state) - n_holding)
        for positive, negative in product(holds, holds):
            if holds[positive] > holds[negative]:
                pair = state.isin([positive, negative]).to_numpy()
                measured = auc_with_interval(state[pair] == positive, probability[pair, place], groups[pair])
                lost = (1 - measured[0]) * count[positive] * count[negative] / n_pairs
                rows.append((output, positive, negative, *measured, int(pair.sum()), lost))
    return pd.DataFrame(rows, columns=["output", "state", "against", "auc", "low", "high", "n", "lost"])


def voice_aucs(voices: pd.DataFrame, oof: pd.DataFrame, by: str, output: str) -> pd.DataFrame:
    """How well scenes with a voice of `output` of each kind stand out from all scenes without such a voice.

    Args:
        voices: the voice table.
        oof: scene, label_<output>, probability_<output>.
        by: column of `voices`, such as "vocoder" or "group" (of a resynthesised voice: its source's).

    Returns:
        Index: the kinds, "none" where empty. n (scenes), predicted (mean probability), auc, low and high (95 % interval
        by drawing groups, or scenes where groups are what is compared); hardest first.
    """
    unit = "scene" if by == "group" else "group"
    first = voices.drop_duplicates("scene").set_index("scene", drop=False)[unit]
    table = oof.set_index("scene", drop=False)
    table = table.assign(unit=first.reindex(table.index).fillna(table["scene"]), score=table[f"probability_{output}"])
    negatives, rows = table.loc[table[f"label_{output}"] == 0, ["score", "unit"]], {}
    for kind, part in voices[voices["label"] == output].drop_duplicates(["scene", by]).groupby(by):
        score = table["score"][part["scene"]]
        auc, low, high = auc_with_interval(
            np.repeat([1, 0], [len(score), len(negatives)]),
            np.concatenate([score, negatives["score"]]),
            np.concatenate([part[unit], negatives["unit"]]),
        )
        rows[kind or "none"] = {"n": len(score), "predicted": score.mean(), "auc": auc, "low": low, "high": high}
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["n", "predicted", "auc", "low", "high"])
    return found.rename_axis(by).sort_values("auc")


def reliability(label: np.ndarray, probability: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """What was observed where a probability was predicted, in uniform bins; an edge belongs to the bin above.

    Args:
        label: (n_clips,) of 0 and 1.
        probability: (n_clips,) in [0, 1].

    Returns:
        centre, predicted (mean probability), observed (share of ones), count; nan in empty bins.

    Source: Niculescu-Mizil & Caruana, "Predicting good probabilities with supervised learning", 2005.
    """
    label, probability = np.asarray(label, float), np.asarray(probability, float)
    bins = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    filled = np.where(count, count, np.nan)
    means = {
        name: np.bincount(bins, weights=values, minlength=n_bins) / filled
        for name, values in (("predicted", probability), ("observed", label))
    }
    return pd.DataFrame({"centre": (np.arange(n_bins) + 0.5) / n_bins, **means, "count": count})
