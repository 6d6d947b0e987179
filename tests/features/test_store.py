"""The feature cache: shards by key, only missing ones computed, read through memory maps, damage named."""

import pickle

import numpy as np
import pytest

from fakevoice.audio.preprocess import read_or_silence
from fakevoice.audio.read import fix_length, read_audio
from fakevoice.core import artifacts
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.features.extract import POOLED, extract, pooled_names
from fakevoice.features.store import CachedFeature
from fakevoice.pipeline import feature_shards
from fakevoice.pipeline.feature_shards import feature_folders
from fakevoice.pipeline.runner import run_pipeline

EVERYTHING = {"mel", "mfcc", POOLED}


@pytest.fixture
def folders(at_home) -> dict:
    index = read_json(at_home.paths.stage("features") / "features.json")
    return {name: at_home.paths.cache / folder for name, folder in index.items()}


def test_every_scene_and_test_clip_is_there_once(folders, finished_run):
    shapes = {
        "mel": (64, 313),
        "mfcc": (40, 313),
        POOLED: (len(pooled_names(finished_run.config)),),
    }
    for name, folder in folders.items():
        assert len(CachedFeature(folder, "scenes")) == 96
        assert len(CachedFeature(folder, "test")) == 16
        assert CachedFeature(folder, "scenes").shape == shapes[name]
        assert not list(folder.glob(".*"))


def test_the_cache_holds_what_extraction_gives(folders, finished_run):
    config, raw = finished_run.config, finished_run.paths.raw
    clips = read_table(finished_run.paths.stage("prepare") / "clips.csv", CLIP_TEXT)
    clip = clips[clips["split"] == "test"].iloc[11]
    waveform = fix_length(read_audio(raw / clip["path"], config.sample_rate_hz).waveform, config.n_samples)
    for name, expected in extract(waveform, config, ["mel", "mfcc", POOLED]).items():
        found = CachedFeature(folders[name], "test").take(np.array([11]))[0]
        assert found.dtype == np.float32
        assert np.allclose(found, expected, rtol=2e-3, atol=1e-2)


def test_rows_come_in_the_order_asked_for_across_shards(folders):
    feature = CachedFeature(folders["mel"], "scenes")
    everything = feature.all()
    picked = np.array([95, 0, 31, 32, 64, 31])
    assert np.array_equal(feature.take(picked), everything[picked])
    assert np.unique(everything.reshape(96, -1), axis=0).shape[0] == 96


def test_shards_stay_on_disk_until_read(folders):
    feature = CachedFeature(folders["mel"], "scenes")
    feature.all()
    assert len(pickle.dumps(feature)) < 5_000


@pytest.mark.parametrize("rows", [range(96), range(20, 70), [31, 32], [95], [5, 6, 7, 40, 41, 3, 2, 1], []])
def test_rows_that_follow_each_other_are_those_that_were_asked_for(folders, rows):
    feature = CachedFeature(folders["mel"], "scenes")
    one_by_one = [feature.take([row])[0] for row in rows]
    assert np.array_equal(feature.take(np.array(rows, int)), np.reshape(one_by_one, (-1, *feature.shape)))


@pytest.mark.parametrize(
    ("word", "renamed"),
    [
        ("features.mel.n_mels=48", {"mel", POOLED}),
        ("features.mfcc.n_mfcc=20", {"mfcc", POOLED}),
        ("pooled=[mel]", {POOLED}),
        ("spectrogram.hop_length=128", EVERYTHING),
        ("scenes.snr_db=[0,20]", EVERYTHING),
        ("scenes.container=''", EVERYTHING),
        ("sample_rate_hz=8000", EVERYTHING),
        ("clip_duration_s=4.0", EVERYTHING),
        ("seed=1", EVERYTHING),
        ("networks.mel.training.n_epochs=9", set()),
    ],
)
def test_a_folder_is_named_by_what_its_values_depend_on(finished_run, word, renamed):
    before = feature_folders(finished_run.paths.cache, finished_run.config, {"scenes.csv": "1"})
    changed = load_config("demo", [*finished_run.overrides, word])
    after = feature_folders(finished_run.paths.cache, changed, {"scenes.csv": "1"})
    assert {name for name in before if before[name] != after[name]} == renamed


def test_other_scenes_are_other_folders(finished_run):
    one, other = (feature_folders(finished_run.paths.cache, finished_run.config, {"scenes.csv": x}) for x in "12")
    assert not set(one.values()) & set(other.values())


def test_only_the_missing_shard_is_computed(finished_run, damageable, monkeypatch):
    (mel,) = damageable.paths.cache.glob("mel-*")
    (mel / "scenes-00001.npy").unlink()
    computed, compute = [], feature_shards._compute_shard
    monkeypatch.setattr(
        feature_shards, "_compute_shard", lambda shard: computed.append(shard.targets) or compute(shard)
    )
    assert run_pipeline(damageable.config, "features")
    assert [list(targets.values()) for targets in computed] == [[mel / "scenes-00001.npy"]]
    assert damageable.contents() == finished_run.contents()


def test_another_run_that_writes_into_the_same_cache_is_not_disturbed(damageable):
    (mel,) = damageable.paths.cache.glob("mel-*")
    (damageable.paths.stage("features") / "manifest.json").unlink()
    with artifacts.atomic_file(mel / "scenes-00009.npy") as file:  # as another experiment would at this moment
        run_pipeline(damageable.config, "features")
        file.write(b"whole")
    assert (mel / "scenes-00009.npy").read_bytes() == b"whole"


def test_a_clip_that_cannot_be_read_is_silence_of_the_same_length(finished_run, tmp_path):
    (tmp_path / "no.wav").write_text("not audio")
    waveform, reason = read_or_silence(tmp_path / "no.wav", finished_run.config)
    assert reason
    assert waveform.shape == (80000,)
    assert not waveform.any()


@pytest.mark.parametrize("damage", ["no manifest", "no shard", "cut shard", "short shard", "pickle"])
def test_a_damaged_cache_is_named(damageable, damage):
    (mel,) = damageable.paths.cache.glob("mel-*")
    shard = mel / "scenes-00002.npy"
    rows = np.load(shard)
    if damage == "no manifest":
        (mel / "manifest.json").unlink()
    elif damage == "no shard":
        shard.unlink()
    elif damage == "cut shard":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "short shard":
        np.save(shard, rows[:-1])
    else:
        np.save(shard, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=str(mel)):
        CachedFeature(mel, "scenes")
