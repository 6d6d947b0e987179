import pytest

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import folders


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_label_is_the_folder(tmp_path):
    touch(tmp_path, "Real/a.wav", "FAKE/b.OGG", "FAKE/deep/b.ogg", "FAKE/notes.txt", "test/z.flac", "other/x.wav")
    clips = folders.read(tmp_path)
    rows = [tuple(row) for row in clips[["id", "path", "split", "label", "group"]].to_numpy()]
    assert rows == [
        ("FAKE/b.OGG", "FAKE/b.OGG", "train", "fake", ""),
        ("FAKE/deep/b.ogg", "FAKE/deep/b.ogg", "train", "fake", ""),
        ("Real/a.wav", "Real/a.wav", "train", "real", ""),
        ("test/z.flac", "test/z.flac", "test", "", ""),
    ]
    assert folders.template(tmp_path).to_dict("list") == {"id": ["test/z.flac"], "fake": ["0.5"], "real": ["0.5"]}


def test_test_folder_is_optional_and_has_any_name(tmp_path):
    touch(tmp_path, "real/a.wav", "fake/b.wav", "new/c.wav")
    assert set(folders.read(tmp_path)["split"]) == {"train"}
    assert list(folders.template(tmp_path).columns) == ["id", "fake", "real"]
    assert folders.read(tmp_path, test_folder="new")["id"].tolist()[-1] == "new/c.wav"
    assert folders.template(tmp_path, test_folder="new")["id"].tolist() == ["new/c.wav"]


def test_other_classes(tmp_path):
    touch(tmp_path, "Fear/a.wav", "joy/b.wav", "anger/c.wav", "test/d.wav")
    classes = ["Joy", "anger", "fear"]
    assert folders.read(tmp_path, classes=classes)["label"].tolist() == ["Joy", "anger", "fear", ""]
    assert list(folders.template(tmp_path, classes=classes).columns) == ["id", *classes]


def test_missing_class_folder(tmp_path):
    touch(tmp_path, "REAL/a.wav")
    with pytest.raises(DataError, match=r"one folder FAKE/, found none"):
        folders.read(tmp_path)


def test_class_folder_twice(tmp_path):
    touch(tmp_path, "REAL/a.wav", "real/b.wav", "fake/c.wav")
    with pytest.raises(DataError, match=r"one folder REAL/, found REAL, real"):
        folders.read(tmp_path)


def test_class_folder_without_audio(tmp_path):
    touch(tmp_path, "REAL/a.wav", "FAKE/readme.txt")
    with pytest.raises(DataError, match=r"FAKE: holds no audio"):
        folders.read(tmp_path)


def test_a_class_does_not_lose_files_of_an_unknown_format(tmp_path):
    touch(tmp_path, "REAL/a.wav", "FAKE/b.wav", "FAKE/b.phn", "FAKE/._b.wav", "FAKE/notes.txt")
    for name in ("FAKE/c.g722", "FAKE/b.bin"):
        (tmp_path / name).write_bytes(b"\x93\0\1")
    paths = folders.read(tmp_path)["path"].tolist()
    assert paths == ["FAKE/b.wav", "FAKE/c.g722", "REAL/a.wav"]  # b.bin describes b.wav


def test_a_class_folder_without_audio_says_what_it_holds(tmp_path):
    touch(tmp_path, "REAL/a.wav", "FAKE/._a.wav", "FAKE/readme.txt")
    with pytest.raises(DataError, match=r"holds no audio \(skipped 2 files: 1 are hidden, 1 contain no audio"):
        folders.read(tmp_path)
