"""Out-of-fold logits of networks and stacker → blend, calibration and the expected score."""

from pathlib import Path

from fakevoice import lookup
from fakevoice.config import Config
from fakevoice.places import Paths

AFTER = ("folds", "scenes", "train", "stack")
READS = ("seed", "task", "classes", "metric", "measures", "networks", "ensemble")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    metrics = [f"metrics/{name}" for name in lookup.names("metrics")]  # one may be made of others
    shared = [
        "ensemble",
        "ensemble_runs",
        "expectation",
        "shares",
        "shortcuts",
        "bootstrap",
        "prior",
        "tasks",
        "calibration",
        "predictions",
        "slices",
        "leaks",
    ]
    return [*shared, f"calibrators/{config.ensemble.calibrator}", *metrics]


def run(config: Config, paths: Paths) -> list[Path]:
    """Write ensemble.json, config.json, metrics.json, members.csv, by_fold.csv, oof.csv and test.npy."""
    from fakevoice.ensemble_runs import run_ensemble
    from fakevoice.tables import SCENE_TEXT, VOICE_TEXT, read_table

    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    voices = read_table(paths.stage("scenes") / "voices.csv", VOICE_TEXT)
    return run_ensemble(config, paths, scenes, voices)
