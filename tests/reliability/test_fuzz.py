"""Damaged configs, tables, audio, shards, weights and submissions: a right answer, or an error of this project."""

import random

import numpy as np
import pandas as pd
import pytest
import torch

from fakevoice.audio.read import measure_length, read_audio
from fakevoice.core.artifacts import StoredArray, read_array, write_array, write_json
from fakevoice.core.config import CONFIGS, Config, config_names, load_config
from fakevoice.core.config_sections import Network, Plugin
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.tables import FOLD_TEXT, read_table, write_table
from fakevoice.data.adapters import dacon
from fakevoice.ensemble.ood import RANGE, Range
from fakevoice.features.store import CachedFeature
from fakevoice.pipeline.submission import check_submission, write_submission
from fakevoice.training.networks import TrainedNetwork, build_model, load_network, save_network
from fakevoice.training.standardize import Standardizer
from tests.support import audio_zoo
from tests.support.fuzzing import TOKENS, damaged, garbled, survives

SHORT, LONG = 1, 20  # of the cases below, in the test suite and with --slow
CPU = torch.device("cpu")


@pytest.fixture(params=[SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def times(request) -> int:
    """What the number of cases is multiplied by."""
    return request.param


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path):
    yield
    assert not list(tmp_path.rglob(".writing-*"))


def test_configs(times, tmp_path):
    texts = [(CONFIGS / f"{name}.yaml").read_text(encoding="utf-8") for name in config_names()]
    path = tmp_path / "fuzzed.yaml"

    def case(draw: random.Random) -> None:
        path.write_text(garbled(draw.choice(texts), draw), encoding="utf-8")
        assert isinstance(load_config(str(path)), Config)

    counts = survives("config", 60 * times, case)
    assert counts["right"] and counts["ConfigError"]


def test_words(times):
    known = ("seed=1", "stacker.l2=1", "networks.mel.model={name: cnn, args: {width: 4}}")
    known += ("networks.mfcc=null", "pooled=[mel]", "folds.n_folds=3", "scenes.snr_db=[0, 9]", "preset=small")

    def case(draw: random.Random) -> None:
        words = draw.choices(known, k=draw.randint(1, 3))
        words[0] = garbled(words[0], draw) if draw.random() < 0.7 else words[0]
        assert isinstance(load_config("demo", words), Config)

    counts = survives("words", 60 * times, case)
    assert counts["right"] and counts["ConfigError"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: {here}", "cannot extend"),
        ("extends: 5", "cannot extend 5"),
        ("extends: [demo]", "cannot extend"),
        ("extends: " + "a" * 300, "no config"),
        ("extends: demo\nfeatures: [mel]", "Cannot merge"),
        ("extends: demo\nnetworks: {{mel: [1]}}", "Cannot merge"),
        ("extends: demo\nscenes: {{states: {{fake: .nan, real: .nan}}}}", "finite number"),
        ("extends: demo\nscenes: {{level_dbfs: [.nan, .nan]}}", "finite number"),
        ("extends: demo\ndata: {{cache_gb: .inf}}", "finite number"),
        ("extends: demo\nclip_duration_s: 0.00001", "no sample"),
        ("extends: demo\nseed: 99999999999999999999999", "seed: at most"),
    ],
)
def test_configs_that_were_accepted_or_broke_something(tmp_path, text, message):
    path = tmp_path / "found.yaml"
    path.write_text(text.format(here=path), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_a_ring_of_configs(tmp_path):
    for name, parent in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {tmp_path / parent}.yaml\n")
    with pytest.raises(ConfigError, match=r"b\.yaml: it cannot extend .*a\.yaml"):
        load_config(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("word", ["preset=" + "a" * 300, "networks.mel=[1]", "stacker.l2=.inf"])
def test_words_that_were_accepted_or_broke_something(word):
    with pytest.raises(ConfigError):
        load_config("demo", [word])


def test_tables_of_a_competition(times, tmp_path):
    ids = [f"{number:03d}" for number in range(12)]
    tables = {
        "train.csv": "id,path,label\n"
        + "".join(f"t{i},train/{i}.wav,{'fake' if i > '005' else 'real'}\n" for i in ids),
        "test.csv": "id,path\n" + "".join(f"{i},test/{i}.wav\n" for i in ids),
        "sample_submission.csv": "id,fake,real\n" + "".join(f"{i},0.5,0.5\n" for i in ids),
        "train_meta.csv": "id,group\n" + "".join(f"t{i},g{i[-1]}\n" for i in ids),
    }

    def case(draw: random.Random) -> None:
        name = draw.choice(list(tables))
        for file, text in tables.items():
            content = text.encode()
            if file == name:
                content = damaged(content, draw) if draw.random() < 0.3 else garbled(text, draw).encode()
            (tmp_path / file).write_bytes(content)
        clips, template = dacon.read(tmp_path), dacon.template(tmp_path)
        assert (clips["id"] != "").all() and set(clips["label"]) <= {"fake", "real", ""}
        assert sorted(template["id"]) == sorted(clips["id"][clips["split"] == "test"])

    survives("tables of a competition", 150 * times, case)


def test_own_tables(times, tmp_path):
    path = tmp_path / "folds.csv"
    rows = [("demo", f"{n:03d}", f"g{n % 3}", "real", n % 2) for n in range(12)]
    write_table(path, pd.DataFrame(rows, columns=[*FOLD_TEXT, "fold"]))
    text = path.read_text(encoding="utf-8")

    def case(draw: random.Random) -> None:
        content = text.encode()
        path.write_bytes(damaged(content, draw) if draw.random() < 0.3 else garbled(text, draw).encode())
        table = read_table(path, FOLD_TEXT)
        assert isinstance(table.index, pd.RangeIndex)  # no column was taken for names of rows
        known = table[[name for name in FOLD_TEXT if name in table]]
        assert known.map(lambda value: isinstance(value, str)).to_numpy().all()

    survives("own tables", 150 * times, case)


def test_rows_that_are_longer_than_the_header_are_refused(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text(",".join([*FOLD_TEXT, "fold"]) + "\ndemo,000,g0,real,1,2\n")
    with pytest.raises(ArtifactError, match="more than the 5 values"):
        read_table(path, FOLD_TEXT)


def test_any_text_survives_a_table(times, tmp_path):
    def case(draw: random.Random) -> None:
        texts = ["".join(draw.choices(TOKENS, k=draw.randint(0, 3))).replace("\0", "") for _ in range(6)]
        table = pd.DataFrame({"id": texts[:3], "path": texts[3:], "value": [0.1, 2.0, -1e-9]}, dtype="object")
        write_table(tmp_path / "a.csv", table)
        read = read_table(tmp_path / "a.csv", ("id", "path"))
        assert read["id"].tolist() == texts[:3] and read["path"].tolist() == texts[3:]
        assert read["value"].tolist() == [0.1, 2.0, -1e-9]

    survives("any text", 60 * times, case)


@pytest.mark.parametrize("write", [write_table, lambda path, table: write_submission(path.parent, "a", table, {})])
def test_a_carriage_return_in_an_id_begins_no_row(tmp_path, write):
    write(tmp_path / "a.csv", pd.DataFrame({"id": ["a\rb", "c"], "fake": [0.25, 0.5]}))
    (path,) = (path for path in tmp_path.glob("a*.csv"))
    assert read_table(path, ("id",)).to_numpy().tolist() == [["a\rb", 0.25], ["c", 0.5]]


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "VOC", "NIST", "FLAC", "OGG", "MP3"])
def test_audio(times, tmp_path, format):
    name = f"fuzz.{format.lower()}"
    whole, path = audio_zoo.written(name, format=format), tmp_path / name

    def case(draw: random.Random) -> None:
        path.write_bytes(damaged(whole, draw))
        n_frames, rate_hz = measure_length(path)[:2]
        part = draw.choice(("", "#t=0,0.2", "#t=0.3,0.6"))
        recording = read_audio(f"{path}{part}", 16_000)
        assert np.isfinite(recording.waveform).all() and len(recording.waveform) >= 1
        assert recording.waveform.dtype == np.float32 and rate_hz == recording.source_rate_hz
        assert n_frames <= 40 * len(whole)  # with silence in the place of what cannot be decoded

    survives(f"audio {format}", 50 * times, case)


def test_shards(times, tmp_path):
    array = np.arange(6 * 4 * 5, dtype=np.float16).reshape(6, 4, 5)
    for split in (array[:4], array[4:]):
        write_array(tmp_path / f"test-{0 if len(split) == 4 else 1:05d}.npy", split)
    shard, manifest = tmp_path / "test-00000.npy", tmp_path / "manifest.json"
    whole, counts = shard.read_bytes(), {"n_clips": {"test": 6}, "shard_size": 4, "outputs": {}, "schema": 1}

    def case(draw: random.Random) -> None:
        write_json(manifest, counts)
        shard.write_bytes(damaged(whole, draw))
        assert isinstance(read_array(shard), np.ndarray)
        stored = StoredArray(shard)
        assert stored.rows(0, len(stored)).shape == stored.shape
        feature = CachedFeature(tmp_path, "test")
        assert feature.all().shape == (6, *feature.shape)

    survives("shards", 150 * times, case)


def test_manifests_of_shards(times, tmp_path):
    write_array(tmp_path / "test-00000.npy", np.zeros((4, 3), np.float32))
    write_json(tmp_path / "manifest.json", {"n_clips": {"test": 4}, "shard_size": 4, "outputs": {}, "schema": 1})
    text = (tmp_path / "manifest.json").read_text()

    def case(draw: random.Random) -> None:
        (tmp_path / "manifest.json").write_text(garbled(text, draw), encoding="utf-8")
        feature = CachedFeature(tmp_path, "test")
        assert len(feature.all()) == len(feature)

    survives("manifests", 60 * times, case)


def test_weights(times, tmp_path):
    network = Network(feature="mel", model=Plugin(name="ann", args={"widths": [4]}))
    standardizer = Standardizer("none", np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32))
    trained = TrainedNetwork(build_model(network.model, (4, 6), 2), standardizer, CPU, None)
    path, batch = tmp_path / "weights.safetensors", np.ones((3, 1, 4, 6), np.float32)
    save_network(path, trained, network, (4, 6), ["fake", "real"], [])
    whole = path.read_bytes()

    def case(draw: random.Random) -> None:
        path.write_bytes(damaged(whole, draw))
        loaded, _ = load_network(path, CPU)
        with np.errstate(all="ignore"):
            assert loaded.logits(iter([batch])).shape == (3, 2)

    survives("weights", 100 * times, case)


