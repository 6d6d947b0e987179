"""The bound of a cache folder: what goes when something comes, and what stays."""

import os
from pathlib import Path

import pytest

from fakevoice.core import remote_eviction


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Four files of 100 bytes, `a` used longest ago; a process that has not measured it yet."""
    monkeypatch.setattr(remote_eviction, "_left", {})
    for place, name in enumerate(["a.wav", "b.wav", "in/c.csv", "in/d.wav"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (place, place))
    return tmp_path


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file()}


def is_table(name: str) -> bool:
    return name.endswith(".csv")


@pytest.mark.parametrize(
    ("size", "left"),
    [
        (70, {"a.wav", "b.wav", "c.csv", "d.wav"}),
        (90, {"b.wav", "c.csv", "d.wav"}),
        (290, {"c.csv"}),
        (10_000, {"c.csv"}),
    ],
)
def test_what_was_used_least_recently_goes_first(cache, size, left):
    with remote_eviction.room(cache, size, 500, is_table):  # 475 of the 500 are kept
        assert names(cache) == left


def test_what_other_threads_are_fetching_counts(cache):
    with remote_eviction.room(cache, 40, 500, is_table):
        assert len(names(cache)) == 4
        with remote_eviction.room(cache, 40, 500, is_table):
            assert names(cache) == {"b.wav", "c.csv", "d.wav"}


def test_what_failed_to_come_counts_no_longer(cache):
    with pytest.raises(OSError, match="broken"), remote_eviction.room(cache, 40, 500, is_table):
        raise OSError("broken")
    with remote_eviction.room(cache, 40, 500, is_table):
        assert len(names(cache)) == 4


def test_it_measures_again_after_a_hundredth_of_the_bound(cache):
    seen = []
    for _ in range(5):
        with remote_eviction.room(cache, 10, 4000, is_table):
            seen.append(len(names(cache)))
        (cache / "e.wav").write_bytes(bytes(4000))  # by another process
    assert seen == [4, 5, 5, 5, 1]
