"""The demo competition: the same bytes each time, fair shares, speakers apart."""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.core import plugins
from fakevoice.core.errors import DataError
from fakevoice.data.adapters import demo

SIZE = {"n_train": 8, "n_test": 12, "n_unlabeled": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "demo"
    demo.make(folder, **SIZE)
    return folder


def contents(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): zlib.crc32(file.read_bytes()) for file in files}


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def test_same_arguments_same_bytes_whatever_the_workers(folder, tmp_path, monkeypatch):
    serial = demo.run_parallel
    monkeypatch.setattr(demo, "run_parallel", lambda *args: serial(*args, n_jobs=1))
    demo.make(tmp_path / "again", **SIZE)
    assert contents(tmp_path / "again") == contents(folder)


def test_another_seed_is_another_demo(folder, tmp_path):
    demo.make(tmp_path / "demo", n_train=2, n_test=2, n_unlabeled=1, seed=1)
    first = "train/TRAIN_00000.ogg"
    assert contents(tmp_path / "demo")[first] != contents(folder)[first]


def test_a_finished_demo_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(demo, "_fill", lambda *_, **__: pytest.fail("made again"))
    demo.make(folder, **SIZE)


def test_other_arguments_replace_it_whole(tmp_path):
    demo.make(tmp_path / "demo", n_train=2, n_test=1, n_unlabeled=1)
    demo.make(tmp_path / "demo", n_train=1, n_test=2, n_unlabeled=1)
    assert len(list((tmp_path / "demo/train").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match=r"holds no demo\.json"):
        demo.make(tmp_path, **SIZE)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(demo, "run_parallel", fail)
    with pytest.raises(OSError, match="disk full"):
        demo.make(tmp_path / "demo", **SIZE)
    assert not list(tmp_path.iterdir())


def test_states_in_equal_shares(folder):
    answers = table(folder, "solution")
    assert answers["state"].value_counts().to_dict() == dict.fromkeys(demo.STATES, 2)
    for name in ("fake", "real"):
        assert (answers[name] == answers["state"].str.contains(name).astype(int).astype(str)).all()
    assert ((answers["snr_db"] == "") == (answers["state"] == "none")).all()
    assert table(folder, "train")["label"].value_counts().to_dict() == {"real": 4, "fake": 4}


def test_tables_have_the_shape_of_the_competition(folder):
    assert list(table(folder, "train")) == ["id", "path", "label"]
    assert list(table(folder, "test")) == ["id", "path"]
    sample = table(folder, "sample_submission")
    assert list(sample) == ["id", "fake", "real"] and sample["id"].tolist() == table(folder, "test")["id"].tolist()
    assert set(sample["fake"]) == set(sample["real"]) == {"0.5"}
    meta = table(folder, "train_meta").merge(table(folder, "train"), on="id", validate="1:1")
    assert (meta["group"].str.contains("+", regex=False) == (meta["label"] == "fake")).all()


def test_clips_decode_and_scenes_last_five_seconds(folder):
    for split in ("train", "test", "unlabeled_data"):
        for file in (folder / split).iterdir():
            waveform, sample_rate_hz = soundfile.read(file)
            assert sample_rate_hz == 16_000 and waveform.ndim == 1 and 0.005 < np.std(waveform) < 0.5
            duration_s = len(waveform) / sample_rate_hz
            assert 2 <= duration_s <= 6 if split == "train" else duration_s == 5


def test_speakers_of_the_test_are_not_in_train():
    train, test = ({demo._speaker(split, i, 0) for i in range(n)} for split, n in demo.N_SPEAKERS.items())
    assert len(train) == 24 and len(test) == 12 and not train & test


def test_scenes_ask_for_test_speakers_only(monkeypatch):
    asked = []
    original = demo._speaker
    monkeypatch.setattr(demo, "_speaker", lambda *args: asked.append(args[0]) or original(*args))
    demo._scene("real+fake", 0, np.random.default_rng(0))
    demo._clean_clip("fake", 0, np.random.default_rng(0))
    assert asked == ["test", "test", "train"]


def test_every_vocoder_and_noise_named_exists():
    assert set(demo.VOCODERS) <= set(plugins.names("vocoders"))
    assert set(demo.NOISES) <= set(plugins.names("noises"))


def test_read_and_template(folder):
    classes = ["fake", "real"]
    clips = demo.read(folder, classes=classes)
    assert list(clips) == ["id", "path", "split", "label", "group"] and (clips.dtypes == "str").all()
    assert clips["split"].value_counts().to_dict() == {"train": 8, "test": 12, "unlabeled": 6}
    assert clips["path"].map(lambda path: (folder / path).is_file()).all()
    template = demo.template(folder, classes=classes)
    assert list(template) == ["id", "fake", "real"] and template["id"].tolist() == table(folder, "test")["id"].tolist()


def test_other_classes_are_refused(folder):
    with pytest.raises(DataError, match=r"a label not in \['happy', 'sad'\]"):
        demo.read(folder, classes=["happy", "sad"])
    with pytest.raises(DataError, match="no column happy, sad"):
        demo.template(folder, classes=["happy", "sad"])
