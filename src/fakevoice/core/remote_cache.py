"""The part of a URL that lies on this disk: files are fetched when they are read, and the next ones while one is used.

    data_cache/<hash of the URL>/index.json     every file there, as it was last listed
    data_cache/<hash of the URL>/<name>/...     those that were read, whole; least recently used ones go first

All that a worker needs is a path: whether it lies in a mirror, and of what, its own parts tell. A path elsewhere is
a file of this machine, for which nothing here does anything.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from fakevoice.core import artifacts, remote, remote_eviction
from fakevoice.core.errors import FakevoiceError, RemoteError

FOLDER, INDEX = "data_cache", "index.json"
TABLES = (".csv", ".txt")  # fetched when they are listed, and never evicted
N_AHEAD = 32
N_OPENINGS = 5  # of a file that others evict each time
MAX_NAME_BYTES = 255
Item, Opened = TypeVar("Item"), TypeVar("Opened")


@dataclass(frozen=True)
class _Index:
    """What is at a URL.

    Attributes:
        url: without password.
        max_bytes: of all mirrors together.
        files: relative path → size in bytes and version.
    """

    url: str
    max_bytes: int
    files: dict[str, list]


class _Place(NamedTuple):
    """Where a path lies: of which index, under which name there, in which cache folder."""

    index: _Index
    name: str
    cache: Path

    @property
    def size(self) -> int | None:
        """Bytes of the file that is there; None where there is none."""
        facts = self.index.files.get(self.name)
        return facts[0] if facts else None


def mirror_folder(home: Path, url: str) -> Path:
    """Where files of a URL are put, there or not yet; its name is the last part of the URL."""
    shown = remote.shown(url).rstrip("/")
    name = shown.rpartition("/")[2] or "root"
    return home / FOLDER / hashlib.sha256(shown.encode()).hexdigest()[:12] / name


def update(folder: Path, url: str, max_gb: float) -> None:
    """List a URL: afterwards folders and tables are here, and what has changed or is gone is not.

    Args:
        folder: of `mirror_folder`.
        max_gb: bound of all mirrors together, in 10⁹ bytes.

    Raises:
        RemoteError: it cannot be listed, or holds nothing.
    """
    _settle(folder, url, remote.list_files(url), max_gb)


def enter(home: Path, url: str, max_gb: float) -> Path:
    """The local path of a URL that is a folder, a file, or a table which names files beside it.

    Raises:
        RemoteError: as `update`.
    """
    url = url.rstrip("/")
    beside, _, name = url.rpartition("/")
    if name.lower().endswith(".csv"):
        return enter(home, beside, max_gb) / name
    folder, listed = mirror_folder(home, url), remote.list_files(url)
    if "" in listed:
        _settle(folder, beside, {name: listed[""]}, max_gb)
        return folder / name
    _settle(folder, url, listed, max_gb)
    return folder


def listing(folder: Path) -> list[tuple[str, int, str]]:
    """Relative path, size and version of every file of a mirror, as last listed."""
    return sorted((name, *facts) for name, facts in _read(folder.parent / INDEX).files.items())


def is_mirrored(path: Path) -> bool:
    """Whether a path lies in a mirror."""
    return _place(path) is not None


def exists(path: Path) -> bool:
    """Whether there is such a file or folder, here or at the URL."""
    place = _place(path)
    return os.path.exists(path) or (place is not None and place.size is not None)


def shown(path: Path) -> str:
    """A path as people know it: with the URL that it mirrors."""
    place = _place(path)
    return str(path) if place is None else f"{place.index.url}/{place.name}".rstrip("/")


def files_below(folder: Path) -> list[Path] | None:
    """Every file below a folder of a mirror, fetched or not; None where it is a folder of this machine."""
    place = _place(folder)
    if place is None:
        return None
    above = f"{place.name}/" if place.name else ""
    return [folder / name.removeprefix(above) for name in place.index.files if name.startswith(above)]


def fetch(path: Path, n_tries: int = remote.N_TRIES) -> None:
    """Bring a file of a mirror here, unless it is; a path of this machine, or one that nobody knows, is left alone.

    Raises:
        AudioError: this file is gone or denied, where others are not.
        RemoteError: the connection or the server fails.
        ArtifactError: the disk is full.
    """
    place = _place(path)
    if place is None or place.size is None or _is_here(path, place.size):
        return
    with (
        remote_eviction.room(place.cache, place.size, place.index.max_bytes, _stays),
        artifacts.atomic_file(path) as file,
    ):
        remote.download(_with_password(place.index.url), place.name, place.size, file, n_tries)


def opening(path: Path, open_file: Callable[[Path], Opened]) -> Opened:
    """What ``open_file(path)`` returns; a file of a mirror is fetched first, again where it was evicted in between.

    Raises:
        OSError: as `open_file` does.
        AudioError, RemoteError, ArtifactError: as `fetch`.
    """
    for _ in range(N_OPENINGS):
        fetch(path)
        try:
            return open_file(path)
        except FileNotFoundError:
            if not exists(path):
                raise
    raise RemoteError(f"{shown(path)}: evicted before it could be read; data.cache_gb is too small")


def ahead(items: Iterable[Item], files_of: Callable[[Item], Iterable[Path]] = lambda path: [path]) -> Iterator[Item]:
    """The same items; while one is used, the files of the next ones are fetched.

    Reading them finds out what went wrong, and tries again.

    Args:
        files_of: paths that are read for an item, which is itself a path where nothing is said.
    """
    pool = ThreadPoolExecutor(remote.N_THREADS)  # has no thread before there is something to fetch
    fetched: dict[Path, Future] = {}
    waiting: deque[tuple[Item, list[Future]]] = deque()
    try:
        for item in items:
            absent = [path for path in files_of(item) if _is_absent(path)]
            fetched |= {path: pool.submit(_try_to_fetch, path) for path in absent if path not in fetched}
            waiting.append((item, [fetched[path] for path in absent]))
            if len(waiting) > N_AHEAD:
                yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _settle(folder: Path, url: str, listed: dict[str, tuple[int, str]], max_gb: float) -> None:
    """Write down what was listed, make the folders, drop what is stale, and fetch the tables."""
    folders = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents}
    files = {name: list(facts) for name, facts in listed.items() if name not in folders and _can_be_a_file(name)}
    if not files:
        raise RemoteError(f"{remote.shown(url)}: holds no files; is the name right?")
    _replace_index(folder, _Index(remote.shown(url), round(max_gb * 1e9), files))
    for name in sorted({str(PurePosixPath(name).parent) for name in files}):
        (folder / name).mkdir(parents=True, exist_ok=True)
        artifacts.remove_temporaries(folder / name)
    for path in ahead([folder / name for name in files if name.lower().endswith(TABLES)]):
        fetch(path)


def _arrived(item: Item, fetched: list) -> Item:
    for future in fetched:
        future.result()
    return item


def _try_to_fetch(path: Path) -> None:
    with contextlib.suppress(FakevoiceError):
        fetch(path, n_tries=1)


def _can_be_a_file(name: str) -> bool:
    """No name that leads out of the mirror, or that no file system takes: there it is as if it did not exist."""
    parts = name.split("/")
    return "\0" not in name and all(0 < len(p.encode()) <= MAX_NAME_BYTES and p not in (".", "..") for p in parts)


def _replace_index(folder: Path, index: _Index) -> None:
    """Write the index; before that go the files that it says are others now."""
    file = folder.parent / INDEX
    known = _read(file).files if file.is_file() else {}
    if file.is_file() and _read(file) == index:
        return
    places = [place for place, *_ in os.walk(folder, topdown=False)]
    for path in (Path(place, name) for place in places for name in os.listdir(place)):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            with contextlib.suppress(OSError):
                path.rmdir()  # where it is empty
        elif not path.name.startswith(artifacts.TEMPORARY) and known.get(name) != index.files.get(name, ""):
            path.unlink(missing_ok=True)
    artifacts.write_text(file, json.dumps(asdict(index)))


def _read(file: Path) -> _Index:
    stat = file.stat()
    return _parsed(file, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=8)
def _parsed(file: Path, time_ns: int, inode: int) -> _Index:
    """An index, read once in each process; time and inode tell a new one."""
    return _Index(**artifacts.read_json(file))


def _place(path: Path) -> _Place | None:
    """Where in a mirror a path lies; None for a path of this machine."""
    parts = Path(path).parts
    for at in (i for i, part in enumerate(parts) if part == FOLDER):
        with contextlib.suppress(OSError):
            cache = Path(*parts[: at + 1])
            return _Place(_read(cache.joinpath(*parts[at + 1 : at + 2], INDEX)), "/".join(parts[at + 3 :]), cache)
    return None


def _with_password(url: str) -> str:
    """The URL as FAKEVOICE_DATA gives it: with the password that no index holds."""
    root = os.environ.get("FAKEVOICE_DATA", "")
    known = remote.shown(root)
    return root + url.removeprefix(known) if root and url.startswith(known) else url


def _is_here(path: Path, size: int) -> bool:
    """Whether a file was fetched; if so, it counts as used now."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _is_absent(path: Path) -> bool:
    place = _place(path)
    return place is not None and place.size is not None and not _is_here(path, place.size)


def _stays(name: str) -> bool:
    return name == INDEX or name.lower().endswith(TABLES) or name.startswith(artifacts.TEMPORARY)