def test_range(times, tmp_path):
    path, columns = tmp_path / RANGE, np.random.default_rng(0).normal(size=(40, 5))
    Range.fit(columns, 0).save(path)
    whole = path.read_bytes()

    def case(draw: random.Random) -> None:
        path.write_bytes(damaged(whole, draw))
        with np.errstate(all="ignore"):
            assert Range.load(path).distance(columns).shape == (40,)

    survives("range", 100 * times, case)


def test_submissions(times, tmp_path):
    template = pd.DataFrame({"id": ["b", "001", "NA"], "fake": ["0.5"] * 3, "real": ["0.5"] * 3})
    good = template.assign(fake=[0.11, 0.22, 0.33], real=[0.91, 0.82, 0.73])
    write_table(tmp_path / "good.csv", good)
    text = (tmp_path / "good.csv").read_text()

    def case(draw: random.Random) -> None:
        (tmp_path / "a.csv").write_text(garbled(text, draw), encoding="utf-8")
        read = read_table(tmp_path / "a.csv", ("id",))
        check_submission(read, template, template["id"])
        assert read["id"].tolist() == template["id"].tolist() and list(read.columns) == list(template.columns)
        assert ((read[["fake", "real"]] > 0) & (read[["fake", "real"]] < 1)).to_numpy().all()

    survives("submissions", 150 * times, case)
