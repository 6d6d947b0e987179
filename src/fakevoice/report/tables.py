"""The numbers of a report as tables: what its pages list and its charts draw, each from a finished run."""

from importlib.metadata import version
from itertools import combinations
from platform import python_version

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import ks_2samp

from fakevoice.analysis.domain_gap import QUANTILES, compare_columns
from fakevoice.analysis.finished_run import Run, worst_scenes
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import Config
from fakevoice.core.random import Stream, generator
from fakevoice.core.tables import read_table
from fakevoice.core.tasks import logit_column, normalise, outputs_of, rows_by_output, sides_of_states
from fakevoice.ensemble.evaluate import scored_rows
from fakevoice.features.extract import POOLED, pooled_names
from fakevoice.features.store import CachedFeature
from fakevoice.metrics.checks import decisions
from fakevoice.metrics.slices import (
    label_and_probability,
    pair_aucs,
    rows_of_output,
    slice_aucs,
    slice_scores,
    voice_aucs,
)
from fakevoice.pipeline.runner import STAGES
from fakevoice.pipeline.submission import LOG_COLUMNS

CONDITIONS = ("snr_band", "overlap_band", "level_band", "codec", "noise_kind", "event_kind", "fold")
FACTS = {
    "level_dbfs": "level (dBFS)",
    "bandwidth_hz": "bandwidth (Hz)",
    "silence_fraction": "silent frames (share)",
    "duration_s": "duration (s)",
    "noise_floor_db": "noise floor (dBFS)",
}
SPLITS = ("train", "unlabeled", "test")
MAX_COMPARED = 3000  # scenes beside which the test's clips are put
MAX_DRIFTED, MAX_PAIRS = 15, 12
MAX_WORST, MAX_WORST_OF_STATE = 8, 2
PACKAGES = ("torch", "lightgbm", "numpy", "scipy", "pandas", "librosa", "soundfile")
ENSEMBLE = "ensemble"


def judged_scenes(run: Run, scenes: pd.DataFrame) -> pd.DataFrame:
    """What the table of members is about, some scenes more than once; see `scored_rows`.

    Args:
        scenes: of `describe_scenes`.
    """
    fold = run.scenes["fold"].to_numpy(np.int64)
    rows = scored_rows(run.scenes, run.voices, fold, run.paths, run.config)
    return scenes.iloc[rows].reset_index(drop=True)


def submission_names(run: Run) -> list[str]:
    """The files that this run would upload: one, or none where there is no test."""
    outputs = read_json(run.paths.stage("submission") / "manifest.json")["outputs"]
    return [name.rpartition("/")[2] for name in outputs]


def history(run: Run) -> pd.DataFrame:
    """Lines of submissions/log.csv that are of this competition, oldest first; columns as `LOG_COLUMNS`."""
    path = run.paths.submissions / "log.csv"
    if not path.is_file():
        return pd.DataFrame(columns=LOG_COLUMNS)
    log = read_table(path, ("file", "config", "experiment")).reindex(columns=LOG_COLUMNS)
    return log[log["file"].str.startswith(f"{run.config.competition}-")].reset_index(drop=True)


