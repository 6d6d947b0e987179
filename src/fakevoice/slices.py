"""Scores by slice: where an ensemble is weak, pair by pair and kind by kind, and where it is overconfident."""

import inspect
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from fakevoice import lookup
from fakevoice.config import Config

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
    return facts | {name: _measure(name, label, probability, config) for name in dict.fromkeys((config.metric, *PARTS))}


def _measure(name: str, label: np.ndarray, probability: np.ndarray, config: Config) -> float:
    measure = lookup.load("metrics", name).measure
    # A slice of a multilabel task may hold one label in every row, and would be taken for multiclass.
    takes = "multiclass" in inspect.signature(measure).parameters
    return measure(label, probability, **({"multiclass": config.task == "multiclass"} if takes else {}))


def pair_aucs(state: pd.Series, probability: np.ndarray, outputs: Sequence[str]) -> pd.DataFrame:
    """AUC between two states by the output that should tell them apart: what the score is lost on.

    Args:
        state: (n_clips,) classes heard, joined by ``+``, or ``none``.
        probability: (n_clips, n_outputs).

    Returns:
        output, state (holds the output), against (does not), auc, n (clips of both).
    """
    rows = []
    for place, output in enumerate(outputs):
        holds = {name: output in name.split("+") for name in sorted(state.unique())}
        for positive, negative in product(holds, holds):
            if holds[positive] > holds[negative]:
                pair = state.isin([positive, negative]).to_numpy()
                auc = _auc(state[pair] == positive, probability[pair, place])
                rows.append((output, positive, negative, auc, int(pair.sum())))
    return pd.DataFrame(rows, columns=["output", "state", "against", "auc", "n"])


def voice_aucs(voices: pd.DataFrame, oof: pd.DataFrame, by: str, output: str) -> pd.DataFrame:
    """How well scenes with a voice of `output` of each kind stand out from all scenes without such a voice.

    Args:
        voices: the voice table.
        oof: scene, label_<output>, probability_<output>.
        by: column of `voices`, such as "vocoder" or "group" (of a resynthesised voice: its source's).

    Returns:
        Index: the kinds, "none" where empty. n (scenes), predicted (mean probability), auc; hardest first.
    """
    probability = oof.set_index("scene")[f"probability_{output}"]
    negatives = oof.loc[oof[f"label_{output}"] == 0, f"probability_{output}"]
    rows = {}
    for kind, part in voices[voices["label"] == output].drop_duplicates(["scene", by]).groupby(by):
        positives = probability[part["scene"]]
        auc = _auc([1] * len(positives) + [0] * len(negatives), [*positives, *negatives])
        rows[kind or "none"] = {"n": len(positives), "predicted": positives.mean(), "auc": auc}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["n", "predicted", "auc"])
    return table.rename_axis(by).sort_values("auc")


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


def _auc(is_positive, score) -> float:
    return lookup.load("metrics", "auc").measure(np.asarray(is_positive, int), np.asarray(score, float))
