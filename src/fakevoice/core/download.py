"""Download the files of a URL into a folder under home, once.

    data_cache/<hash of the URL>/index.json     the files that were listed: name → size and version
    data_cache/<hash of the URL>/<name>/...     the files

Each file is written atomically, so a killed download continues where it stopped. Files that changed at the URL since
the last listing are downloaded again, files that were removed there are deleted here.
"""

import contextlib
import hashlib
import json
import os
import threading
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath

from fakevoice.core import artifacts, locks, remote
from fakevoice.core.errors import RemoteError
from fakevoice.core.progress import Progress

INDEX = "index.json"
MAX_NAME_BYTES = 255

Files = dict[str, tuple[int, str]]  # relative path → size in bytes, version


def local_folder(home: Path, url: str) -> Path:
    """Where the files of a URL are downloaded to; its name is the last part of the URL."""
    shown = remote.shown(url).rstrip("/")
    name = shown.rpartition("/")[2] or "root"
    return home / "data_cache" / hashlib.sha256(shown.encode()).hexdigest()[:12] / name


def download(home: Path, url: str, max_gb: float) -> Path:
    """Download a folder, a file, or a table (``.csv``) together with the folder that it is in.

    Args:
        max_gb: largest size of all files together, in 10⁹ bytes.

    Returns:
        The local path.

    Raises:
        RemoteError: it cannot be listed or read, is empty, or is too large; nothing is downloaded in the last case.
        ArtifactError: the disk is full.
        LockedError: another process is downloading the same URL.
    """
    url = url.rstrip("/")
    beside, _, name = url.rpartition("/")
    if name.lower().endswith(".csv"):
        return download(home, beside, max_gb) / name
    folder, files = local_folder(home, url), _listed(url)
    if "" in files:
        _fetch_all(folder, beside, {name: files[""]}, max_gb)
        return folder / name
    _fetch_all(folder, url, files, max_gb)
    return folder


def downloaded(folder: Path, url: str = "") -> list[tuple[str, int, str]]:
    """Name, size and version of the files of a download that are complete on this disk.

    Args:
        folder: of `local_folder`.
        url: list it again, to exclude files that have changed there; as listed by the last download if empty.

    Raises:
        RemoteError: it cannot be listed, or is empty.
    """
    known = _index(folder)
    files = _listed(url) if url else known
    return [(name, *files[name]) for name in sorted(files) if _is_complete(folder, name, files, known)]


def _listed(url: str) -> Files:
    """The files at a URL that can be files here: no names that lead out of the folder or that are too long."""
    files = remote.list_files(url)
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    files = {name: facts for name, facts in files.items() if name == "" or (name not in folders and _is_valid(name))}
    if not files:
        raise RemoteError(f"{remote.shown(url)}: holds no files; is the name right?")
    return files


def _is_valid(name: str) -> bool:
    parts = name.split("/")
    return "\0" not in name and all(0 < len(p.encode()) <= MAX_NAME_BYTES and p not in (".", "..") for p in parts)


def _index(folder: Path) -> Files:
    """What was listed by the last download; empty before the first one."""
    file = folder.parent / INDEX
    if not file.is_file():
        return {}
    return {name: (size, version) for name, (size, version) in artifacts.read_json(file).items()}


def _is_complete(folder: Path, name: str, files: Files, known: Files) -> bool:
    if files[name] != known.get(name):
        return False
    try:
        return (folder / name).stat().st_size == files[name][0]
    except (FileNotFoundError, NotADirectoryError):
        return False


def _fetch_all(folder: Path, url: str, files: Files, max_gb: float) -> None:
    total_gb = sum(size for size, _ in files.values()) / 1e9
    if total_gb > max_gb:
        raise RemoteError(
            f"{remote.shown(url)}: {total_gb:.3g} GB of files, and data.cache_gb={max_gb:g} allows {max_gb:g} GB"
        )
    with locks.folder_lock(folder.parent):
        _remove_stale(folder, _index(folder), files)
        if _index(folder) != files:
            artifacts.write_text(folder.parent / INDEX, json.dumps(files))
        _fetch(folder, url, {name: files[name] for name in files if not _is_complete(folder, name, files, files)})


def _remove_stale(folder: Path, known: Files, files: Files) -> None:
    """Remove files that changed or are gone, temporary files of killed downloads, and folders that are empty."""
    for name in {*known, *files}:
        if known.get(name) != files.get(name) and (folder / name).is_file():
            (folder / name).unlink()
    for path, _, _ in os.walk(folder, topdown=False):
        artifacts.remove_temporaries(Path(path))
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _fetch(folder: Path, url: str, files: Files) -> None:
    """Download files by several threads, with one progress bar in MB."""
    total = sum(size for size, _ in files.values())
    listed_ns = (folder.parent / INDEX).stat().st_mtime_ns
    progress, lock, n_bytes = Progress(round(total / 1e6), "download", "MB"), threading.Lock(), 0

    def fetch(name: str) -> None:
        nonlocal n_bytes
        with artifacts.atomic_file(folder / name) as file:
            for block in remote.read_blocks(url, name, files[name][0]):
                file.write(block)
                with lock:
                    n_bytes += len(block)
                    progress.update(round(n_bytes / 1e6))
        # One time for all: audio that was uploaded with its video must not look older than it.
        os.utime(folder / name, ns=(listed_ns, listed_ns))

    try:
        with ThreadPool(remote.N_THREADS) as pool:  # ends without waiting for other files when one fails
            for _ in pool.imap_unordered(fetch, files):
                pass
    finally:
        progress.close()
