"""The tables of a finished run: by member, fold, group and kind of test clip, beside what a source published."""

from typing import Any

import numpy as np
import pandas as pd

from fakevoice.analysis.finished_run import Run
from fakevoice.core.artifacts import read_json
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data.groups import first_group
from fakevoice.metrics.slices import label_and_probability, measure_all

MAX_GROUPS = 20  # more are no table to read
NOTHING = "-"  # in a column of the truth: does not apply to this clip


def collect(run: Run) -> dict[str, pd.DataFrame]:
    """All tables of a run, by name; those without rows are left out.

    Returns:
        members: the metric and its measures of each member, out of fold.
        by_fold: the same in each fold.
        by_duration: of simulated files by their duration, and what the metric consists of, where files are longer than
            a clip.
        groups: of the ensemble for each group of clips, which no model that scored it has seen.
        confusion: group, truth, predicted, n of a multiclass task, out of fold.
        test: of the ensemble on the test, where its labels are known, over all and by each column of the truth.
        epochs: mean over the folds of what the held-out folds gave after every epoch.
        published: the same numbers as a source reports them.
    """
    tables = {
        "members": run.members,
        "by_fold": read_table(run.paths.stage("ensemble") / "by_fold.csv", ("member",)),
        "by_duration": _by_duration(run),
        "groups": _groups(run),
        "confusion": _confusion(run),
        "test": _test(run),
        "epochs": _epochs(run),
        "published": _published(run),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _by_duration(run: Run) -> pd.DataFrame:
    path = run.paths.stage("ensemble") / "by_duration.csv"
    return read_table(path, ("files",)) if run.config.files.n_files else pd.DataFrame()


def _groups(run: Run) -> pd.DataFrame:
    group = first_group(run.scenes, run.voices)
    if run.config.scenes.states or len(np.unique(group)) > MAX_GROUPS:
        return pd.DataFrame()
    names = (run.config.metric, *run.config.measures)
    return pd.DataFrame(
        {
            "group": str(rows["voice"].iloc[0]),
            "n": len(rows),
            **measure_all(names, *label_and_probability(rows, run.config.outputs), run.config),
        }
        for _, rows in run.oof.assign(voice=_names(run, group)).groupby("voice")
    )


def _names(run: Run, group: np.ndarray) -> np.ndarray:
    """Groups as the data calls them, where it does; folds name them by a clip."""
    clips = read_table(run.paths.stage("prepare") / "clips.csv", CLIP_TEXT)
    known = clips[clips["split"] == "train"].set_index("id")["group"]
    clip = run.scenes["scene"].map(run.voices.drop_duplicates("scene").set_index("scene")["clip"])
    named = clip.map(known).fillna("").to_numpy()
    return np.where(named == "", group, named)


def _confusion(run: Run) -> pd.DataFrame:
    if run.config.task != "multiclass":
        return pd.DataFrame()
    label, probability = label_and_probability(run.oof, run.config.outputs)
    classes, voice = np.array(run.config.outputs), _names(run, first_group(run.scenes, run.voices))
    told = pd.DataFrame(
        {"group": voice, "truth": classes[label.argmax(axis=1)], "predicted": classes[probability.argmax(axis=1)]}
    )
    return told.groupby(["group", "truth", "predicted"]).size().rename("n").reset_index()


def _test(run: Run) -> pd.DataFrame:
    truth = read_table(run.paths.stage("prepare") / "truth.csv", ("id", "label"))
    if truth.empty:
        return pd.DataFrame()
    columns = [column for column in truth.columns if column not in ("id", "label")]
    truth = read_table(run.paths.stage("prepare") / "truth.csv", ("id", "label", *columns))
    test = run.clips[run.clips["split"] == "test"].reset_index(drop=True)
    row = test[["id"]].reset_index(names="row").merge(truth, on="id", validate="1:1")
    label, probability = targets(row["label"], run.config), run.test_probability[row["row"]]
    names, args = (run.config.metric, *run.config.measures), read_json(run.paths.stage("prepare") / "measures.json")
    return pd.DataFrame(
        {
            "clips": name,
            "n": int(kept.sum()),
            **measure_all(names, label[kept], probability[kept], run.config, **args),
        }
        for name, kept in _slices(row, columns).items()
    )


def _slices(truth: pd.DataFrame, columns: list[str]) -> dict[str, np.ndarray]:
    """Which rows belong to each value of each column, (n_clips,) bool.

    What holds one label only, as an attack does, is measured against all clips of the other labels in the same subset.
    """
    slices = {"all": np.ones(len(truth), bool)}
    subset = truth["subset"] if "subset" in truth else pd.Series("", index=truth.index)
    for column in columns:
        for value in sorted(set(truth[column]) - {NOTHING}):
            kept = truth[column] == value
            if truth.loc[kept, "label"].nunique() == 1:
                kept |= ~truth["label"].isin(truth.loc[kept, "label"]) & subset.isin(subset[kept])
            slices[f"{column} {value}"] = kept.to_numpy()
    return slices


def _epochs(run: Run) -> pd.DataFrame:
    if not (run.config.epoch_measures and run.config.networks):
        return pd.DataFrame()
    curves = [
        read_table(run.paths.stage("train") / network / f"fold{index}" / "epochs.csv").assign(network=network)
        for network in run.config.networks
        for index in range(run.config.folds.n_folds)
    ]
    means = pd.concat(curves).groupby(["network", "epoch"], sort=False).mean()
    return means[["loss", *run.config.epoch_measures]].reset_index()


def _published(run: Run) -> pd.DataFrame:
    published = run.config.published
    if published is None:
        return pd.DataFrame()
    by_fold = [
        {"system": system, "fold": str(fold), run.config.metric: value}
        for system, values in published.by_fold.items()
        for fold, value in [*enumerate(values), ("mean", float(np.mean(values)))]
    ]
    return pd.DataFrame([*by_fold, *({"system": system, **values} for system, values in published.systems.items())])


def as_json(run: Run, tables: dict[str, pd.DataFrame], command: str) -> dict[str, Any]:
    """Everything in plain values, as a report reads it."""
    facts = {"competition": run.config.competition, "experiment": run.config.experiment, "command": command}
    facts |= {"metric": run.config.metric, "source": run.config.published.source if run.config.published else ""}
    # through JSON's null, since a NaN is no JSON
    plain = {name: table.astype(object).where(table.notna(), None) for name, table in tables.items()}
    return facts | {name: table.to_dict("records") for name, table in plain.items()}
