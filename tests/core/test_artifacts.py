"""Artifacts are whole or not there, and damage is seen."""

import errno
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fakevoice.core import artifacts, locks
from fakevoice.core.errors import ArtifactError, LockedError

SOURCE = Path(artifacts.__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_replaces_the_old_one(tmp_path):
    artifacts.write_text(tmp_path / "deep" / "a.txt", "old")
    artifacts.write_text(tmp_path / "deep" / "a.txt", "né")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "né".encode()
    assert names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_inside_leaves_the_old_file(tmp_path, stop):
    artifacts.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(stop), artifacts.atomic_file(tmp_path / "a.txt") as file:
        file.write(b"half")
        raise stop
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    artifacts.write_text(tmp_path / "a.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(ArtifactError, match=r"cannot write .*a\.txt: No space left"):
        artifacts.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    order = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda *args: order.append("fsync") or fsync(*args))
    monkeypatch.setattr(os, "replace", lambda *args: order.append("replace") or replace(*args))
    artifacts.write_bytes(tmp_path / "a", b"x")
    assert order == ["fsync", "replace"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="file"):
        artifacts.write_text(tmp_path / "file" / "a.txt", "x")


def test_json_round_trip_with_sorted_keys(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"b": [1, 0.1], "a": "é"})
    artifacts.write_json(tmp_path / "b.json", {"a": "é", "b": [1, 0.1]})
    assert artifacts.read_json(tmp_path / "a.json") == {"a": "é", "b": [1, 0.1]}
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_broken_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.json"):
        artifacts.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("shape", [(3, 2), (0, 4)])
def test_array_round_trip(tmp_path, memory_map, shape):
    array = np.arange(np.prod(shape), dtype=np.float16).reshape(shape)
    artifacts.write_array(tmp_path / "a.npy", array)
    read = artifacts.read_array(tmp_path / "a.npy", memory_map=memory_map)
    assert read.dtype == np.float16 and np.array_equal(read, array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_written(tmp_path, value):
    with pytest.raises(ArtifactError, match="1 values not finite"):
        artifacts.write_array(tmp_path / "a.npy", np.array([0.0, value], np.float32))
    assert not names(tmp_path)


def test_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        artifacts.write_array(tmp_path / "a.npy", np.array([{}], object))
    assert not names(tmp_path)
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"b\.npy"):
        artifacts.read_array(tmp_path / "b.npy")


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("kept", [0, 5, 100, 500])
def test_a_cut_array_is_refused(tmp_path, memory_map, kept):
    path = tmp_path / "a.npy"
    artifacts.write_array(path, np.ones(1000, np.float32))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match=r"a\.npy.*--verify"):
        artifacts.read_array(path, memory_map=memory_map)


def test_rows_are_read_where_they_lie(tmp_path):
    whole = np.arange(60, dtype=np.float16).reshape(5, 4, 3)
    artifacts.write_array(tmp_path / "a.npy", whole)
    stored = artifacts.StoredArray(tmp_path / "a.npy")
    assert len(stored) == 5 and stored.shape == (5, 4, 3) and stored.dtype == np.float16
    for start, stop in ((0, 5), (1, 3), (4, 5), (2, 2)):
        assert np.array_equal(stored.rows(start, stop), whole[start:stop])


def test_rows_lie_one_after_the_other_whatever_was_written(tmp_path):
    whole = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    artifacts.write_array(tmp_path / "a.npy", whole)
    assert np.array_equal(artifacts.StoredArray(tmp_path / "a.npy").rows(1, 3), whole[1:3])
    np.save(tmp_path / "b.npy", whole)
    with pytest.raises(ArtifactError, match=r"b\.npy is not stored row after row"):
        artifacts.StoredArray(tmp_path / "b.npy")


