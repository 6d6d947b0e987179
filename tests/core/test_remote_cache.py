"""Files of a URL come here whole, once, when they are read; what changes there changes here, and the rest stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.files import find_audio, split_part
from fakevoice.audio.read import read_audio
from fakevoice.core import artifacts, plugins, remote, remote_cache, remote_eviction
from fakevoice.core.artifacts import TEMPORARY
from fakevoice.core.errors import AudioError, DataError, RemoteError
from fakevoice.data.audit import audit_clips, check_audit, find_missing
from fakevoice.inference.inputs import list_sources

URL = "memory://bucket/voices"
RATE = 8000


class Store:
    """What lies at `URL`, and which files were read there."""

    def __init__(self, system):
        self.system = system
        self.read: list[str] = []

    def put(self, **files: bytes) -> None:
        for name, content in files.items():
            self.put_file(name.replace("__", "/"), content)

    def put_file(self, name: str, content: bytes) -> None:
        self.system.pipe_file(f"/bucket/voices/{name}", content)

    def take(self, name: str) -> None:
        self.system.rm_file(f"/bucket/voices/{name}")


@pytest.fixture
def store(monkeypatch) -> Store:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    remote._opened.cache_clear()
    remote_eviction._left.clear()
    store, cat_file = Store(system), type(system).cat_file

    def counted(self, path, start=None, end=None, **options):
        store.read.append(path.removeprefix("/bucket/voices/"))
        return cat_file(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(system), "cat_file", counted)
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.001)
    yield store
    system.store.clear()


@pytest.fixture
def folder(tmp_path) -> Path:
    return remote_cache.mirror_folder(tmp_path, URL)


def here(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> bytes:
    with remote_cache.opening(path, lambda path: path.open("rb")) as file:
        return file.read()


def wav(folder: Path, seed: int = 0, duration_s: float = 0.2) -> bytes:
    sound = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE))
    soundfile.write(folder / "made.wav", sound, RATE)
    return (folder / "made.wav").read_bytes()


def test_tables_come_when_listed_and_the_rest_when_read(store, folder):
    store.put(**{"train.csv": b"id\n", "LA__protocol.txt": b"x y", "train__a.wav": b"sound", "train__deep__b.wav": b""})
    remote_cache.update(folder, URL, 1)
    assert here(folder) == {"train.csv", "LA/protocol.txt"} == set(store.read)
    assert (folder / "train" / "deep").is_dir()
    assert remote_cache.exists(folder / "train/a.wav") and not remote_cache.exists(folder / "train/c.wav")
    assert read(folder / "train/a.wav") == b"sound" and read(folder / "train/deep/b.wav") == b""
    assert read(folder / "train/a.wav") == b"sound"
    assert store.read.count("train/a.wav") == 1
    with pytest.raises(FileNotFoundError):
        read(folder / "train/c.wav")


def test_an_equal_listing_is_left_alone_and_reads_nothing(store, folder):
    store.put(**{"train.csv": b"id\n", "a.wav": b"sound"})
    remote_cache.update(folder, URL, 1)
    read(folder / "a.wav")
    before, store.read[:] = remote_cache.listing(folder), []
    time_ns = (folder.parent / "index.json").stat().st_mtime_ns
    remote_cache.update(folder, URL, 1)
    assert remote_cache.listing(folder) == before and store.read == []
    assert (folder.parent / "index.json").stat().st_mtime_ns == time_ns
    assert read(folder / "a.wav") == b"sound" and store.read == []


def test_what_changed_or_went_is_no_longer_here(store, folder):
    store.put(**{"REAL__a.wav": b"old a", "REAL__b.wav": b"b", "old__c.wav": b"c"})
    remote_cache.update(folder, URL, 1)
    for name in ("REAL/a.wav", "REAL/b.wav", "old/c.wav"):
        read(folder / name)
    before = remote_cache.listing(folder)
    store.put(REAL__a_wav=b"", **{"REAL__a.wav": b"new a"})  # of the same size
    store.take("old/c.wav")
    store.read[:] = []
    remote_cache.update(folder, URL, 1)
    assert remote_cache.listing(folder) != before
    assert here(folder) == {"REAL/b.wav"} and not (folder / "old").exists()
    assert read(folder / "REAL/a.wav") == b"new a" and read(folder / "REAL/b.wav") == b"b"
    assert store.read == ["REAL/a.wav"]


def test_a_client_lists_anew(store, monkeypatch):
    forgotten, system = [], type(store.system)
    monkeypatch.setattr(system, "invalidate_cache", lambda self, path=None: forgotten.append(path))
    find = system.find
    monkeypatch.setattr(system, "find", lambda *args, **options: find(*args, **options) if forgotten else {})
    store.put(**{"a.wav": b"sound"})
    forgotten.clear()
    assert remote.list_files(URL).keys() == {"a.wav"}


def test_a_lost_index_takes_the_files_along(store, folder):
    store.put(**{"a.wav": b"old"})
    remote_cache.update(folder, URL, 1)
    read(folder / "a.wav")
    (folder.parent / "index.json").unlink()
    store.put(**{"a.wav": b"new"})
    remote_cache.update(folder, URL, 1)
    assert read(folder / "a.wav") == b"new"


def test_a_file_of_another_size_is_fetched_again(store, folder):
    store.put(**{"a.wav": b"sound"})
    remote_cache.update(folder, URL, 1)
    (folder / "a.wav").write_bytes(b"so")
    assert read(folder / "a.wav") == b"sound"


@pytest.mark.parametrize("now", [b"longer than it was", b"short", b""])
def test_a_file_that_changed_since_it_was_listed_is_named(store, folder, now):
    store.put(**{"a.wav": b"as listed"})
    remote_cache.update(folder, URL, 1)
    store.put(**{"a.wav": now})
    with pytest.raises(RemoteError, match=r"memory://bucket/voices/a\.wav: has changed since it was listed"):
        read(folder / "a.wav")
    assert here(folder) == set()


def test_large_files_come_in_blocks(store, folder, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4)
    store.put(**{"a.wav": bytes(range(10)), "b.wav": bytes(range(8))})
    remote_cache.update(folder, URL, 1)
    assert read(folder / "a.wav") == bytes(range(10)) and read(folder / "b.wav") == bytes(range(8))
    assert store.read == ["a.wav"] * 3 + ["b.wav"] * 2


@pytest.mark.parametrize("name", ["../a.wav", "b/../../a.wav", "/a.wav", "b//a.wav", "./a.wav", "n" * 300, "b/\0.wav"])
def test_names_that_are_no_files_are_passed_over(store, folder, monkeypatch, name):
    listed = {name: (5, "1"), "a.wav": (5, "1"), "b": (0, "1"), "b/c.wav": (5, "1")}
    monkeypatch.setattr(remote, "list_files", lambda url: listed)
    remote_cache.update(folder, URL, 1)
    assert [name for name, *_ in remote_cache.listing(folder)] == ["a.wav", "b/c.wav"]


def test_nothing_there(store, folder):
    store.put(**{"a.wav": b"sound"})
    with pytest.raises(RemoteError, match=r"memory://bucket/voice: holds no files; is the name right\?"):
        remote_cache.update(folder, "memory://bucket/voice", 1)


def test_least_recently_used_files_go_first_and_tables_stay(store, folder):
    store.put(**{"t.csv": b"t" * 1000, **{f"{i}.wav": b"x" * 1000 for i in range(8)}})
    remote_cache.update(folder, URL, 5.5e-6)  # that is 5,500 bytes, of which the index and the table take 1,700
    for index in (0, 1, 2):
        read(folder / f"{index}.wav")
        os.utime(folder / f"{index}.wav", (index, index))
    read(folder / "0.wav")  # used again, so that 1 is the oldest
    read(folder / "3.wav")
    assert here(folder) == {"t.csv", "0.wav", "2.wav", "3.wav"}
    for index in range(8):
        assert read(folder / f"{index}.wav") == b"x" * 1000
        assert sum(path.stat().st_size for path in folder.parent.rglob("*") if path.is_file()) < 5500
    assert "t.csv" in here(folder)


def test_a_file_larger_than_the_bound_is_read_all_the_same(store, folder):
    store.put(**{"a.wav": b"x" * 1000, "b.wav": b"y" * 1000})
    remote_cache.update(folder, URL, 1e-9)
    assert read(folder / "a.wav") == b"x" * 1000 and read(folder / "b.wav") == b"y" * 1000
    assert here(folder) == {"b.wav"}


def test_a_file_evicted_between_fetching_and_opening_is_fetched_again(store, folder):
    store.put(**{"a.wav": b"sound"})
    remote_cache.update(folder, URL, 1)
    n_evicted = iter(range(2))

    def open_evicted(path: Path) -> bytes:
        for _ in n_evicted:
            path.unlink()
            break
        return path.read_bytes()

    assert remote_cache.opening(folder / "a.wav", open_evicted) == b"sound"
    assert store.read == ["a.wav"] * 3


def test_the_next_files_are_on_their_way_but_not_all(store, folder):
    names = [f"{i:03d}.wav" for i in range(100)]
    store.put(**{name: name.encode() for name in names})
    remote_cache.update(folder, URL, 1)
    paths = remote_cache.ahead([folder / name for name in names])
    assert next(paths) == folder / "000.wav" and (folder / "000.wav").is_file()
    deadline, n_held = time.monotonic() + 10, remote_cache.N_AHEAD + 1
    while len(list(folder.glob("0*.wav"))) < n_held and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert {name for name in here(folder) if not name.startswith(TEMPORARY)} == set(names[:n_held])
    assert [path.name for path in paths] == names[1:]
    assert sorted(store.read) == names


def test_items_may_have_several_files_or_share_one(store, folder):
    store.put(**{f"{i}.wav": b"x" for i in range(4)})
    remote_cache.update(folder, URL, 1)
    items = [(0, 1), (), (1, 2), (2, 3)]
    found = list(remote_cache.ahead(items, lambda item: [folder / f"{i}.wav" for i in item]))
    assert found == items and here(folder) == {f"{i}.wav" for i in range(4)}
    assert sorted(store.read) == [f"{i}.wav" for i in range(4)]


def test_looking_ahead_leaves_errors_to_whoever_reads(store, folder):
    store.put(**{"a.wav": b"a", "b.wav": b"b"})
    remote_cache.update(folder, URL, 1)
    store.take("a.wav")
    a, b = remote_cache.ahead([folder / "a.wav", folder / "b.wav"])
    with pytest.raises(AudioError, match=r"memory://bucket/voices/a\.wav: no such file"):
        read(a)
    assert read(b) == b"b"


def test_local_paths_pass_through_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(remote_cache, "fetch", lambda *_, **__: pytest.fail("a file of this machine was fetched"))
    paths = [tmp_path / "data_cache" / "x" / f"{i}.wav" for i in range(50)]  # the name alone makes no mirror
    assert list(remote_cache.ahead(paths)) == paths
    assert not remote_cache.is_mirrored(paths[0]) and remote_cache.files_below(tmp_path) is None
    assert remote_cache.shown(paths[0]) == str(paths[0])


def test_a_home_below_a_folder_of_that_name(store, tmp_path):
    store.put(**{"data_cache__a.wav": b"a"})
    folder = remote_cache.mirror_folder(tmp_path / "data_cache" / "home", URL)
    remote_cache.update(folder, URL, 1)
    assert read(folder / "data_cache" / "a.wav") == b"a"
    assert remote_cache.shown(folder / "data_cache" / "a.wav") == f"{URL}/data_cache/a.wav"


def test_what_a_killed_process_left_half_written_is_swept(store, folder):
    store.put(**{"train__a.wav": b"sound"})
    remote_cache.update(folder, URL, 1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = artifacts.temporary_path(folder / "train" / "a.wav").name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    (folder / "train" / left).write_bytes(b"so")
    assert [path.name for path in find_audio(folder)] == ["a.wav"]
    remote_cache.update(folder, URL, 1)
    assert here(folder) == set()


def test_a_broken_connection_leaves_nothing(store, folder, monkeypatch):
    store.put(**{"a.wav": b"sound" * 10})
    remote_cache.update(folder, URL, 1)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 10)
    counted, n_calls = store.system.cat_file, []

    def breaking(path, **limits):
        n_calls.append(path)
        if len(n_calls) > 2:
            raise ConnectionResetError("reset")
        return counted(path, **limits)

    monkeypatch.setattr(type(store.system), "cat_file", lambda self, path, **limits: breaking(path, **limits))
    with pytest.raises(RemoteError, match=r"a\.wav: cannot be reached \(ConnectionResetError: reset\)"):
        read(folder / "a.wav")
    assert len(n_calls) == 2 + remote.N_TRIES and not list(folder.rglob("*.wav")) and not here(folder)
    assert not [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]


def test_audio_is_found_by_name_and_decoded_when_read(store, folder, tmp_path):
    store.put(**{"b__x.WAV": wav(tmp_path), "b__y.txt": b"no", "a.ogg": b"", "b__c__z.wav": b"text"})
    remote_cache.update(folder, URL, 1)
    assert [path.relative_to(folder).as_posix() for path in find_audio(folder)] == ["a.ogg", "b/c/z.wav", "b/x.WAV"]
    assert [path.name for path in find_audio(folder / "b")] == ["z.wav", "x.WAV"]
    assert len(read_audio(folder / "b/x.WAV", RATE).waveform) == 0.2 * RATE
    assert len(read_audio(f"{folder}/b/x.WAV#t=0.1,0.15", RATE).waveform) == 0.05 * RATE
    assert split_part(folder / "b/x.WAV#t=0,1")[0] == folder / "b/x.WAV"
    for name, reason in (("a.ogg", "0 bytes"), ("b/c/z.wav", "cannot be decoded"), ("none.wav", "No such file")):
        with pytest.raises(AudioError, match=reason):
            read_audio(folder / name, RATE)
    with pytest.raises(DataError, match="No such file"):
        find_audio(folder / "none")


def clip_rows(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"id": list(paths), "path": list(paths), "split": "train", "label": "real"})


def test_one_file_that_cannot_be_fetched_is_one_bad_file(store, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    store.put(**{f"{name}.wav": wav(tmp_path) for name in "abc"})
    remote_cache.update(folder, URL, 1)
    store.take("b.wav")
    (counted,) = [type(store.system).cat_file]

    def busy(self, path, **limits):
        if path.endswith("c.wav"):
            raise TimeoutError("busy")
        return counted(self, path, **limits)

    monkeypatch.setattr(type(store.system), "cat_file", busy)
    clips = clip_rows("a.wav", "b.wav", "c.wav", "none.wav")
    assert find_missing(clips, folder)["id"].tolist() == ["none.wav"]
    facts, _ = audit_clips(clips, folder, RATE)
    errors = check_audit(facts, "mark").set_index("id")["reason"]
    assert errors["b.wav"] == "no such file" and "none.wav" in errors and "a.wav" not in errors
    assert errors["c.wav"].startswith(f"{URL}/c.wav: cannot be reached (TimeoutError: busy)")


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (f"{URL}/test", ["TEST_1", "TEST_2"]),
        (f"{URL}/test/", ["TEST_1", "TEST_2"]),
        (f"{URL}/test/TEST_2.wav", ["TEST_2"]),
        (f"{URL}/some.csv", ["one"]),
    ],
)
def test_what_to_predict_may_lie_at_a_url(store, tmp_path, monkeypatch, argument, found):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    store.put(**{"some.csv": b"id,path\none,test/TEST_2.wav\n", "test__TEST_1.wav": wav(tmp_path, 1)})
    store.put(**{"test__TEST_2.wav": wav(tmp_path, 2)})
    sources = list_sources([argument])
    assert [source.id for source in sources] == found
    assert not any(name.endswith(".wav") for name in store.read)
    expected = soundfile.read(tmp_path / "made.wav")[0]
    np.testing.assert_allclose(read_audio(sources[-1].path, RATE).waveform, expected, atol=1e-4)
    assert remote_cache.shown(sources[-1].path) == f"{URL}/test/TEST_2.wav"


def test_nothing_to_predict_at_a_url(store, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    with pytest.raises(RemoteError, match=f"{URL}/none: holds no files"):
        list_sources([f"{URL}/none"])


def test_adapters_of_folders_see_names_alone(store, folder):
    store.put(**{f"{label}__{i}.wav": b"x" for label in ("REAL", "fake", "test") for i in range(3)})
    remote_cache.update(folder, URL, 1)
    clips = plugins.load("datasets", "folders").read(folder)
    assert clips.groupby(["split", "label"]).size().to_dict() == {
        ("test", ""): 3,
        ("train", "fake"): 3,
        ("train", "real"): 3,
    }
    plugins.load("datasets", "length_bias").make(folder)  # makes nothing where something is
    assert store.read == [] and here(folder) == set()


def test_videos_at_a_url_are_refused_unless_their_audio_is_there(store, folder):
    emotion = plugins.load("datasets", "emotion")
    store.put(**{"actor001_001.mp4": b"video", "audio__actor001_001.wav": b"x"})
    remote_cache.update(folder, URL, 1)
    emotion.make(folder)
    assert emotion.read(folder)["label"].tolist() == ["happiness"]
    store.put(**{"actor001_051.mp4": b"video"})
    remote_cache.update(folder, URL, 1)
    with pytest.raises(DataError, match=f"{URL}: 1 videos have no audio there"):
        emotion.make(folder)


def test_deep_voice_measures_recordings_that_are_fetched(store, folder, tmp_path):
    for label, n_s in (("REAL", 2), ("FAKE", 3)):
        store.put(**{f"{label}__a.wav": wav(tmp_path, n_s, n_s)})
    remote_cache.update(folder, URL, 1)
    clips = plugins.load("datasets", "deep_voice").read(folder)
    assert clips["label"].value_counts().to_dict() == {"fake": 3, "real": 2}
    assert sorted(store.read) == ["FAKE/a.wav", "REAL/a.wav"]
