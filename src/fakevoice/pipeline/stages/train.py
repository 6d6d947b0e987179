"""Feature shards → k-fold networks and their out-of-fold and test logits."""

from functools import partial
from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("scenes", "features")
PRETRAINED = {"checkpoint", "weights"}  # arguments of models that name published weights
READS = ("seed", "task", "classes", "answers", "folds", "networks", "epoch_measures", "leak_auc")


def inputs(config: Config, paths: Paths) -> dict[str, str | list]:
    """Weights that networks start from: of other runs, and pretrained ones."""
    from fakevoice.core.models import state_of
    from fakevoice.training.warm_start import started_from

    pretrained = {}
    for name, network in config.networks.items():
        if PRETRAINED.isdisjoint(network.model.args):
            continue
        from fakevoice.training.networks import pretrained_files  # imports torch, which `status` does without

        state = state_of(partial(pretrained_files, network.model))
        if state:
            pretrained[f"pretrained weights of {name}"] = state
    return started_from(config, paths) | pretrained


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
