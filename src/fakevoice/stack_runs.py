"""Runs the stacker over all folds: the columns it reads, its out-of-fold and test logits, what it looks at."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.cache import CachedFeature
from fakevoice.config import Config, Paths
from fakevoice.extraction import pooled_names
from fakevoice.progress import track
from fakevoice.stacker import check_oof, fit_fold, predict_logits, save_boosters
from fakevoice.storage import read_array, write_array
from fakevoice.tables import write_table
from fakevoice.tasks import targets


def column_names(config: Config) -> list[str]:
    """The stacker's columns: pooled statistics, then each network's logits."""
    return pooled_names(config) + [
        f"logit_{network}_{output}" for network in config.networks for output in config.outputs
    ]


def stack(config: Config, paths: Paths, scenes: pd.DataFrame, pooled: Path) -> list[Path]:
    """Fit every fold's stacker, score its held-out scenes and, as the end of its chain, the test.

    Returns:
        The files written.
    """
    folder, trained, names = paths.stage("stack"), paths.stage("train"), column_names(config)
    target, fold = targets(scenes["state"], config), scenes["fold"].to_numpy(np.int64)
    oof = [read_array(trained / f"oof-{network}.npy") for network in config.networks]
    chains = [read_array(trained / f"test-{network}.npy") for network in config.networks]
    columns = np.concatenate([CachedFeature(pooled, "scenes").all(), *oof], axis=1)
    test = CachedFeature(pooled, "test").all()
    logits, scored_by, test_logits, outputs, gains = np.zeros(target.shape), np.full(len(target), -1), [], [], []
    for index in track(range(config.folds.n_folds), config.folds.n_folds, "stack", "folds"):
        boosters = fit_fold(columns, names, target, fold, index, config.stacker, config.seed)
        held_out = fold == index
        logits[held_out] = predict_logits(boosters, columns[held_out], names)
        scored_by[held_out] = index
        own_chain = np.concatenate([test, *(chain[index] for chain in chains)], axis=1)
        test_logits.append(predict_logits(boosters, own_chain, names))
        outputs += save_boosters(folder, boosters, index)
        gains.append([booster.feature_importance("gain") for booster in boosters])
    check_oof(logits, scored_by, fold)
    write_array(folder / "oof.npy", logits)
    write_array(folder / "test.npy", np.stack(test_logits))
    importance = pd.DataFrame(np.mean(gains, axis=0).T, columns=config.outputs)
    importance.insert(0, "column", names)
    write_table(folder / "importance.csv", importance)
    return [*outputs, folder / "oof.npy", folder / "test.npy", folder / "importance.csv"]
