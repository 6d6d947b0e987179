"""Folds side by side: impossible plug-ins stop before any work, finished folds are kept, strange ones redone."""

import pytest

from fakevoice.core.artifacts import read_json, write_json
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Plugin
from fakevoice.core.errors import ConfigError
from fakevoice.core.tables import SCENE_TEXT, read_table
from fakevoice.features import store
from fakevoice.pipeline.runner import code_of
from fakevoice.training import cross_validation
from fakevoice.training.cross_validation import check_networks, train_networks
from tests.support.code_edits import edit

SHAPES = {"mel": (64, 313), "mfcc": (40, 313)}


def test_the_shipped_networks_can_be_built(finished_run):
    check_networks(finished_run.config, SHAPES)


def test_every_rank_needs_a_batch_to_normalise(finished_run, monkeypatch):
    config = load_config("demo", [*finished_run.overrides, "networks.mfcc.training.batch_size=6"])
    monkeypatch.setattr(cross_validation.torchrun, "count", lambda: 2)
    check_networks(config, SHAPES)
    monkeypatch.setattr(cross_validation.torchrun, "count", lambda: 4)
    with pytest.raises(ConfigError, match=r"mfcc\.training\.batch_size: a multiple of 4 ranks, 2 clips or more"):
        check_networks(config, SHAPES)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("networks.mel.model.args.widht=8", "networks.mel.model.args: unknown key 'widht'; did you mean 'width'"),
        ("networks.mel.model.args.width=broad", "networks.mel.model.args.width = 'broad'"),
        ("networks.mel.model.name=resnet50", "no training/models/resnet50.py; did you mean 'resnet'"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["networks.mel.adapt=[{name: dan}]"], "no training/adaptation/dan.py; did you mean 'dann'"),
        (["networks.mel.adapt=[{name: dann, args: {strenth: 1}}]"], "networks.mel.adapt.dann.args: unknown key 'stren"),
        (["networks.mel.adapt=[{name: coral, args: {weight: -1}}]"], "networks.mel.adapt.coral.args.weight = -1"),
    ],
)
def test_an_impossible_adaptation_is_refused(finished_run, words, message):
    with pytest.raises(ConfigError, match=message):
        check_networks(load_config("demo", [*finished_run.overrides, *words]), SHAPES)


def test_a_head_of_states_can_be_built_and_listened_to(finished_run):
    words = ["networks.mel.head=states", "networks.mel.adapt=[{name: coral}]"]
    check_networks(load_config("demo", [*finished_run.overrides, *words]), SHAPES)


def train(run, *words: str) -> None:
    index = read_json(run.paths.stage("features") / "features.json")
    scenes = read_table(run.paths.stage("scenes") / "scenes.csv", SCENE_TEXT)
    config = load_config("demo", [*run.overrides, *words])
    train_networks(config, run.paths, scenes, {name: run.paths.cache / folder for name, folder in index.items()})


def retrained(run) -> set[str]:
    """Network and fold of the weights that training again writes."""

    def times() -> dict:
        files = run.paths.stage("train").rglob("*.safetensors")
        return {f"{path.parent.parent.name} {path.parent.name}": path.stat().st_mtime_ns for path in files}

    before = times()
    train(run)
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


@pytest.mark.parametrize("n_clips", [0, 1])
def test_unlabeled_clips_that_are_not_there_stop_the_training_before_it_starts(damageable, monkeypatch, n_clips):
    monkeypatch.setattr(store.CachedFeature, "__len__", lambda feature: n_clips)
    monkeypatch.setattr(cross_validation, "_start_afresh", lambda *job: pytest.fail("started"))
    with pytest.raises(ConfigError, match=f"networks.mel learns from unlabeled clips, and demo has {n_clips}"):
        train(damageable, "networks.mel.adapt=[{name: coral}]")


def keys(run, monkeypatch, *words: str) -> list[str]:
    """Keys of the folds of the first network, without a training."""
    found = []
    monkeypatch.setattr(cross_validation, "_finished", lambda job, key: not found.append((job.name, key)))
    monkeypatch.setattr(cross_validation, "_join", lambda name, jobs, folder: [])
    train(run, *words)
    return [key for name, key in found if name == "mel"]


ADAPT = "networks.mel.adapt=[{name: coral, args: {weight: %s}}]"


@pytest.mark.parametrize("word", ["networks.mel.head=states", ADAPT % 1, ADAPT % 2])
def test_an_adaptation_and_a_head_are_part_of_a_folds_key(at_home, monkeypatch, word):
    ours, others = (keys(at_home, monkeypatch, *words) for words in ([word], [ADAPT % 3]))
    assert len({*ours, *others, *keys(at_home, monkeypatch)}) == 6  # two folds of each


@pytest.mark.parametrize("file", ["training/adaptation/coral.py", "training/unlabeled_clips.py", "training/loss.py"])
def test_edited_code_of_an_adaptation_makes_its_folds_and_the_stage_stale(at_home, monkeypatch, file):
    before = keys(at_home, monkeypatch, ADAPT % 1)
    edit(monkeypatch, file)
    assert not {*before} & {*keys(at_home, monkeypatch, ADAPT % 1)}
    assert file in code_of("train", load_config("demo", [*at_home.overrides, ADAPT % 1]))


def test_other_unlabeled_clips_make_the_folds_stale(damageable, monkeypatch):
    before = keys(damageable, monkeypatch, ADAPT % 1)
    for manifest in damageable.paths.cache.glob("mel-*/manifest.json"):
        content = read_json(manifest)
        content["outputs"]["unlabeled-00000.npy"]["sha256"] = "other"
        write_json(manifest, content)
    assert not {*before} & {*keys(damageable, monkeypatch, ADAPT % 1)}