def test_an_array_that_shrinks_while_it_is_read_is_named(tmp_path):
    artifacts.write_array(tmp_path / "a.npy", np.zeros(100))
    stored = artifacts.StoredArray(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(ArtifactError, match=r"a\.npy has become shorter"):
        stored.rows(99, 100)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(ArtifactError, match=r"cannot read .*a\.npy"):
        stored.rows(0, 1)


def test_an_archive_is_no_array(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, np.ones(3))
    with pytest.raises(ArtifactError, match=r"a\.npy"):
        artifacts.read_array(tmp_path / "a.npy")


def described(folder: Path) -> tuple[Path, dict]:
    path = folder / "runs" / "a.bin"
    artifacts.write_bytes(path, bytes(100))
    return path, artifacts.describe([path], folder)


def test_whole_files_are_not_damaged(tmp_path):
    _, outputs = described(tmp_path)
    assert list(outputs) == ["runs/a.bin"]
    assert artifacts.damaged(outputs, tmp_path, verify=True) == []


@pytest.mark.parametrize("size", [99, 101, None])
def test_another_size_is_damage(tmp_path, size):
    path, outputs = described(tmp_path)
    path.unlink() if size is None else path.write_bytes(bytes(size))
    assert artifacts.damaged(outputs, tmp_path, verify=False) == [path]


def test_a_flipped_bit_is_damage_where_one_looks(tmp_path):
    path, outputs = described(tmp_path)
    path.write_bytes(bytes(50) + b"\x01" + bytes(49))
    assert artifacts.damaged(outputs, tmp_path, verify=False) == []
    assert artifacts.damaged(outputs, tmp_path, verify=True) == [path]


def test_checksum_of_a_missing_file_is_a_named_error(tmp_path):
    with pytest.raises(ArtifactError, match="none"):
        artifacts.checksum(tmp_path / "none")


def temporary(process: int, host: str = artifacts.HOST) -> str:
    return f"{artifacts.TEMPORARY}{host}-{process}-0f-a.npy"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for name in (temporary(ended.pid), temporary(os.getpid()), f"{artifacts.TEMPORARY}nobody", "a.npy"):
        (tmp_path / name).touch()
    artifacts.remove_temporaries(tmp_path)
    assert names(tmp_path) == [temporary(os.getpid()), "a.npy"]


def test_what_another_machine_writes_stays_for_a_day(tmp_path):
    """Its process cannot be asked from here: the number may be nobody's here, or somebody else's."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    hours_old = {temporary(ended.pid, "gpu2"): 23, temporary(ended.pid, "gpu3"): 25, temporary(os.getpid(), "gpu3"): 25}
    for name, age in hours_old.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age * 3600,) * 2)
    artifacts.remove_temporaries(tmp_path)
    assert names(tmp_path) == [temporary(ended.pid, "gpu2")]


def test_a_temporary_says_which_process_of_which_machine_writes_it(tmp_path):
    names_of_one_file = [artifacts.temporary_path(tmp_path / "a.npy").name for _ in range(2)]
    assert len(set(names_of_one_file)) == 2
    for name in names_of_one_file:
        host, process, _, file = name.removeprefix(artifacts.TEMPORARY).split("-")
        assert (host, process, file) == (artifacts.HOST, str(os.getpid()), "a.npy")


def test_a_machine_whose_name_has_dashes_and_dots(tmp_path):
    code = (
        "import platform; platform.node = lambda: 'gpu-2.lab'; from fakevoice.core import artifacts; "
        "import pathlib, sys; "
        "print(artifacts.temporary_path(pathlib.Path('a')).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(SOURCE)}
    )
    assert done.stdout.startswith(f"{artifacts.TEMPORARY}gpu_2_lab-"), done.stderr


def test_a_half_written_file_is_known_as_this_processs_own(tmp_path):
    with artifacts.atomic_file(tmp_path / "a.npy"):
        artifacts.remove_temporaries(tmp_path)  # as another run would, at the same time
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == ["a.npy"]


def test_the_second_process_is_told_who_holds_the_lock(tmp_path):
    code = f"""
from pathlib import Path
from fakevoice.core.locks import folder_lock
with folder_lock(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"process {other.pid}\b"), locks.folder_lock(tmp_path):
            pass
        other.communicate("\n")
    with locks.folder_lock(tmp_path):
        assert (tmp_path / ".lock-owner").read_text() == f"process {os.getpid()} on {platform.node()}"
    assert not (tmp_path / ".lock-owner").exists()


def test_a_killed_holder_does_not_block(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock-owner").write_text("process 1")
    with locks.folder_lock(tmp_path):
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locks.folder_lock(tmp_path):
        raise RuntimeError
    with locks.folder_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="file"), locks.folder_lock(tmp_path / "file" / "run"):
        pass


@pytest.fixture
def linked(tmp_path):
    """A folder with a file, a link to a folder, a link to a file, a broken link, and links in circles."""
    folder, big = tmp_path / "folder", tmp_path / "big"
    for path in (folder / "a.wav", big / "train" / "b.wav", big / "c.wav"):
        artifacts.write_text(path, path.name)
    links = {"train": big / "train", "c.wav": big / "c.wav", "gone.wav": big / "gone.wav", "up": folder}
    for name, target in {**links, "self": folder / "self"}.items():
        (folder / name).symlink_to(target)
    (big / "train" / "back").symlink_to(folder)
    return folder


def test_files_are_walked_through_links_and_in_no_circle(linked):
    found = sorted(os.path.relpath(entry.path, linked) for entry in artifacts.walk(linked))
    assert found == ["a.wav", "c.wav", "gone.wav", "self", "train/b.wav"]
    assert [name for name, *_ in artifacts.listing(linked)] == found


@pytest.mark.parametrize("name", ["a.wav", "c.wav", "train/b.wav"])
def test_a_change_behind_a_link_changes_the_listing(linked, name):
    before = artifacts.listing(linked)
    (linked / name).resolve().write_text("longer than before")
    assert artifacts.listing(linked) != before


@pytest.mark.parametrize("name", ["gone.wav", "train/new.wav"])
def test_a_file_that_appears_behind_a_link_changes_the_listing(linked, name):
    before = artifacts.listing(linked)
    (linked / name).resolve().touch()
    appeared = artifacts.listing(linked)
    assert appeared != before
    (linked / name).resolve().unlink()
    assert artifacts.listing(linked) != appeared


def test_a_folder_that_is_not_there(tmp_path):
    assert artifacts.listing(tmp_path / "none") == []
    with pytest.raises(FileNotFoundError):
        list(artifacts.walk(tmp_path / "none"))


@pytest.mark.parametrize("name", ["../precious", "a/../../precious", "{folder}/precious", "", ".", "..", "a\0b"])
def test_a_manifest_that_lists_files_elsewhere_is_refused(tmp_path, name):
    precious, run = tmp_path / "precious", tmp_path / "run"
    precious.write_text("mine")
    outputs = {name.format(folder=tmp_path): {"size": 1, "sha256": ""}}
    artifacts.write_json(run / "manifest.json", {"outputs": outputs})
    with pytest.raises(ArtifactError, match="which is not a file of this run"):
        artifacts.read_manifest(run / "manifest.json")
    artifacts.remove_damaged(run)  # the manifest, so that the folder is made again
    assert precious.read_text() == "mine" and names(run) == []
