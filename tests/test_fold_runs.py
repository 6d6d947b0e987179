"""Folds side by side: impossible plug-ins stop before any work, finished folds are kept, strange ones redone."""

import pytest

from fakevoice.config import Plugin, load_config
from fakevoice.errors import ConfigError
from fakevoice.fold_runs import check_networks, train_networks
from fakevoice.storage import read_json, write_json
from fakevoice.tables import SCENE_TEXT, read_table

SHAPES = {"mel": (64, 313), "mfcc": (40, 313)}


def test_the_shipped_networks_can_be_built(finished_run):
    check_networks(finished_run.config, SHAPES)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("networks.mel.model.args.widht=8", "networks.mel.model.args: unknown key 'widht'; did you mean 'width'"),
        ("networks.mel.model.args.width=broad", "networks.mel.model.args.width = 'broad'"),
        ("networks.mel.model.name=resnet50", "no models/resnet50.py; did you mean 'resnet'"),
    ],
)
def test_an_impossible_network_is_refused_with_its_key(finished_run, word, message):
    with pytest.raises(ConfigError, match=message):
        check_networks(load_config("demo", [*finished_run.overrides, word]), SHAPES)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Plugin(name="spec_augment", args={"n_tim": 1}), "networks.mel.augment.spec_augment.args: unknown key 'n_tim'"),
        (Plugin(name="spec_argument"), "did you mean 'spec_augment'"),
    ],
)
def test_an_impossible_augmentation_is_refused_with_its_key(finished_run, plugin, message):
    config = finished_run.config
    networks = {"mel": config.networks["mel"].model_copy(update={"augment": [plugin]})}
    with pytest.raises(ConfigError, match=message):
        check_networks(config.model_copy(update={"networks": networks}), SHAPES)


def retrained(run) -> set[str]:
    """Network and fold of the weights that training again writes."""

    def times() -> dict:
        files = run.paths.stage("train").rglob("*.safetensors")
        return {f"{path.parent.parent.name} {path.parent.name}": path.stat().st_mtime_ns for path in files}

    before = times()
    index = read_json(run.paths.stage("features") / "features.json")
    scenes = read_table(run.paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    train_networks(run.config, run.paths, scenes, {name: run.paths.cache / folder for name, folder in index.items()})
    return {name for name, time in times().items() if time != before.get(name)}


def test_finished_folds_are_kept(damageable):
    assert retrained(damageable) == set()


def test_an_unfinished_fold_is_trained_alone_with_equal_bytes(finished_run, damageable):
    (damageable.paths.stage("train") / "mel/fold1/manifest.json").unlink()
    assert retrained(damageable) == {"mel fold1"}
    assert damageable.contents() == finished_run.contents()


def test_nothing_is_left_of_a_training_with_other_settings(finished_run, damageable):
    folder = damageable.paths.stage("train") / "mfcc/fold0"
    (folder / "manifest.json").unlink()
    (folder / "checkpoint.pt").write_text("of other settings")
    write_json(folder / "started.json", {"key": "other"})
    assert retrained(damageable) == {"mfcc fold0"}
    assert damageable.contents() == finished_run.contents()
