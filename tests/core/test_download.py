"""Files of a URL are downloaded whole and once; changes there arrive with the next listing."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from fakevoice.audio.read import read_audio
from fakevoice.core import artifacts, plugins, remote
from fakevoice.core.artifacts import TEMPORARY
from fakevoice.core.download import INDEX, download, downloaded, local_folder
from fakevoice.core.errors import ArtifactError, ConfigError, LockedError, RemoteError
from fakevoice.inference.inputs import list_sources

URL = "memory://bucket/voices"
RATE = 8000


class Store:
    """The files at `URL`, and the names of those that were read there."""

    def __init__(self, system):
        self.system = system
        self.read: list[str] = []

    def put(self, **files: bytes) -> None:
        for name, content in files.items():
            self.system.pipe_file(f"/bucket/voices/{name.replace('__', '/')}", content)

    def take(self, name: str) -> None:
        self.system.rm_file(f"/bucket/voices/{name}")


@pytest.fixture
def store(monkeypatch) -> Store:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    remote._opened.cache_clear()
    store, cat_file = Store(system), type(system).cat_file

    def counted(self, path, start=None, end=None, **options):
        store.read.append(path.removeprefix("/bucket/voices/"))
        return cat_file(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(system), "cat_file", counted)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.001)
    yield store
    system.store.clear()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def wav(folder: Path, seed: int = 0, duration_s: float = 0.2) -> bytes:
    sound = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE))
    soundfile.write(folder / "made.wav", sound, RATE)
    return (folder / "made.wav").read_bytes()


def test_all_files_are_downloaded_once(store, tmp_path):
    store.put(**{"train.csv": b"id\n", "train__a.wav": b"sound", "train__deep__b.wav": b""})
    folder = download(tmp_path, URL, 1)
    assert folder == local_folder(tmp_path, URL)
    assert contents(folder) == {"train.csv": b"id\n", "train/a.wav": b"sound", "train/deep/b.wav": b""}
    before, store.read[:] = contents(tmp_path), []
    assert [(name, size) for name, size, _ in downloaded(folder)] == [
        ("train.csv", 3),
        ("train/a.wav", 5),
        ("train/deep/b.wav", 0),
    ]
    assert downloaded(folder, URL) == downloaded(folder)
    download(tmp_path, URL, 1)
    assert store.read == [] and contents(tmp_path) == before


def test_changed_and_removed_files_are_noticed(store, tmp_path):
    store.put(**{"REAL__a.wav": b"old a", "REAL__b.wav": b"b", "old__c.wav": b"c"})
    folder = download(tmp_path, URL, 1)
    before = downloaded(folder)
    (folder / "own.txt").write_text("made by an adapter")
    store.put(**{"REAL__a.wav": b"new a"})  # of the same size
    store.take("old/c.wav")
    assert [name for name, *_ in downloaded(folder, URL)] == ["REAL/b.wav"]
    store.read[:] = []
    download(tmp_path, URL, 1)
    assert contents(folder) == {"REAL/a.wav": b"new a", "REAL/b.wav": b"b", "own.txt": b"made by an adapter"}
    assert store.read == ["REAL/a.wav"] and downloaded(folder) != before
    assert not (folder / "old").exists()


def test_a_client_lists_anew(store, monkeypatch):
    forgotten, system = [], type(store.system)
    monkeypatch.setattr(system, "invalidate_cache", lambda self, path=None: forgotten.append(path))
    find = system.find
    monkeypatch.setattr(system, "find", lambda *args, **options: find(*args, **options) if forgotten else {})
    store.put(**{"a.wav": b"sound"})
    forgotten.clear()
    assert remote.list_files(URL).keys() == {"a.wav"}


def test_without_its_index_a_file_is_downloaded_again(store, tmp_path):
    store.put(**{"a.wav": b"old"})
    folder = download(tmp_path, URL, 1)
    (folder.parent / INDEX).unlink()
    store.put(**{"a.wav": b"new"})
    assert contents(download(tmp_path, URL, 1)) == {"a.wav": b"new"}


def test_a_damaged_file_is_downloaded_again(store, tmp_path):
    store.put(**{"a.wav": b"sound", "b.wav": b"b"})
    folder = download(tmp_path, URL, 1)
    (folder / "a.wav").write_bytes(b"so")
    assert [name for name, *_ in downloaded(folder)] == ["b.wav"]
    assert contents(download(tmp_path, URL, 1)) == {"a.wav": b"sound", "b.wav": b"b"}
    assert sorted(store.read[:2]) == ["a.wav", "b.wav"] and store.read[2:] == ["a.wav"]  # in parallel at first


@pytest.mark.parametrize("now", [b"longer than it was", b"short", b""])
def test_a_file_that_changed_since_it_was_listed_is_named(store, tmp_path, monkeypatch, now):
    store.put(**{"a.wav": b"as listed"})
    listed = remote.list_files(URL)
    store.put(**{"a.wav": now})
    monkeypatch.setattr(remote, "list_files", lambda url: listed)
    with pytest.raises(RemoteError, match=r"memory://bucket/voices/a\.wav: has changed since it was listed"):
        download(tmp_path, URL, 1)
    assert contents(local_folder(tmp_path, URL)) == {}


def test_large_files_are_read_in_blocks(store, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4)
    files = {"a.wav": bytes(range(10)), "b.wav": bytes(range(8))}
    store.put(**files)
    assert contents(download(tmp_path, URL, 1)) == files
    assert sorted(store.read) == ["a.wav"] * 3 + ["b.wav"] * 2


@pytest.mark.parametrize("name", ["../a.wav", "b/../../a.wav", "/a.wav", "b//a.wav", "./a.wav", "n" * 300, "b/\0.wav"])
def test_impossible_names_are_ignored(store, tmp_path, monkeypatch, name):
    listed = {name: (5, "1"), "a.wav": (5, "1"), "b": (0, "1"), "b/c.wav": (5, "1")}
    monkeypatch.setattr(remote, "list_files", lambda url: listed)
    monkeypatch.setattr(remote, "read_blocks", lambda *_: iter([b"sound"]))
    assert contents(download(tmp_path, URL, 1)).keys() == {"a.wav", "b/c.wav"}


def test_an_empty_folder_is_an_error(store, tmp_path):
    store.put(**{"a.wav": b"sound"})
    with pytest.raises(RemoteError, match=r"memory://bucket/voice: holds no files; is the name right\?"):
        download(tmp_path, "memory://bucket/voice", 1)


def test_what_is_too_large_is_refused_with_both_sizes(store, tmp_path):
    store.put(**{"a.wav": bytes(3000), "b.wav": bytes(3000)})
    with pytest.raises(RemoteError, match=f"^{URL}: 6e-06 GB of files, and data.cache_gb=5e-06 allows 5e-06 GB$"):
        download(tmp_path, URL, 5e-6)
    assert store.read == [] and not list(tmp_path.iterdir())


def test_temporary_files_of_a_killed_download_are_removed(store, tmp_path):
    store.put(**{"train__a.wav": b"sound"})
    folder = download(tmp_path, URL, 1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = artifacts.temporary_path(folder / "train" / "a.wav").name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    (folder / "train" / left).write_bytes(b"so")
    assert contents(download(tmp_path, URL, 1)) == {"train/a.wav": b"sound"}


def break_after(store: Store, n_blocks: int, monkeypatch, error: Exception) -> list[str]:
    """Let the store fail from some block on; returns the list of the paths that are asked for."""
    read, asked, lock = type(store.system).cat_file, [], threading.Lock()

    def breaking(self, path, **limits):
        with lock:
            asked.append(path)
        if len(asked) > n_blocks:
            raise error
        return read(self, path, **limits)

    monkeypatch.setattr(type(store.system), "cat_file", breaking)
    return asked


def test_a_broken_connection_leaves_only_whole_files_and_the_download_continues(store, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "N_THREADS", 1)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 10)
    files = {"a.wav": b"sound" * 4, "b.wav": b"noise" * 4}
    store.put(**files)
    with monkeypatch.context() as broken:
        asked = break_after(store, 3, broken, ConnectionResetError("reset"))
        with pytest.raises(RemoteError, match=r"b\.wav: cannot be reached \(ConnectionResetError: reset\)"):
            download(tmp_path, URL, 1)
        assert len(asked) == 3 + remote.N_TRIES
    assert contents(local_folder(tmp_path, URL)) == {"a.wav": files["a.wav"]}
    store.read[:] = []
    assert contents(download(tmp_path, URL, 1)) == files
    assert {*store.read} == {"b.wav"}


def test_a_full_disk_is_named(store, tmp_path, monkeypatch):
    store.put(**{"a.wav": b"sound"})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "replace", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        download(tmp_path, URL, 1)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(TEMPORARY)]


def test_two_processes_do_not_download_the_same_url(store, tmp_path, monkeypatch):
    store.put(**{"a.wav": b"sound"})

    def from_another(*_):
        with pytest.raises(LockedError, match="is in use by process"):
            download(tmp_path, URL, 1)
        return iter([b"sound"])

    monkeypatch.setattr(remote, "read_blocks", from_another)
    download(tmp_path, URL, 1)


def test_progress_is_shown_in_megabytes(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fakevoice.core.progress.QUIET_S", 0.0)
    monkeypatch.setattr("fakevoice.core.progress.LINE_EVERY_S", 0.0)
    store.put(**{"a.wav": bytes(3_000_000), "b.wav": bytes(1_000_000)})
    download(tmp_path, URL, 1)
    assert "download: 4/4 MB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (f"{URL}/test", ["TEST_1", "TEST_2"]),
        (f"{URL}/test/", ["TEST_1", "TEST_2"]),
        (f"{URL}/test/TEST_2.wav", ["TEST_2"]),
        (f"{URL}/some.csv", ["one"]),
    ],
)
def test_recordings_to_predict_are_downloaded_first(store, tmp_path, monkeypatch, argument, found):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    store.put(**{"some.csv": b"id,path\none,test/TEST_2.wav\n", "test__TEST_1.wav": wav(tmp_path, 1)})
    store.put(**{"test__TEST_2.wav": wav(tmp_path, 2)})
    sources = list_sources([argument])
    store.read[:] = []
    assert [source.id for source in sources] == found
    expected = soundfile.read(tmp_path / "made.wav")[0]
    np.testing.assert_allclose(read_audio(sources[-1].path, RATE).waveform, expected, atol=1e-4)
    assert store.read == []


def test_errors_about_a_url_to_predict(store, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    store.put(**{"a.wav": bytes(2000)})
    with pytest.raises(RemoteError, match=f"{URL}/none: holds no files"):
        list_sources([f"{URL}/none"])
    with pytest.raises(RemoteError, match=r"2e-06 GB of files, and data.cache_gb=1e-06 allows 1e-06 GB"):
        list_sources([URL], 1e-6)
    with pytest.raises(ConfigError, match=r"https://me@host/a\.wav: no password here") as caught:
        list_sources(["https://me:hush@host/a.wav"])
    assert "hush" not in str(caught.value)


def test_audio_next_to_its_video_is_not_extracted_again(store, tmp_path, monkeypatch):
    emotion = plugins.load("datasets", "emotion")
    store.put(**{"audio__actor001_001.wav": b"x", "actor001_001.mp4": b"video"})
    folder = download(tmp_path, URL, 1)
    (folder / "actor001_001.mp4").unlink()  # as after a killed download
    download(tmp_path, URL, 1)
    monkeypatch.setattr(emotion, "run_parallel", lambda *_: pytest.fail("audio is extracted"))
    emotion.make(folder)
    assert emotion.read(folder)["label"].tolist() == ["happiness"]
