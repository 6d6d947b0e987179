"""What a config names is tried before the first stage, and a wrong name or value ends with a sentence about it."""

import shutil
from collections import namedtuple

import pytest

from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.core.paths import paths
from fakevoice.pipeline import checks
from fakevoice.pipeline.runner import run_pipeline

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset.name=dacom"], "did you mean 'dacon'"),
        (["dataset.args.n_trian=4"], "did you mean 'n_train'"),
        (["metric=dacon_scor"], "did you mean 'dacon_score'"),
        (["measures=[auc,eeer]"], "did you mean 'eer'"),
        (["epoch_measures=[acuracy]"], "did you mean 'accuracy'"),
        (["ensemble.calibrator=plat"], "did you mean 'platt'"),
        (["statistics=[rythm]"], "did you mean 'rhythm'"),
        (["networks.mel.model.name=resnett"], "did you mean 'resnet'"),
        (["networks.mel.augment=[{name: shft}]"], "did you mean 'shift'"),
        (["networks.mel.adapt=[{name: corral}]"], "did you mean 'coral'"),
        (["scenes.noises=[rane]"], "did you mean 'rain'"),
        (["scenes.vocoders=[lpcc]"], "did you mean 'lpc'"),
        (["scenes.codecs=[mp4]"], "mp4"),
        (["stacker.ignored=['*']"], "no column is left"),
        (["features.whisper={encoder: transformers, checkpoint: nobody/nothing, layers: [1]}"], "nobody/nothing"),
        pytest.param(
            ["networks.mel.model={name: timm_backbone, args: {backbone: resnet10t, weights: nowhere.pt}}"],
            "nowhere.pt",
            marks=pytest.mark.slow,  # importing timm takes seconds
        ),
        (["networks.mel.warm_start=demo/other/mel"], "demo/other"),
    ],
)
def test_what_cannot_be_found_ends_a_run_before_its_first_stage(tmp_path, monkeypatch, words, message):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    config = load_config("demo", words)
    with pytest.raises(FakevoiceError, match=message):
        run_pipeline(config)
    assert not (tmp_path / "data").exists() and not list(tmp_path.rglob("manifest.json"))


def test_a_device_that_is_missing_is_found_before_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    config = load_config("demo", ["features_device=cuda:99"])
    with pytest.raises(FakevoiceError, match="features_device=cuda:99"):
        checks.check_config(config, paths(config))


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 9 * 10**8, 10**8))


def test_a_cache_that_does_not_fit_on_the_disk_is_refused(small_disk):
    config = load_config("demo", ["scenes.n_scenes=10000"])
    with pytest.raises(
        FakevoiceError, match=r"features of 10,000 clips need about 0\.\d GB in .* and 0\.1 GB are free"
    ):
        checks.check_config(config, paths(config))
    small = load_config("demo", ["scenes.n_scenes=100"])
    checks.check_config(small, paths(small))


def test_what_is_cached_needs_no_space(small_disk):
    config = load_config("demo", ["scenes.n_scenes=10000"])
    places = paths(config)
    places.cache.mkdir(parents=True)
    with (places.cache / "scenes.npy").open("wb") as file:
        file.truncate(10**9)
    checks.check_config(config, places)


def test_videos_without_ffmpeg_are_told_before_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda program: None)
    config = load_config("demo")
    paths(config).raw.mkdir(parents=True)
    (paths(config).raw / "a.mp4").touch()
    checks.check_config(config, paths(config))
    assert "1 videos in" in capsys.readouterr().out


def test_a_network_that_does_not_fit_into_memory_is_refused():
    config = load_config("demo", ["networks.mel.model.args.width=8192"])
    with pytest.raises(ConfigError, match=r"networks.mel.model.args: \d+ GB needed, and this machine has \d+ GB"):
        checks.check_plugins(config)
