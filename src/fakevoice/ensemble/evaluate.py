"""Runs the ensemble: the score of each member and of the blend on scenes that none of them saw."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array, write_array, write_json
from fakevoice.core.config import Config
from fakevoice.core.paths import Paths
from fakevoice.core.tables import read_table, write_table
from fakevoice.core.tasks import logit_column, targets
from fakevoice.data.groups import first_group
from fakevoice.data.shortcuts import scene_weights
from fakevoice.ensemble.blend import STACK, Blend, CrossFitted, cross_fit, fit_blend
from fakevoice.ensemble.expected_score import replay_tests
from fakevoice.ensemble.file_scores import FileScores, score_files
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import estimate_shares, resample_by_weight
from fakevoice.ensemble.pooling import pool
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import measure_all, measure_for, output_values


def run_ensemble(config: Config, paths: Paths, scenes: pd.DataFrame, voices: pd.DataFrame) -> list[Path]:
    """Fit the blend, print the table of members, and write everything that predicting and analysing need."""
    folder, members = paths.stage("ensemble"), [*config.networks, STACK]
    target, fold = targets(scenes["state"], config), scenes["fold"].to_numpy(np.int64)
    oof = load_logits(paths, members, "oof", axis=1)  # (n_scenes, n_members, n_outputs)
    rows = scored_rows(scenes, voices, fold, paths, config)
    fitted = cross_fit(oof, target, fold, members, config, rows)
    probability = fitted.probability()
    alone = {m: cross_fit(oof[:, [i]], target, fold, [m], config, rows).probability() for i, m in enumerate(members)}
    table, by_fold = _member_tables(alone | {"ensemble": probability}, target, fold, rows, config)
    simulated = fit_blend(oof[rows], target[rows], members, config)
    shares = _shares(simulated, paths, config)
    blend, groups = simulated.at_shares(shares.expected), first_group(scenes, voices)
    files = score_files(fitted, members, paths, config) if config.files.n_files else None
    if files:
        blend = replace(blend, pooling=files.pooling)
    test = _test_probability(blend, paths, config)
    summary = all_scores(fitted, groups, rows, shares, len(test), config)
    summary["parts"] = _parts(probability[rows], target[rows], groups[rows], config)
    summary |= {"shares": shares.of_outputs(config.outputs).to_dict(), "combinations": shares.to_dict()}
    tables = {"members": table, "by_fold": by_fold}
    tables["oof"] = _oof_table(scenes, target, probability, oof, members, config)
    if files:
        summary |= _file_summary(files, config)
        tables |= {"files": files.table, "by_duration": files.by_duration}
    values = {"ensemble.json": blend.to_dict(), "config.json": config.model_dump(mode="json"), "metrics.json": summary}
    for name, value in values.items():
        write_json(folder / name, value)
    for name, rows_of_table in tables.items():
        write_table(folder / f"{name}.csv", rows_of_table)
    write_array(folder / "test.npy", test)
    _report(table, by_fold, summary, config)
    if files:
        print(
            f"{_pooling_text(files, config)}\n{files.by_duration.to_string(index=False, float_format='{:.4f}'.format)}"
        )
    return [folder / name for name in (*values, *(f"{name}.csv" for name in tables), "test.npy")]


def _file_summary(files: FileScores, config: Config) -> dict:
    """The score of simulated files, which is the score to expect of a test of files, and how windows are pooled."""
    score = {"score": files.score, "low": files.low, "high": files.high}
    named = {f"{condition}_{end}": value for condition in ("files", "expected") for end, value in score.items()}
    return named | {"pooling": dict(zip(config.outputs, files.pooling, strict=True))}


def _pooling_text(files: FileScores, config: Config) -> str:
    chosen = ", ".join(f"{output} {name}" for output, name in zip(config.outputs, files.pooling, strict=True))
    interval = f"95 % interval {files.low:.4f} to {files.high:.4f}"
    return f"{config.metric} {files.score:.4f} ({interval}), on simulated files, out of fold; windows pooled: {chosen}"


def scored_rows(
    scenes: pd.DataFrame, voices: pd.DataFrame, fold: np.ndarray, paths: Paths, config: Config
) -> np.ndarray:
    """What the ensemble is fitted to and judged by: scenes in which how a voice was recorded tells no label.

    Networks may use whatever helps on voices from other sources. How much it helps there is seen on folds that hold
    sources back, and can still be luck: a crowd that recorded all the real voices may have recorded the fakes next.

    Returns:
        (n_scenes,) int row numbers, as many of each fold as it has; some rows more than once, others never.
    """
    if not config.scenes.states:
        return np.arange(len(scenes))
    weights = read_table(paths.stage("scenes") / "weights.csv", ("id",)).set_index("id")
    return resample_by_weight(scene_weights(scenes, voices, weights), fold, scenes["state"].to_numpy(str), config.seed)


def _test_probability(blend: Blend, paths: Paths, config: Config) -> np.ndarray:
    """(n_test, n_outputs) float64; without rows where a competition has nothing to predict."""
    if not (paths.stage(STACK) / "test.npy").is_file():
        return np.empty((0, len(config.outputs)))
    probability = blend.probability(load_logits(paths, blend.members, "test", axis=2).mean(axis=0))  # over fold models
    if not blend.pooling:
        return probability
    windows = read_table(paths.stage("features") / "test_windows.csv", ("id", "path"))
    rows_of_clips = windows.groupby("id").indices
    in_order = windows["id"].drop_duplicates()
    return np.stack([pool(probability[rows_of_clips[clip]], blend.pooling, blend.conditions) for clip in in_order])


def load_logits(paths: Paths, members: list[str], split: str, axis: int) -> np.ndarray:
    """Logits of all members, stacked along `axis`: (n_clips, members, outputs), or with a leading axis of folds."""
    files = [
        paths.stage(STACK) / f"{split}.npy" if m == STACK else paths.stage("train") / f"{split}-{m}.npy"
        for m in members
    ]
    return np.stack([read_array(file) for file in files], axis=axis)


def _shares(blend: Blend, paths: Paths, config: Config) -> Shares:
    """How often each combination is heard: in the scenes, and by what the unlabeled clips show.

    Each fold model's answer is counted by itself: it is for single models that the calibration was fitted.

    Returns:
        What is expected is what is simulated unless scenes were simulated and there are unlabeled clips.
    """
    combinations, simulated = np.array(blend.combinations), np.array(blend.simulated)
    if not config.scenes.states or not (paths.stage(STACK) / "unlabeled.npy").is_file():
        return Shares(combinations, simulated, simulated, 0)
    chains = load_logits(paths, blend.members, "unlabeled", axis=2)  # (n_folds, n_clips, n_members, n_outputs)
    answers = blend.combination_probability(chains.reshape(-1, *chains.shape[2:]), combinations)
    expected = estimate_shares(answers, simulated)
    return Shares(combinations, simulated, expected, chains.shape[1])


def all_scores(
    scenes: CrossFitted, groups: np.ndarray, rows: np.ndarray, shares: Shares, n_test: int, config: Config
) -> dict:
    """The metric's name and, as ``<condition>_score``, ``_low`` and ``_high``, its values and 95 % intervals.

    Conditions are ``oof``, on the scenes as simulated; ``discounted``, on `rows` where those are others; and
    ``expected``, on tests as they may come. Where shares were counted, ``count_errors`` tells how far each output's
    was off in these tests, root mean square.

    Args:
        scenes: all of them, and `groups` (n_scenes,) what errs together.
        rows: as of `scored_rows`.
        n_test: clips of the test; as many as `rows` if 0.
    """
    summary = _scores(scenes.probability(), scenes.target, groups, rows, config)
    if not shares.n_counted:
        last = "discounted" if "discounted_score" in summary else "oof"
        return summary | {f"expected_{end}": summary[f"{last}_{end}"] for end in ("score", "low", "high")}
    tests = replay_tests(scenes, groups, rows, shares, n_test or len(rows), config).like(shares.expected)
    ends = {f"expected_{end}": value for end, value in zip(("score", "low", "high"), tests.summary(), strict=True)}
    off = np.sqrt(np.square(tests.errors @ shares.combinations).mean(axis=0))
    return summary | ends | {"count_errors": dict(zip(config.outputs, off.tolist(), strict=True))}


def _scores(probability: np.ndarray, target: np.ndarray, groups: np.ndarray, rows: np.ndarray, config: Config) -> dict:
    """Score on the scenes as simulated, and on those judged by where they are others, with intervals."""
    measure, n_draws = plugins.load("metrics", config.metric).measure, config.ensemble.n_bootstrap
    conditions = {"oof": np.arange(len(target))}
    if config.scenes.states:
        conditions["discounted"] = rows
    summary: dict = {"metric": config.metric}
    for name, chosen in conditions.items():
        p, label = probability[chosen], target[chosen]
        low, high = bootstrap_interval(measure, label, p, groups[chosen], n_draws, config.seed)
        summary |= {f"{name}_score": measure(label, p), f"{name}_low": low, f"{name}_high": high}
    return summary


def _parts(probability: np.ndarray, target: np.ndarray, groups: np.ndarray, config: Config) -> list[dict]:
    """Each measure beside the metric with its interval, and its value for each output where they are judged alone."""
    parts = []
    for name in config.measures:
        measure = measure_for(name, config)
        low, high = bootstrap_interval(measure, target, probability, groups, config.ensemble.n_bootstrap, config.seed)
        metric, outputs = plugins.load("metrics", name), {}
        if config.task == "multilabel" and not hasattr(metric, "OUTPUTS"):
            outputs = output_values(metric.measure, target, probability, config)
        parts.append(
            {"measure": name, "value": measure(target, probability), "low": low, "high": high, "outputs": outputs}
        )
    return parts


def _member_tables(
    cross_fitted: dict[str, np.ndarray], target: np.ndarray, fold: np.ndarray, rows: np.ndarray, config: Config
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The metric and its measures of all members, over all folds and in each.

    Args:
        cross_fitted: member → probabilities; each is calibrated alone under the same cross-fitting as the ensemble.
        rows: what is judged.
    """
    names, of_folds = (config.metric, *config.measures), []
    over_all = [
        {"member": member, **measure_all(names, target[rows], p[rows], config)} for member, p in cross_fitted.items()
    ]
    for index, (member, p) in product(np.unique(fold), cross_fitted.items()):
        held_out = rows[fold[rows] == index]
        of_folds.append({"fold": index, "member": member, **measure_all(names, target[held_out], p[held_out], config)})
    return pd.DataFrame(over_all), pd.DataFrame(of_folds)


