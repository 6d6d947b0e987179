"""Feature shards → k-fold networks and their out-of-fold and test logits."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("scenes", "features")
READS = ("seed", "task", "classes", "answers", "folds", "networks", "epoch_measures", "leak_auc")


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """Weights of other runs that networks start from."""
    from fakevoice.training.warm_start import started_from

    return started_from(config, paths)


def run(config: Config, paths: Paths) -> list[Path]:
    """Write weights and learning curve of every network and fold, and the logits."""
    from fakevoice.core.artifacts import read_json
    from fakevoice.core.tables import SCENE_TEXT, read_table
    from fakevoice.features.store import CachedFeature
    from fakevoice.training.cross_validation import check_networks, refuse_leaks, train_networks

    index = read_json(paths.stage("features") / "features.json")
    folders = {name: paths.cache / folder for name, folder in index.items()}
    shapes = {
        network.feature: CachedFeature(folders[network.feature], "scenes").shape for network in config.networks.values()
    }
    check_networks(config, shapes)
    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    refuse_leaks(config, scenes, folders)
    return train_networks(config, paths, scenes, folders)