def by_fold(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The metric with a row per fold and a column per member, from the table `by_fold` of the results."""
    order = table["member"].drop_duplicates()
    pivot = table.astype({"fold": int}).pivot(index="fold", columns="member", values=metric)[order]
    return pivot.rename_axis(columns=None)


def operating_points(is_positive: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    """Every point of the ROC curve: clips of equal score are accepted together.

    Args:
        is_positive: (n_clips,) of 0 and 1, with both in it.
        score: (n_clips,) of any scale.

    Returns:
        false_alarm_rate and miss_rate, from nothing accepted to all.

    Source: Fawcett, "An introduction to ROC analysis", 2006, section 5 (ties).
    """
    is_positive, score = np.asarray(is_positive, bool), np.asarray(score, float)
    order = np.argsort(-score, kind="stable")
    ends_tie = np.append(np.diff(score[order]) != 0, True)
    hits, alarms = (np.append(0, np.cumsum(side[order])[ends_tie]) for side in (is_positive, ~is_positive))
    return pd.DataFrame({"false_alarm_rate": alarms / alarms[-1], "miss_rate": 1 - hits / hits[-1]})


def curves(scenes: pd.DataFrame, members: list[str], config: Config) -> dict[str, dict[str, pd.DataFrame]]:
    """Operating points by picture and line: of each output every member and the ensemble; of many classes, each class.

    Args:
        scenes: with the columns of `logit_column`, label_<output> and probability_<output>.
        members: without the ensemble.
    """
    rows = {output: rows_of_output(scenes, output, config) for output in config.outputs}
    labels = {output: scored[f"label_{output}"] for output, scored in rows.items()}
    labels = {output: label for output, label in labels.items() if label.nunique() > 1}
    if config.task == "multiclass":
        lines = {name: operating_points(label, scenes[f"probability_{name}"]) for name, label in labels.items()}
        return {"classes": lines}
    found = {}
    for output, label in labels.items():
        index = config.outputs.index(output)
        scores = {member: rows[output][logit_column(member, index)] for member in members}
        scores[ENSEMBLE] = rows[output][f"probability_{output}"]
        found[output] = {name: operating_points(label, score) for name, score in scores.items()}
    return found


def area(points: pd.DataFrame) -> float:
    """AUC of `operating_points`."""
    return float(np.trapezoid(1 - points["miss_rate"], points["false_alarm_rate"]))


def equal_error_rate(points: pd.DataFrame) -> float:
    """Where false alarms of `operating_points` are as frequent as misses, as the metric `eer` has it."""
    return float(np.interp(0.0, points["false_alarm_rate"] - points["miss_rate"], points["false_alarm_rate"]))


def plain_average(scenes: pd.DataFrame, members: list[str], config: Config) -> np.ndarray:
    """Probabilities (n_scenes, n_outputs) before anything is fitted: the mean of the members' logits in a sigmoid."""
    columns = [[logit_column(member, index) for index in range(len(config.outputs))] for member in members]
    logits = [scenes[names].to_numpy() for names in columns]
    return normalise(expit(np.mean(logits, axis=0)), config.task)


def confusion(scenes: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Counts: true states (or classes) as rows, what is told from the probabilities as columns.

    Outputs of at least .5 are told, and of many classes the most probable one alone.
    """
    _, probability = label_and_probability(scenes, config.outputs)
    truths = sorted(set(scenes["state"]), key=lambda name: (name != "none", name.count("+"), name))
    if config.task != "multilabel":
        truths = [name for name in config.classes if name in truths]
    spelled = {frozenset(outputs_of(name, config)): name for name in sorted(truths, key=len, reverse=True)}
    rest = config.classes[1] if config.task == "binary" else "none"
    decided = decisions(probability, config.task == "multiclass")
    decided &= rows_by_output(decided, config)  # an output that depends on another one is not told without it
    heard = [[name for name, is_told in zip(config.outputs, row, strict=True) if is_told] for row in decided]
    told = pd.Series([spelled.get(frozenset(row), "+".join(row)) or rest for row in heard], scenes.index)
    counts = pd.crosstab(scenes["state"], told).reindex(truths)
    return counts.reindex(columns=_answers(spelled, rest, counts.columns, config), fill_value=0)


def _answers(spelled: dict[frozenset, str], rest: str, told: pd.Index, config: Config) -> list[str]:
    """Columns in the order none, each output, more at once; those that could be told though nobody did, too."""
    if config.task != "multilabel":
        return list(dict.fromkeys([*config.outputs, *([rest] if config.task == "binary" else [])]))
    sets = [subset for n in range(1, len(config.outputs) + 1) for subset in combinations(config.outputs, n)]
    names = ["none", *(spelled.get(frozenset(subset), "+".join(subset)) for subset in sets)]
    return [name for name in names if name in set(told) or len(config.outputs) <= 2]


def class_scores(counts: pd.DataFrame) -> pd.DataFrame:
    """Count, recall, precision and F1 of each class, from a confusion with the same classes on both sides."""
    right = pd.Series(np.diag(counts.reindex(columns=counts.index)), counts.index, dtype=float)
    n, told = counts.sum(axis=1), counts.sum().reindex(counts.index)
    table = {"n": n, "recall": right / n, "precision": right / told.where(told > 0), "f1": 2 * right / (n + told)}
    return pd.DataFrame(table).rename_axis("state").reset_index()


def condition_aucs(scenes: pd.DataFrame, config: Config) -> dict[str, pd.DataFrame]:
    """`slice_aucs` by condition, of scenes that hold a voice; without conditions that are the same everywhere.

    A column ``all`` has the AUC over all slices; folds are compared on all scenes, as the metric is.
    """
    found = {}
    for condition in CONDITIONS:
        compared = scenes if condition == "fold" else scenes[scenes["n_voices"] > 0]
        table = slice_aucs(compared, condition, config)
        if table["slice"].nunique() > 1:
            found[condition] = table.assign(all=table["output"].map(_areas(compared, config)))
    return found


def _areas(scenes: pd.DataFrame, config: Config) -> dict[str, float]:
    return {output: area(of[ENSEMBLE]) for output, of in curves(scenes, [], config).items()}


def vocoder_aucs(run: Run) -> dict[str, pd.DataFrame]:
    """The same of each output by what resynthesised its voices, over the scenes as they were simulated."""
    if not run.config.scenes.states:
        return {}
    tables = [
        voice_aucs(run.voices, run.oof, "vocoder", name, run.config).assign(output=name) for name in run.config.outputs
    ]
    table = pd.concat(tables).rename_axis("slice").reset_index().dropna(subset="auc", ignore_index=True)
    table["all"] = table["output"].map(_areas(run.oof, run.config))
    return {"vocoder": table[["slice", "output", "n", "auc", "low", "high", "all"]]} if len(table) else {}


def state_scores(scenes: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Of each state how often an output is true and how probable it is held to be, and the Brier score."""
    table = slice_scores(scenes, "state", config).drop(index="all")
    kept = [f"{kind}_{output}" for output in config.outputs for kind in ("share", "predicted")]
    return table[["n", *kept, "brier"]].reset_index()


def costly_pairs(scenes: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The pairs of states on which the AUC is lost, the costliest first; see `pair_aucs`."""
    _, probability = label_and_probability(scenes, config.outputs)
    sides = sides_of_states(scenes["state"].unique(), config)
    pairs = pair_aucs(scenes["state"], probability, sides, scenes["first_group"])
    return pairs.nlargest(MAX_PAIRS, "lost").reset_index(drop=True)


def worst(scenes: pd.DataFrame) -> pd.DataFrame:
    """The worst of `describe_scenes`, but not many of one state, so that they differ; columns of `worst_scenes`."""
    ordered = worst_scenes(scenes, len(scenes))
    return ordered.groupby("state", sort=False).head(MAX_WORST_OF_STATE).head(MAX_WORST)


def gain_shares(run: Run) -> pd.DataFrame:
    """Share of the stacker's gain by column (index), of each output and their mean, the largest mean first."""
    gain = run.importance.set_index("column")[run.config.outputs]
    shares = gain / gain.sum().where(gain.sum() > 0)
    return shares.fillna(0.0).assign(mean=shares.mean(axis=1)).sort_values("mean", ascending=False, kind="stable")


def families(shares: pd.DataFrame) -> pd.DataFrame:
    """`gain_shares` summed by family: what a column's name begins with, before its first underscore."""
    return shares.groupby(shares.index.str.split("_").str[0]).sum().sort_values("mean", ascending=False, kind="stable")


def known_facts(run: Run) -> dict[str, dict[str, pd.Series]]:
    """The audit's facts by name and split, without those that nobody knows."""
    clips = run.clips[run.clips["error"] == ""]
    facts = {
        name: {s: clips.loc[clips["split"] == s, name].dropna() for s in SPLITS if s in set(clips["split"])}
        for name in FACTS
    }
    return {name: of for name, of in facts.items() if of and all(map(len, of.values()))}


def fact_drift(facts: dict[str, dict[str, pd.Series]]) -> pd.DataFrame:
    """Quantiles of each fact in train and test, and the Kolmogorov-Smirnov distance between them."""
    rows = []
    for name, of in facts.items():
        quantiles = {f"{s}_{q}": of[s].quantile(at) for s in ("train", "test") for q, at in QUANTILES.items()}
        rows.append({"fact": name, "ks": ks_2samp(of["train"], of["test"]).statistic, **quantiles})
    return pd.DataFrame(rows).sort_values("ks", ascending=False, ignore_index=True)


def feature_drift(run: Run) -> pd.DataFrame:
    """Columns of the pooled features by how well each alone tells scenes from test clips.

    Returns:
        column, auc (above .5: higher in the test), ks, then scenes_<quantile> and test_<quantile>; the strongest first.
    """
    folder = run.paths.cache / read_json(run.paths.stage("features") / "features.json")[POOLED]
    chosen = generator(Stream.COMPARED_SCENES, run.config.seed).permutation(len(run.scenes))[:MAX_COMPARED]
    scenes, test = CachedFeature(folder, "scenes").take(np.sort(chosen)), CachedFeature(folder, "test").all()
    names = pooled_names(run.config)
    top = (
        compare_columns(scenes, test, names).head(MAX_DRIFTED).rename(columns=lambda c: c.replace("unlabeled", "test"))
    )
    places = [names.index(column) for column in top.index]
    top.insert(1, "ks", [ks_2samp(scenes[:, place], test[:, place]).statistic for place in places])
    return top.reset_index()


def epochs(run: Run, network: str) -> dict[int, pd.DataFrame]:
    """Fold → what was written after every epoch of it."""
    folder = run.paths.stage("train") / network
    return {fold: read_table(folder / f"fold{fold}" / "epochs.csv") for fold in range(run.config.folds.n_folds)}


def stage_times(run: Run) -> pd.DataFrame:
    """Seconds by stage, as far as manifests have them."""
    seconds = {name: read_json(run.paths.stage(name) / "manifest.json").get("seconds") for name in STAGES}
    return pd.DataFrame([fact for fact in seconds.items() if fact[1] is not None], columns=["stage", "seconds"])


def versions() -> pd.DataFrame:
    """Python and the packages on which results depend, as they are installed here."""
    rows = [("Python", python_version()), *((name, version(name)) for name in PACKAGES)]
    return pd.DataFrame(rows, columns=["package", "version"])
