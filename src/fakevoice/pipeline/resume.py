"""Going on from an earlier run with clips that came since: `./run.sh all --resume-from RUN`.

Known clips keep their folds, and fold k of every network starts from fold k of the earlier run, which never saw what
fold k holds back. The earlier run stays as it is, to be compared with.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.data import folds, groups
from fakevoice.metrics.slices import label_and_probability
from fakevoice.pipeline.runner import run_pipeline

EXPERIMENT = "resumed"


def resumed_words(name: str, words: list[str], run: str) -> list[str]:
    """The key=value words with those that make it go on: an experiment of its own, and where each network starts.

    Args:
        name: of the config.
        words: key=value words; what they say of the experiment or of a network's start stays.
        run: ``competition/experiment``, or an experiment of the same competition.

    Raises:
        ConfigError: `run` is the experiment itself, or is not named so.
    """
    words = words if any(word.startswith("experiment=") for word in words) else [*words, f"experiment={EXPERIMENT}"]
    config = load_config(name, words)
    competition, experiment = _named(run, config)
    if (competition, experiment) == (config.competition, config.experiment):
        raise ConfigError(f"--resume-from {run}: it would overwrite what it starts from; add experiment=NAME")
    cold = [network for network, settings in config.networks.items() if not settings.warm_start]
    return [*words, *(f"networks.{network}.warm_start={competition}/{experiment}/{network}" for network in cold)]


def _named(run: str, config: Config) -> tuple[str, str]:
    *competition, experiment = run.split("/")
    if len(competition) > 1 or not experiment:
        raise ConfigError(f"--resume-from {run}: say competition/experiment, or an experiment of this competition")
    return competition[0] if competition else config.competition, experiment


def _earlier(config: Config, run: str) -> Config:
    competition, experiment = _named(run, config)
    return config.model_copy(update={"competition": competition, "experiment": experiment})


def extend_folds(config: Config, run: str) -> None:
    """Give clips without a fold one in folds.csv; nothing is done where every clip has its row.

    Rows of clips that are gone are dropped. Where folds.csv has no rows of the competition, those of the earlier run
    are taken.

    Raises:
        FoldsError: as `folds.check_folds`.
    """
    run_pipeline(config, "prepare")
    places, earlier = paths(config), paths(_earlier(config, run)).stage("folds") / "folds.csv"
    prepared = places.stage("prepare")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    ids = set(clips.loc[clips["split"] == "train", "id"])

    def extend(known: pd.DataFrame) -> pd.DataFrame:
        if set(known["id"]) == ids:
            return known
        if known.empty:
            known = folds.read_folds(earlier, config.competition)
        if known.empty:
            return known  # the earlier run is of another competition, whose folds do not matter here
        train, whole = _grouped(clips, prepared, config)
        rows = folds.extend_folds(known, train, whole, config.folds.n_folds)
        folds.check_folds(rows, train, folds.read_duplicates(prepared), config.folds.n_folds)
        n_new, n_gone = len(ids - set(known["id"])), len(set(known["id"]) - ids)
        print(
            f"folds: {len(rows) - n_new} known clips keep their folds, {n_new} are new, {n_gone} are gone", flush=True
        )
        return rows.assign(competition=config.competition)

    folds.update_folds(places.folds_csv, config.competition, extend)


def _grouped(clips: pd.DataFrame, prepared: Path, config: Config) -> tuple[pd.DataFrame, pd.Series]:
    """Training clips with the groups that are made of all of them, and what the config keeps in one fold."""
    is_train = (clips["split"] == "train").to_numpy()
    fingerprints, clips = read_array(prepared / "fingerprints.npy")[is_train], clips[is_train].reset_index(drop=True)
    duplicates = folds.read_duplicates(prepared)
    clips = clips.assign(group=groups.make_groups(clips, fingerprints, duplicates, config.folds.groups))
    if config.folds.unit == "group":
        return clips, clips["group"]
    return clips, groups.make_channels(clips["group"], fingerprints, config.folds.n_folds)


def comparison(config: Config, run: str) -> str:
    """Out-of-fold score of both runs on what is made of clips that both have."""
    before, now = load_run(_earlier(config, run)), load_run(config)
    common = set(before.voices["clip"]) & set(now.voices["clip"])
    if before.config.competition != config.competition or not common:
        return f"{run} has no clip in common with this run: nothing to compare out of fold"
    measure, what = plugins.load("metrics", config.metric).measure, "clips that both have"
    if config.scenes.states:
        what = "each run's own scenes of clips that both have"
    shown = []
    for found in (before, now):
        rows = found.oof[_is_common(found, common)]
        score = measure(*label_and_probability(rows, config.outputs))
        shown.append(f"  {found.paths.run.name:<16}{score:.4f}  on {len(rows)}")
    return "\n".join([f"{config.metric} out of fold, on {what}:", *shown])


def _is_common(run: Run, clips: set[str]) -> np.ndarray:
    """Which scenes are made of these clips alone, (n_scenes,) bool."""
    foreign = run.voices.loc[~run.voices["clip"].isin(clips), "scene"]
    return ~run.oof["scene"].isin(foreign).to_numpy()
