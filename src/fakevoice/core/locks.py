"""Who may write: one run at a time in its folder, one process at a time in a file that runs share."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from fakevoice.core.errors import ArtifactError, LockedError

WAIT_S = 30.0  # for others who are writing a file, which takes a moment


@contextlib.contextmanager
def file_lock(path: Path, wait_s: float | None = None) -> Iterator[None]:
    """Read a file that several runs share and write it again, while no other process does.

    Args:
        wait_s: for other processes; `WAIT_S` if None.

    Raises:
        ArtifactError: the folder cannot be written.
        LockedError: another process has held the lock for so long.
    """
    from filelock import FileLock, Timeout

    wait_s = WAIT_S if wait_s is None else wait_s
    held = FileLock(path.with_name(f".lock-{path.name}"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=wait_s)
    except Timeout as error:
        raise LockedError(f"{path} has been in use for {wait_s:.0f} s; try again") from error
    except OSError as error:
        raise ArtifactError(f"cannot write in {path.parent}: {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it saves two runs from doing the same work twice.

    Raises:
        ArtifactError: the folder cannot be written.
        LockedError: another process holds it; the message says which.
    """
    from filelock import FileLock, Timeout

    owner, held = folder / ".lock-owner", FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except Timeout as error:
        who = owner.read_text() if owner.is_file() else "another process"
        raise LockedError(f"{folder} is in use by {who}; wait for it or stop it") from error
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(f"cannot write in {folder}: {reason}; FAKEVOICE_HOME names another place") from error
    try:
        with contextlib.suppress(OSError):  # on a full disk; it only says who holds the lock
            owner.write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
        held.release()
