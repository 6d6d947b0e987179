"""Runs the stacker over all folds: the columns it reads, its out-of-fold and test logits, what it looks at."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.cache import CachedFeature, scored_splits
from fakevoice.config import Config
from fakevoice.places import Paths
from fakevoice.progress import track
from fakevoice.stacker import check_oof, column_names, fit_fold, predict_logits, save_boosters
from fakevoice.storage import read_array, write_array
from fakevoice.tables import write_table
from fakevoice.tasks import targets


def stack(config: Config, paths: Paths, scenes: pd.DataFrame, pooled: Path) -> list[Path]:
    """Fit every fold's stacker, score its held-out scenes and, as the end of its chain, test and unlabeled clips.

    Returns:
        The files written.
    """
    folder, trained, names = paths.stage("stack"), paths.stage("train"), column_names(config)
    target, fold = targets(scenes["state"], config), scenes["fold"].to_numpy(np.int64)
    oof = [read_array(trained / f"oof-{network}.npy") for network in config.networks]
    splits = scored_splits(pooled)
    chains = {split: [read_array(trained / f"{split}-{n}.npy") for n in config.networks] for split in splits}
    new = {split: CachedFeature(pooled, split).all() for split in splits}
    columns = np.concatenate([CachedFeature(pooled, "scenes").all(), *oof], axis=1)
    logits, scored_by, outputs, gains = np.zeros(target.shape), np.full(len(target), -1), [], []
    new_logits: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    for index in track(range(config.folds.n_folds), config.folds.n_folds, "stack", "folds"):
        boosters = fit_fold(columns, names, target, fold, index, config.stacker, config.seed)
        held_out = fold == index
        logits[held_out] = predict_logits(boosters, columns[held_out], names)
        scored_by[held_out] = index
        for split in splits:
            own_chain = np.concatenate([new[split], *(chain[index] for chain in chains[split])], axis=1)
            new_logits[split].append(predict_logits(boosters, own_chain, names))
        outputs += save_boosters(folder, boosters, index)
        gains.append([booster.feature_importance("gain") for booster in boosters])
    check_oof(logits, scored_by, fold)
    for left in folder.glob("*.npy"):  # the ensemble reads what lies here: no clips of an earlier run
        left.unlink()
    arrays = {"oof": logits, **{split: np.stack(parts) for split, parts in new_logits.items()}}
    for split, array in arrays.items():
        write_array(folder / f"{split}.npy", array)
    importance = pd.DataFrame(np.mean(gains, axis=0).T, columns=config.outputs)
    importance.insert(0, "column", names)
    write_table(folder / "importance.csv", importance)
    return [*outputs, *(folder / f"{split}.npy" for split in arrays), folder / "importance.csv"]
