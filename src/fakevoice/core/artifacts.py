"""Artifacts: written whole or not at all, known by their checksums, listed in a manifest written last.

NumPy is imported by the functions that need it, because `status` needs none of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

from fakevoice.core.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np

SCHEMA_VERSION = 1
DIGEST_SIZE = hashlib.sha256().digest_size
TEMPORARY = ".writing-"
MAX_NAME_BYTES = 200  # of a temporary file; file systems allow 255
HOST = re.sub(r"\W", "_", platform.node())  # in the names of temporaries, where "-" separates
FOREIGN_AGE_S = 24 * 3600.0  # after which another machine's temporary belongs to nobody


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path`; it takes its place only when the block ends well.

    A link stays, and the file that it leads to is replaced. A device or a pipe is written to.

    Raises:
        ArtifactError: disk full, no permission, read-only folder; nothing temporary is left.
    """
    given = path
    if os.path.islink(path) and not is_device(path):  # unlike `Path.is_symlink`, it accepts names that are too long
        path = Path(os.path.realpath(path))
    temporary = temporary_path(path)
    try:
        if is_device(path):
            with path.open("wb") as device:
                yield device
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ArtifactError(f"cannot write {given}: {error.strerror or error}; free space or permissions?") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """A new name beside `path` that says which process of which machine is writing it."""
    name = f"{TEMPORARY}{HOST}-{os.getpid()}-{uuid.uuid4().hex}-{path.name}"
    return path.with_name(os.fsencode(name)[:MAX_NAME_BYTES].decode(errors="ignore"))


def is_device(path: Path) -> bool:
    """Whether a path is a device, a pipe or a socket, such as /dev/stdout, also where that leads to a file."""
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_file(path) as file:
        file.write(content)


def write_with_checksum(path: Path, content: bytes) -> None:
    """Write bytes atomically, their SHA-256 before them: for a file that no manifest knows yet."""
    write_bytes(path, hashlib.sha256(content).digest() + content)


def read_with_checksum(path: Path) -> bytes:
    """What `write_with_checksum` wrote.

    Raises:
        ArtifactError: the file is missing, or its content is another.
    """
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    seal, content = whole[:DIGEST_SIZE], whole[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != seal:
        raise ArtifactError(f"{path} is damaged")
    return content


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically, keys sorted so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one `.npy` atomically.

    Raises:
        ArtifactError: the array is not all finite (a NaN in a cache poisons every training after it).
    """
    import numpy as np

    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactError(f"refusing to write {path}: {np.count_nonzero(~np.isfinite(array))} values not finite")
    with atomic_file(path) as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)  # row after row, as `StoredArray` reads them


def read_array(path: Path, *, memory_map: bool = False) -> np.ndarray:
    """Read one `.npy` without pickle.

    Raises:
        ArtifactError: the file is missing, cut, or not a plain array.
    """
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
    except Exception as error:  # a damaged header goes through Python's own parser, which has errors of many kinds
        raise ArtifactError(f"cannot read {path}: {error}; rerun with --verify to rebuild it") from error
    if not isinstance(array, np.ndarray):
        raise ArtifactError(f"{path} is an archive, not one array; rerun with --verify to rebuild it")
    return array


class StoredArray:
    """A `.npy` whose rows are read when they are asked for, and stay nowhere.

    A memory map would count every page that was ever touched as this process's memory.

    Attributes:
        shape: of the whole array, (n_rows, ...).
        dtype: of its values.

    Raises:
        ArtifactError: the file is missing, cut, or not a plain array.
    """

    def __init__(self, path: Path):
        mapped = read_array(path, memory_map=True)  # checks header and size
        if not mapped.flags.c_contiguous:
            raise ArtifactError(f"{path} is not stored row after row; rerun with --verify to rebuild it")
        self.path, self.shape, self.dtype, self._offset = path, mapped.shape, mapped.dtype, mapped.offset
        self._row_values = math.prod(self.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows from `start` up to and without `stop`, (stop - start, ...) as they are stored."""
        import numpy as np

        row_bytes, n_values = self._row_values * self.dtype.itemsize, (stop - start) * self._row_values
        try:
            values = np.fromfile(self.path, self.dtype, n_values, offset=self._offset + start * row_bytes)
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path}: {error.strerror or error}") from error
        if len(values) < n_values:
            raise ArtifactError(f"{self.path} has become shorter while it was read; rerun with --verify to rebuild it")
        return values.reshape(stop - start, *self.shape[1:])


