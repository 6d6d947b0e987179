import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import length_bias


def contents(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): zlib.crc32(file.read_bytes()) for file in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "length_bias"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        length_bias.make(folder, n_clips=8)
    return folder


def test_real_lasts_ten_seconds_and_fake_five(folder):
    clips = length_bias.read(folder)
    assert clips["label"].value_counts().to_dict() == {"fake": 4, "real": 4}
    for path, label in zip(clips["path"], clips["label"], strict=True):
        waveform, rate_hz = soundfile.read(folder / path)
        assert len(waveform) / rate_hz == {"real": 10, "fake": 5}[label]
        halves = np.array_split(waveform, 2)
        assert all(0.005 < np.std(half) < 0.5 for half in halves) and np.abs(waveform).max() < 1


def test_nothing_else_tells_the_label(folder):
    clips = length_bias.read(folder)
    described = {
        label: sorted((row.group, row.path[-4:]) for row in rows.itertuples()) for label, rows in clips.groupby("label")
    }
    assert described["real"] == described["fake"]  # the same speakers under the same extensions
    assert [extension for _, extension in described["real"]] == [".wav", ".WAV"] * 2
    assert clips["group"].nunique() == 4 and clips["group"].str.fullmatch(r"speaker\d{3}").all()


def test_both_labels_speak_and_are_recorded_alike(folder, monkeypatch, tmp_path):
    calls = []
    speak = length_bias.speak
    monkeypatch.setattr(length_bias, "speak", lambda *args: calls.append(args[:2]) or speak(*args))
    for index in (0, 1):
        (tmp_path / length_bias.CLASSES[index]).mkdir()
        length_bias._render((tmp_path, index))
    assert len(calls) == 3 and len(set(calls)) == 1  # one voice, utterances of one length


def test_the_same_bytes_and_a_finished_one_is_left_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    length_bias.make(tmp_path / "again", n_clips=8)
    assert contents(tmp_path / "again") == contents(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    monkeypatch.setattr(length_bias, "_fill", lambda *_, **__: pytest.fail("made again"))
    length_bias.make(folder, n_clips=8)


def test_another_number_of_clips_replaces_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    for n_clips in (4, 2):
        length_bias.make(tmp_path / "raw", n_clips=n_clips)
    assert len(length_bias.read(tmp_path / "raw")) == 2


@pytest.mark.parametrize("name", ["real/LJ001-0001.wav", "thesis.txt"])
def test_a_folder_that_somebody_brought_is_never_touched(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    length_bias.make(tmp_path)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["precious"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(length_bias, "run_parallel", fail)
    with pytest.raises(OSError, match="disk full"):
        length_bias.make(tmp_path / "raw")
    assert not list(tmp_path.iterdir())


def test_folders_that_somebody_brought(tmp_path):
    for name in ("Real/LJ001-0001.WAV", "Real/speaker12_3.wav", "FAKE/a.wav", "test/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips = length_bias.read(tmp_path).set_index("path")
    assert clips["group"].to_dict() == {
        "Real/LJ001-0001.WAV": "", "Real/speaker12_3.wav": "speaker12", "FAKE/a.wav": "", "test/b.wav": ""
    }  # fmt: skip
    assert clips["label"].tolist() == ["fake", "real", "real", ""]
    assert length_bias.template(tmp_path, classes=["fake"]).to_dict("list") == {"id": ["test/b.wav"], "fake": ["0.5"]}
    (tmp_path / "FAKE/a.wav").unlink()
    with pytest.raises(DataError, match="FAKE: holds no audio"):
        length_bias.read(tmp_path)
