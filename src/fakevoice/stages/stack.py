"""Pooled features and out-of-fold logits → LightGBM stacker and its out-of-fold and test logits."""

from pathlib import Path

from fakevoice.config import Config
from fakevoice.places import Paths

AFTER = ("scenes", "features", "train")
READS = ("seed", "task", "classes", "folds", "pooled", "statistics", "networks", "stacker")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    return ["stacker", "stack_runs", "tasks", "novelty", "leaks", *(f"statistics/{name}" for name in config.statistics)]


def run(config: Config, paths: Paths) -> list[Path]:
    """Write the models of every fold, ``oof.npy``, ``<split>.npy``, ``importance.csv`` and ``range.safetensors``."""
    from fakevoice.stack_runs import stack
    from fakevoice.storage import read_json
    from fakevoice.tables import SCENE_TEXT, read_table

    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    pooled = paths.cache / read_json(paths.stage("features") / "features.json")["pooled"]
    return stack(config, paths, scenes, pooled)
