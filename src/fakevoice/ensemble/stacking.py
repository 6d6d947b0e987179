"""Runs the stacker over all folds: the columns it reads, its out-of-fold and test logits, the range of its columns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core.artifacts import read_array, write_array
from fakevoice.core.config import Config
from fakevoice.core.paths import Paths
from fakevoice.core.tables import write_table
from fakevoice.core.tasks import targets
from fakevoice.data import leakage
from fakevoice.ensemble.ood import RANGE, Range
from fakevoice.ensemble.stacker import column_names, fit_fold, fitted_names, predict_logits, save_boosters
from fakevoice.features.store import CachedFeature, scored_splits
from fakevoice.parallel.pool import run_parallel


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold to fit; travels to a worker.

    Attributes:
        columns: (n_scenes, n_columns) float32.
        new: split → (n_clips, n_columns) float32, with the logits of this fold's networks.
        folder: where the models go.
    """

    index: int
    config: Config
    columns: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    new: dict[str, np.ndarray]
    folder: Path


def stack(config: Config, paths: Paths, scenes: pd.DataFrame, pooled: Path) -> list[Path]:
    """Fit every fold's stacker, score its held-out scenes and, as the end of its chain, test and unlabeled clips.

    Returns:
        The files written.
    """
    columns = CachedFeature(pooled, "scenes").all()
    folder, folds = paths.stage("stack"), _folds(config, paths, scenes, pooled, columns)
    target, fold = folds[0].target, folds[0].fold
    for left in folder.glob("*.npy"):  # the ensemble reads what lies here: no clips of an earlier run
        left.unlink()
    logits, scored_by, new_logits, outputs, gains = np.zeros(target.shape), np.full(len(target), -1), [], [], []
    for job, (held_out, new, files, gain) in zip(folds, run_parallel(_fit, folds, "stack", "folds"), strict=True):
        rows = fold == job.index
        logits[rows], scored_by[rows] = held_out, job.index
        new_logits.append(new)
        outputs += files
        gains.append(gain)
    leakage.check_oof(logits, scored_by, fold)
    arrays = {"oof": logits} | {split: np.stack([new[split] for new in new_logits]) for split in folds[0].new}
    for split, array in arrays.items():
        write_array(folder / f"{split}.npy", array)
    if columns.shape[1]:
        Range.fit(columns, config.seed).save(folder / RANGE)
        outputs.append(folder / RANGE)
    importance = pd.DataFrame(np.mean(gains, axis=0).T, columns=config.outputs)
    importance.insert(0, "column", fitted_names(column_names(config), config.stacker.ignored))
    write_table(folder / "importance.csv", importance)
    return [*outputs, *(folder / f"{split}.npy" for split in arrays), folder / "importance.csv"]


def _folds(config: Config, paths: Paths, scenes: pd.DataFrame, pooled: Path, columns: np.ndarray) -> list[_Fold]:
    trained, splits, networks = paths.stage("train"), scored_splits(pooled), list(config.networks)
    oof = [read_array(trained / f"oof-{network}.npy") for network in networks]
    columns = np.concatenate([columns, *oof], axis=1)
    chains = {split: [read_array(trained / f"{split}-{network}.npy") for network in networks] for split in splits}
    new = {split: CachedFeature(pooled, split).all() for split in splits}
    target, fold = targets(scenes["state"], config), scenes["fold"].to_numpy(np.int64)
    return [
        _Fold(
            *(index, config, columns, target, fold),
            new={s: np.concatenate([new[s], *(chain[index] for chain in chains[s])], axis=1) for s in splits},
            folder=paths.stage("stack"),
        )
        for index in range(config.folds.n_folds)
    ]


def _fit(job: _Fold) -> tuple[np.ndarray, dict[str, np.ndarray], list[Path], list[np.ndarray]]:
    """Logits of the fold's own scenes and of each split, the files of the models, and the gain of their columns."""
    config, names = job.config, column_names(job.config)
    boosters = fit_fold(job.columns, names, job.target, job.fold, job.index, config.stacker, config.seed)
    held_out = predict_logits(boosters, job.columns[job.fold == job.index], names)
    new = {split: predict_logits(boosters, columns, names) for split, columns in job.new.items()}
    files = save_boosters(job.folder, boosters, job.index)
    return held_out, new, files, [booster.feature_importance("gain") for booster in boosters]
