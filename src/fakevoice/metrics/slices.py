"""Scores by slice: where an ensemble is weak, pair by pair and kind by kind, and where it is overconfident."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.tasks import classes_of, condition_columns, condition_of, rows_by_output

Measure = Callable[[np.ndarray, np.ndarray], float]
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
    return {name: measure_for(name, config, **args.get(name, {}))(label, probability) for name in dict.fromkeys(names)}


def measure_for(name: str, config: Config, **args: float) -> Measure:
    """A metric as it applies to the outputs of a config.

    If an output depends on another one (`answers.where`), a metric of single outputs is the mean over the
    outputs, each on the rows that it is scored on; outputs that are scored on no row are left out. A metric that names
    its own `OUTPUTS` gets all columns.

    Args:
        args: keyword arguments of the metric.

    Returns:
        Takes label and probability (n_clips, n_outputs).
    """
    module = plugins.load("metrics", name)
    # A slice of a multilabel task may hold one label in every row, and would be taken for multiclass.
    if "multiclass" in inspect.signature(module.measure).parameters:
        args = args | {"multiclass": config.task == "multiclass"}
    measure = partial(module.measure, **args)
    if hasattr(module, "OUTPUTS") or max(condition_columns(config)) < 0:
        return measure

    def mean_of_outputs(label: np.ndarray, probability: np.ndarray) -> float:
        is_scored = rows_by_output(label, config).any(axis=0)
        values = np.array(list(output_values(measure, label, probability, config).values()))
        return float(values[is_scored].mean())

    return mean_of_outputs


def output_values(measure: Measure, label: np.ndarray, probability: np.ndarray, config: Config) -> dict[str, float]:
    """A metric of each output alone, on the rows that it is scored on; nan where there are none.

    Args:
        label, probability: (n_clips, n_outputs).
    """
    values, rows = {}, rows_by_output(label, config)
    for place, output in enumerate(config.outputs):
        kept = rows[:, place]
        values[output] = measure(label[kept, place], probability[kept, place]) if kept.any() else float("nan")
    return values


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


def slice_aucs(table: pd.DataFrame, by: str, config: Config) -> pd.DataFrame:
    """AUC of each output within each slice, with its interval by drawing groups.

    Args:
        table: of `describe_scenes`.
        by: a column of it.

    Returns:
        slice, output, n (scenes), auc, low, high; slices in their order, without those where an output has one class.
    """
    rows = []
    for value, part in table.groupby(by, observed=True):
        for name in config.outputs:
            scored = rows_of_output(part, name, config)
            measured = auc_with_interval(scored[f"label_{name}"], scored[f"probability_{name}"], scored["first_group"])
            rows.append((str(value), name, len(scored), *measured))
    columns = ["slice", "output", "n", "auc", "low", "high"]
    return pd.DataFrame(rows, columns=columns).dropna(subset="auc", ignore_index=True)


def rows_of_output(table: pd.DataFrame, output: str, config: Config) -> pd.DataFrame:
    """The rows of a table with label_<output> that an output is scored on."""
    where = condition_of(output, config)
    return table[table[f"label_{where}"] == 1] if where else table


def pair_aucs(
    state: pd.Series,
    probability: np.ndarray,
    sides: Mapping[str, Mapping[str, bool]],
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """AUC between two states by the output that should tell them apart: what the score is lost on.

    Args:
        state: (n_clips,) classes heard, joined by ``+``, or ``none``.
        probability: (n_clips, n_outputs).
        sides: of `tasks.sides_of_states`, the outputs in the order of the columns.
        groups: (n_clips,) what errs together; each clip by itself if None.

    Returns:
        output, state (holds the output), against (does not), auc, low, high (95 % interval), n (clips of both), lost
        (what the pair takes from the output's AUC over all states: they add up to 1 - AUC).
    """
    groups = np.arange(len(state)) if groups is None else np.asarray(groups)
    count, rows = state.value_counts(), []
    for place, (output, of_states) in enumerate(sides.items()):
        holds = {name: of_states[name] for name in sorted(count.index) if name in of_states}
        n_holding = sum(count[name] for name in holds if holds[name])
        n_pairs = n_holding * (sum(count[name] for name in holds) - n_holding)
        for positive, negative in product(holds, holds):
            if holds[positive] > holds[negative]:
                pair = state.isin([positive, negative]).to_numpy()
                measured = auc_with_interval(state[pair] == positive, probability[pair, place], groups[pair])
                lost = (1 - measured[0]) * count[positive] * count[negative] / n_pairs
                rows.append((output, positive, negative, *measured, int(pair.sum()), lost))
    return pd.DataFrame(rows, columns=["output", "state", "against", "auc", "low", "high", "n", "lost"])


def voice_aucs(voices: pd.DataFrame, oof: pd.DataFrame, by: str, output: str, config: Config) -> pd.DataFrame:
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
    table = rows_of_output(oof, output, config).set_index("scene", drop=False)
    table = table.assign(unit=first.reindex(table.index).fillna(table["scene"]), score=table[f"probability_{output}"])
    negatives, rows = table.loc[table[f"label_{output}"] == 0, ["score", "unit"]], {}
    heard = voices[voices["label"].isin(classes_of(output, config)) & voices["scene"].isin(table.index)]
    for kind, part in heard.drop_duplicates(["scene", by]).groupby(by):
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
