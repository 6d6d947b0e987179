"""Folds with crops and augmentations: what is impossible stops before any work, what is trained is kept whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakevoice.core import artifacts, plugins
from fakevoice.core.artifacts import read_json, write_json
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Crop, Network, Plugin, Training
from fakevoice.core.errors import ConfigError
from fakevoice.core.tables import SCENE_TEXT, read_table
from fakevoice.features.extract import extract
from fakevoice.features.store import CachedFeature
from fakevoice.training import cross_validation
from fakevoice.training.cross_validation import check_networks, train_networks
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.networks import load_network, score_rows
from tests.support.code_edits import edit

CPU = torch.device("cpu")
SHAPES = {"mel": (64, 157), "mfcc": (40, 157)}
NOISE, WAVEFORM = "networks.mel.augment=[{name: noise}]", "features.waveform={}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([NOISE], r"networks\.mel\.augment\.noise changes the samples: add `waveform: \{\}` to features"),
        (["networks.mfcc.crop.bands=[0.5,0.5]"], r"networks\.mfcc\.crop leaves 0 of 40 bands and 157 of 157 frames"),
        ([WAVEFORM, NOISE.replace("noise}", "noise, args: {noises: [rian]}}")], r"noises/rian\.py; did you mean"),
        (
            [WAVEFORM, NOISE.replace("noise}", "room, args: {rt60_s: [2, 1]}}")],
            r"augment\.room\.args\.rt60_s = \[2, 1\]",
        ),
        (["networks.mel.augment=[{name: mixup, args: {alfa: 1}}]"], "unknown key 'alfa'; did you mean 'alpha'"),
        (["networks.mel.augment=[{name: mixup, args: {alpha: 0}}]"], r"augment\.mixup\.args\.alpha = 0"),
    ],
)
def test_what_is_impossible_is_refused_with_its_key(words, message):
    with pytest.raises(ConfigError, match=message):
        check_networks(load_config("demo", words), SHAPES)


def test_models_and_augmentations_are_tried_on_what_the_crop_leaves(monkeypatch):
    shapes, load = [], plugins.load

    def watched(kind: str, name: str):
        module = load(kind, name)
        if kind in ("models", "augment"):
            build = module.build
            monkeypatch.setattr(
                module, "build", lambda shape, *a, **args: shapes.append(shape) or build(shape, *a, **args)
            )
        return module

    config = load_config("demo", ["networks.mel.crop={bands: [0.25, 1], frames: [0, 0.5]}"])
    monkeypatch.setattr(cross_validation.plugins, "load", watched)
    monkeypatch.setattr(cross_validation.plugins, "check_args", lambda *args: None)
    check_networks(config.model_copy(update={"networks": {"mel": config.networks["mel"]}}), SHAPES)
    assert set(shapes) == {(48, 78)} and len(shapes) >= 2


def test_every_augmentation_can_be_asked_for_at_once():
    names = ", ".join(f"{{name: {name}}}" for name in plugins.names("augment"))
    check_networks(load_config("demo", [WAVEFORM, f"networks.mel.augment=[{names}]"]), SHAPES)


N_ROWS = 24
FOLD = np.arange(N_ROWS) % 3
TARGET = (np.arange(N_ROWS)[:, None] // 3 % 2 == [0, 1]).astype(np.float32)
CONFIG = load_config("demo", ["device=cpu", "clip_duration_s=0.25", WAVEFORM, "features.mel.n_mels=16"])
NETWORK = Network(
    feature="mel",
    model=Plugin(name="mlp"),
    training=Training(n_epochs=2, batch_size=4, learning_rate=0.01, ema_decay=0.8),
)


def write_feature(folder, scenes: np.ndarray, unlabeled: np.ndarray):
    for split, values in (("scenes", scenes), ("unlabeled", unlabeled)):
        artifacts.write_array(folder / f"{split}-00000.npy", values.astype(np.float16))
    n_clips = {"scenes": len(scenes), "unlabeled": 6}
    write_json(folder / "manifest.json", {"n_clips": n_clips, "shard_size": N_ROWS, "outputs": {}})
    return folder


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Features (n_clips, n_bands, n_frames) of noises; those of the second output are darker."""
    waveforms = np.random.default_rng(0).normal(0, 0.1, (N_ROWS + 6, CONFIG.n_samples)).astype(np.float32)
    dark = np.append(TARGET[:, 1] == 1, np.zeros(6, bool))
    waveforms[dark, 1:] += waveforms[dark, :-1]
    found = [extract(waveform, CONFIG, ["mel", "waveform"]) for waveform in waveforms]
    return {name: np.stack([one[name] for one in found]) for name in ("mel", "waveform")}


@pytest.fixture
def job(arrays, tmp_path) -> FoldJob:
    folders = {name: write_feature(tmp_path / name, x[:N_ROWS], x[N_ROWS:]) for name, x in arrays.items()}
    return FoldJob(
        *("mel", NETWORK, CONFIG, folders["mel"], TARGET, FOLD, 1),
        folder=tmp_path / "fold",
        tensorboard=tmp_path / "tensorboard",
        waveforms=folders["waveform"],
    )