def checksum(path: Path) -> str:
    """SHA-256 of a file, read in blocks.

    Raises:
        ArtifactError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of an array's values and type."""
    import numpy as np

    return hashlib.sha256(array.dtype.str.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def describe(files: list[Path], root: Path) -> dict[str, dict[str, Any]]:
    """Size and checksum of each file under its path relative to `root`."""
    return {
        os.path.relpath(file, root): {"size": file.stat().st_size, "sha256": checksum(file)} for file in sorted(files)
    }


def walk(folder: str | Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[os.DirEntry[str]]:
    """Every file below `folder`, in any order.

    Links to folders are followed, except back into a folder that is being walked. A link that leads nowhere is a file.

    Args:
        on_error: called with the error of a folder that cannot be read, which is left out; raises it if None.
    """
    yield from _walk(os.fspath(folder), frozenset(), on_error)


def _walk(
    folder: str, above: frozenset[tuple[int, int]], on_error: Callable[[OSError], None] | None
) -> Iterator[os.DirEntry[str]]:
    try:
        facts = os.stat(folder)
        entries = list(os.scandir(folder))
    except OSError as error:
        if on_error is None:
            raise
        on_error(error)
        return
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(entry.path, above | {here}, on_error)
        else:
            yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Relative path, size and modification time in ns of every file below `folder`; empty where there is none.

    Of a link these are the file's that it leads to. Folders are walked as `walk` does; unreadable ones are left out.
    """
    start = len(os.path.join(folder, ""))
    files = []
    for entry in walk(folder, on_error=lambda _: None):
        try:
            facts = entry.stat()
        except OSError:  # a link that leads nowhere
            facts = entry.stat(follow_symlinks=False)
        files.append((entry.path[start:], facts.st_size, facts.st_mtime_ns))
    return sorted(files)


def damaged(outputs: dict[str, dict[str, Any]], root: Path, verify: bool) -> list[Path]:
    """Files of a manifest that are missing, of another size or, with `verify`, of another checksum."""
    bad = []
    for name, expected in outputs.items():
        path = root / name
        if (
            not path.is_file()
            or path.stat().st_size != expected["size"]
            or (verify and checksum(path) != expected["sha256"])
        ):
            bad.append(path)
    return bad


def read_manifest(path: Path, *more: str) -> dict[str, Any]:
    """A manifest: ``outputs``, each with ``size`` and ``sha256``, and what else it must have.

    Raises:
        ArtifactError: it is missing, or something of that is, or an output is not below the folder of the manifest's
            names. Outputs are deleted and written again, and a manifest may come from somebody else.
    """
    manifest = read_json(path)
    outputs = manifest.get("outputs") if isinstance(manifest, dict) and {*more} <= manifest.keys() else None
    whole = isinstance(outputs, dict) and all(
        isinstance(facts, dict) and {"size", "sha256"} <= facts.keys() for facts in outputs.values()
    )
    if not whole:
        raise ArtifactError(f"{path} is no manifest: delete it, and what it lists is made again")
    for name in outputs:
        if not _is_below(name):
            raise outside(path, name)
    return manifest


def _is_below(name: str) -> bool:
    parts = PurePath(name).parts
    return bool(parts) and not PurePath(name).is_absolute() and ".." not in parts and "\0" not in name


def outside(manifest: Path, name: str) -> ArtifactError:
    """The error of a manifest that lists a file outside of the folders that it may describe."""
    return ArtifactError(f"{manifest} lists {name!r}, which is not a file of this run: delete the manifest")


def remove_damaged(folder: Path) -> None:
    """Remove what does not fit the manifest of a folder, and a manifest that is none, so that it is made again."""
    manifest = folder / "manifest.json"
    try:
        bad = damaged(read_manifest(manifest)["outputs"], folder, verify=True) if manifest.is_file() else []
    except ArtifactError:
        bad = [manifest]
    for path in bad:
        path.unlink(missing_ok=True)


def refuse_damaged(manifest: Path, root: Path) -> None:
    """Hold every file that a manifest lists against its checksum, before one of them is used.

    Raises:
        ArtifactError: a file is missing or damaged, or the manifest is; it is named, and how it is made again.
    """
    if bad := damaged(read_manifest(manifest)["outputs"], root, verify=True):
        raise ArtifactError(f"{bad[0]} is missing or damaged: ./run.sh all --verify makes it again")


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left half written in `folder`; what a living one is writing stays.

    Whether a process of another machine lives cannot be asked here: what it writes stays for a day.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        if not _is_being_written(path):
            path.unlink(missing_ok=True)


def _is_being_written(temporary: Path) -> bool:
    host, _, rest = temporary.name.removeprefix(TEMPORARY).partition("-")
    process = rest.partition("-")[0]
    if not process.isdigit():
        return False
    if host == HOST:
        return psutil.pid_exists(int(process))
    try:
        return time.time() - temporary.stat().st_mtime < FOREIGN_AGE_S
    except FileNotFoundError:  # it has just got its name
        return True
