"""Feature shards → k-fold networks and their out-of-fold and test logits."""

from pathlib import Path

from fakevoice.config import Config
from fakevoice.places import Paths

AFTER = ("scenes", "features")
READS = ("seed", "task", "classes", "folds", "networks", "epoch_measures", "leak_auc")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    plugins = {module for network in config.networks.values() for module in network.plugin_modules}
    own = [
        "trainer",
        "fit",
        "objective",
        "adapt",
        "networks",
        "batches",
        "phase_vocoder",
        "tasks",
        "fold_runs",
        "schedule",
    ]
    return [*own, "leaks", "sinc", "vision", *sorted(plugins), *(f"metrics/{name}" for name in config.epoch_measures)]


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """Weights of other runs that networks start from."""
    from fakevoice.warm_start import started_from

    return started_from(config, paths)


def run(config: Config, paths: Paths) -> list[Path]:
    """Write weights and learning curve of every network and fold, and the logits."""
    from fakevoice.cache import CachedFeature
    from fakevoice.fold_runs import check_networks, refuse_leaks, train_networks
    from fakevoice.storage import read_json
    from fakevoice.tables import SCENE_TEXT, read_table

    index = read_json(paths.stage("features") / "features.json")
    folders = {name: paths.cache / folder for name, folder in index.items()}
    shapes = {
        network.feature: CachedFeature(folders[network.feature], "scenes").shape for network in config.networks.values()
    }
    check_networks(config, shapes)
    scenes = read_table(paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    refuse_leaks(config, scenes, folders)
    return train_networks(config, paths, scenes, folders)