def trained(job: FoldJob, place: str, **changes) -> dict[str, torch.Tensor]:
    """Weights of the network with these settings."""
    network = job.network.model_copy(update=changes)
    job = replace(job, network=network, folder=job.folder / place, tensorboard=job.tensorboard / place)
    return load_network(train_fold(job), CPU)[0].model.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(map(torch.equal, one.values(), other.values()))


def augment(probability: float, *names: str) -> list[Plugin]:
    return [Plugin(name=name, args={"probability": probability}) for name in names]


def test_a_cropped_network_is_trained_kept_and_scored_on_its_part(job, arrays, tmp_path):
    part = arrays["mel"][:, 4:, 2:8]
    n_frames = arrays["mel"].shape[2]
    crop = Crop(bands=(0.25, 1.0), frames=(2 / n_frames, 8 / n_frames))
    inner = replace(job, features=write_feature(tmp_path / "part", part[:N_ROWS], part[N_ROWS:]))
    assert equal(trained(job, "whole", crop=crop), trained(inner, "part"))
    scored = []
    for fold, name in ((job, "whole"), (inner, "part")):
        network, _ = load_network(fold.folder / name / "weights.safetensors", CPU)
        assert network.standardizer.mean.shape == (12, 1)
        scored.append(score_rows(network, CachedFeature(fold.features, "scenes"), np.arange(N_ROWS)))
    assert np.array_equal(*scored)


def test_augmentations_that_never_happen_change_no_weight(job):
    plain = trained(replace(job, waveforms=None), "plain")
    never = augment(0.0, "noise", "raw_boost", "erase", "mixup", "spec_mix")
    assert equal(plain, trained(job, "never", augment=never))


@pytest.mark.parametrize("name", ["noise", "erase", "mixup"])
def test_augmentations_that_happen_change_weights_and_repeat_exactly(job, name):
    always = augment(1.0, name)
    first, again = (trained(job, place, augment=always) for place in ("first", "again"))
    assert equal(first, again) and not equal(first, trained(job, "plain"))


def test_a_network_of_waveforms_hears_them_augmented(job):
    own = replace(job, features=job.waveforms, network=NETWORK.model_copy(update={"feature": "waveform"}))
    plain, never, always = (trained(own, f"{p}", augment=augment(p, "noise") if p >= 0 else []) for p in (-1, 0, 1))
    assert equal(plain, never) and not equal(plain, always)


def test_unlabeled_clips_are_heard_augmented_too(job, arrays, tmp_path):
    other = np.concatenate([arrays["waveform"][:N_ROWS], arrays["waveform"][N_ROWS:][::-1]])
    changed = replace(job, waveforms=write_feature(tmp_path / "other", other[:N_ROWS], other[N_ROWS:]))
    always = augment(1.0, "noise")
    adapt = [Plugin(name="mean_teacher", args={})]
    assert not equal(*(trained(one, str(i), augment=always, adapt=adapt) for i, one in enumerate((job, changed))))
    assert equal(*(trained(one, f"without-{i}", augment=always) for i, one in enumerate((job, changed))))


def keys(run, monkeypatch, folder, *words: str) -> dict[str, str]:
    """Key of the first fold of each network, without a training; the samples' cache lies in `folder`."""
    found, config = {}, load_config("demo", [*run.overrides, WAVEFORM, *words])
    index = read_json(run.paths.stage("features") / "features.json")
    features = {name: run.paths.cache / place for name, place in index.items()} | {"waveform": folder}
    monkeypatch.setattr(cross_validation, "_finished", lambda job, key: found.setdefault(job.name, key))
    monkeypatch.setattr(cross_validation, "_join", lambda name, jobs, place: [])
    train_networks(config, run.paths, read_table(run.paths.stage("scenes") / "scenes.csv", SCENE_TEXT), features)
    return found


def test_samples_and_what_changes_them_are_part_of_a_folds_key_where_they_are_augmented(at_home, monkeypatch, tmp_path):
    write_json(tmp_path / "manifest.json", {"outputs": 1})
    before = keys(at_home, monkeypatch, tmp_path, NOISE)
    for file in (
        "audio/channel.py",
        "audio/synthesis/noises/rain.py",
        "features/frames/mel.py",
        "training/augment/noise.py",
    ):
        with monkeypatch.context() as patch:
            edit(patch, file)
            after = keys(at_home, patch, tmp_path, NOISE)
        assert after["mel"] != before["mel"] and after["mfcc"] == before["mfcc"]
    write_json(tmp_path / "manifest.json", {"outputs": 2})
    after = keys(at_home, monkeypatch, tmp_path, NOISE)
    assert after["mel"] != before["mel"] and after["mfcc"] == before["mfcc"]
