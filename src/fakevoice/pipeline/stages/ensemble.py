"""Out-of-fold logits of networks and stacker → blend, calibration and the expected score."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("folds", "scenes", "features", "train", "stack")
READS = ("seed", "task", "classes", "answers", "metric", "measures", "networks", "ensemble", "files")


def run(config: Config, paths: Paths) -> list[Path]:
    """Write ensemble.json, config.json, metrics.json, members.csv, by_fold.csv, oof.csv and test.npy."""
    from fakevoice.core.tables import SCENE_TEXT, VOICE_TEXT, read_table
    from fakevoice.ensemble.evaluate import run_ensemble

    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    voices = read_table(paths.stage("scenes") / "voices.csv", VOICE_TEXT)
    return run_ensemble(config, paths, scenes, voices)