def _oof_table(
    scenes: pd.DataFrame,
    target: np.ndarray,
    probability: np.ndarray,
    oof: np.ndarray,
    members: list[str],
    config: Config,
) -> pd.DataFrame:
    table = scenes[["scene", "fold", "state"]].copy()
    for index, output in enumerate(config.outputs):
        table[f"label_{output}"] = target[:, index].astype(int)
        table[f"probability_{output}"] = probability[:, index]
        for place, member in enumerate(members):
            table[logit_column(member, index)] = oof[:, place, index]
    return table


def _report(table: pd.DataFrame, by_fold: pd.DataFrame, summary: dict, config: Config) -> None:
    print(table.to_string(index=False, float_format="{:.4f}".format))
    pivot = by_fold.pivot(index="fold", columns="member", values=config.metric)[table["member"]]
    print(f"{config.metric} in each fold\n{pivot.to_string(float_format='{:.4f}'.format)}")
    simulated = bool(config.scenes.states)
    conditions = {"oof": "as simulated" if simulated else "on clips of groups that no model saw"}
    if simulated:
        conditions["discounted"] = "where how a voice was recorded tells no label, as in the table"
        if not config.files.n_files:  # else the score to expect is that of the files
            conditions["expected"] = "on tests of few sources, counted as below: the score to expect"
    for name, condition in conditions.items():
        low, high = summary[f"{name}_low"], summary[f"{name}_high"]
        print(f"{config.metric} {summary[f'{name}_score']:.4f} (95 % interval {low:.4f} to {high:.4f}), {condition}")
    if simulated:
        for output, share in summary["shares"].items():
            off = f" ± {summary['count_errors'][output]:.3f}" if "count_errors" in summary else ""
            print(f"  {output} in {share['expected']:.3f}{off} of the clips (simulated {share['simulated']:.3f})")
        print(f"  {_told(Shares.from_dict(summary['combinations']), config.outputs)}")
        print("all on scenes of groups that no model saw; they assume noises, rooms and codecs like the simulated ones")


def _told(shares: Shares, outputs: list[str]) -> str:
    """``nothing .151, fake alone .212, ...``: how frequent each combination is expected to be."""
    told = []
    for labels, share in zip(shares.combinations, shares.expected, strict=True):
        heard = [output for output, label in zip(outputs, labels, strict=True) if label]
        name = " and ".join(heard) + " alone" * (len(heard) == 1) if heard else "nothing"
        told.append(f"{name} {share:.3f}")
    return ", ".join(told)
