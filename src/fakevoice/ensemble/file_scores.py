"""Scores of whole files: the windows of simulated files of many lengths, pooled, on models that saw none of them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array
from fakevoice.core.config import Config
from fakevoice.core.paths import Paths
from fakevoice.core.tables import SCENE_TEXT, VOICE_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data.groups import first_group
from fakevoice.ensemble.blend import STACK, CrossFitted
from fakevoice.ensemble.pooling import choose_pooling, cross_fitted_files
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import measure_all

DURATION_EDGES_S = (0.0, 10.0, 25.0, np.inf)


@dataclass(frozen=True, eq=False)
class FileScores:
    """What the simulated files say.

    Attributes:
        pooling: per output, chosen on all files.
        score, low, high: the metric, and its 95 % interval by drawing groups; pooling is chosen on other folds.
        table: file, fold, state, duration_s, label_<output> and probability_<output>.
        by_duration: files (all, then bands of duration), n, the metric, what it consists of if it says so, measures.
    """

    pooling: list[str]
    score: float
    low: float
    high: float
    table: pd.DataFrame
    by_duration: pd.DataFrame


def score_files(fitted: CrossFitted, members: list[str], paths: Paths, config: Config) -> FileScores:
    """Score every simulated file by the networks, the stacker and the blend that did not see its fold.

    Args:
        fitted: the cross-fitted blends.
        members: names in the order of the blends' logits.
    """
    folder = paths.stage("scenes")
    files = read_table(folder / "files.csv", SCENE_TEXT)
    voices = read_table(folder / "file_voices.csv", VOICE_TEXT)
    windows = read_table(paths.stage("features") / "file_windows.csv", ("scene",))
    fold_of_window = windows["scene"].map(files.set_index("scene")["fold"]).to_numpy()
    probability = np.zeros((len(windows), len(config.outputs)))
    logits = np.stack([_logits(paths, member) for member in members], axis=2)  # (n_folds, n_windows, members, outputs)
    for index, blend in fitted.blends.items():
        rows = fold_of_window == index
        probability[rows] = blend.probability(logits[index][rows])
    of_files = windows.groupby("scene").indices
    per_file = [probability[of_files[name]] for name in files["scene"]]
    label, fold = targets(files["state"], config), files["fold"].to_numpy()
    pooled = cross_fitted_files(per_file, label, fold, config)
    measure = plugins.load("metrics", config.metric).measure
    groups = first_group(files, voices)
    low, high = bootstrap_interval(measure, label, pooled, groups, config.ensemble.n_bootstrap, config.seed)
    table = files[["scene", "fold", "state", "duration_s"]].rename(columns={"scene": "file"})
    for place, output in enumerate(config.outputs):
        table[f"label_{output}"] = label[:, place].astype(int)
        table[f"probability_{output}"] = pooled[:, place]
    by_duration = _by_duration(files["duration_s"].to_numpy(), label, pooled, config)
    pooling = choose_pooling(per_file, label, config)
    return FileScores(pooling, measure(label, pooled), low, high, table, by_duration)


def _logits(paths: Paths, member: str) -> np.ndarray:
    """(n_folds, n_windows, n_outputs) of one member."""
    if member == STACK:
        return read_array(paths.stage(STACK) / "files.npy")
    return read_array(paths.stage("train") / f"files-{member}.npy")


def _by_duration(duration_s: np.ndarray, label: np.ndarray, probability: np.ndarray, config: Config) -> pd.DataFrame:
    metric = plugins.load("metrics", config.metric)
    bands = [("all", np.ones(len(duration_s), bool))]
    for low_s, high_s in pairwise(DURATION_EDGES_S):
        name = f"{low_s:g} to {high_s:g} s" if np.isfinite(high_s) else f"{low_s:g} s and more"
        bands.append((name, (duration_s >= low_s) & (duration_s < high_s)))
    rows = []
    for name, kept in bands:
        if not kept.any():
            continue
        scores = measure_all((config.metric, *config.measures), label[kept], probability[kept], config)
        if hasattr(metric, "components"):
            scores |= metric.components(label[kept], probability[kept])
        rows.append({"files": name, "n": int(kept.sum()), **scores})
    return pd.DataFrame(rows)
