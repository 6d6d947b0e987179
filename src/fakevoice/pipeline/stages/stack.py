"""Pooled features and out-of-fold logits → LightGBM stacker and its out-of-fold and test logits."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("scenes", "features", "train")
READS = ("seed", "task", "classes", "answers", "folds", "pooled", "statistics", "networks", "stacker")


def run(config: Config, paths: Paths) -> list[Path]:
    """Write the models of every fold, ``oof.npy``, ``<split>.npy``, ``importance.csv`` and ``range.safetensors``."""
    from fakevoice.core.artifacts import read_json
    from fakevoice.core.tables import SCENE_TEXT, read_table
    from fakevoice.ensemble.stacking import stack

    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    pooled = paths.cache / read_json(paths.stage("features") / "features.json")["pooled"]
    return stack(config, paths, scenes, pooled)
