"""Every change that this process makes below a folder is counted; at a chosen one the disk, or the process, fails.

Counted are opening for writing, each write, fsync, rename, removal, and making and removing folders, as Python does
them. What a killed process has written is on the disk, as the kernel keeps it, and half of the write that it dies in.
"""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SHOWN = "events."  # TensorBoard opens its file for every record: counted once
PIECES = 4  # of a file that are counted: PyTorch writes a checkpoint in a thousand
ADDING = ("open", "write", "fsync", "replace", "rename", "mkdir")  # what needs space


class FaultyDisk:
    """Counts changes below `top`, and strikes from number `at` on.

    Args:
        at: counted from 0; None only counts.
        fault: ``kill``, ``term`` and ``interrupt`` are signals to this process; ``full`` and ``readonly`` are a disk
            that has no space, or cannot be changed, from then on.

    Attributes:
        seen: what was done to which path, in order.
    """

    def __init__(self, top: Path, at: int | None = None, fault: str = "kill"):
        self.top, self.at, self.strike = os.path.realpath(top) + os.sep, at, STRIKES[fault]
        self.seen: list[tuple[str, str]] = []

    def change(self, kind: str, path: Any, folder: int | None = None, half: Callable[[], object] = lambda: None):
        """Called before each change; `half` does a part of it, and `folder` is the descriptor that `path` is in."""
        if folder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        path = os.path.abspath(os.fsdecode(path))
        change = (kind, path.removeprefix(self.top))
        most = 1 if os.path.basename(path).startswith(SHOWN) else PIECES if kind == "write" else None
        if not path.startswith(self.top) or (most and self.seen.count(change) >= most):
            return
        self.seen.append(change)
        if self.at is not None and len(self.seen) > self.at:
            self.strike(kind, half, len(self.seen) == self.at + 1)

    @contextmanager
    def active(self) -> Iterator["FaultyDisk"]:
        """While it is in use."""
        with ExitStack() as patches:
            for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir"):
                patches.enter_context(mock.patch.object(os, name, self._call(name, getattr(os, name))))
            patches.enter_context(mock.patch.object(os, "fsync", self._fsync(os.fsync)))
            patches.enter_context(mock.patch.object(os, "open", self._os_open(os.open)))
            opened = self._open(io.open)
            patches.enter_context(mock.patch.object(io, "open", opened))
            patches.enter_context(mock.patch.object(builtins, "open", opened))
            yield self

    def _call(self, name: str, real: Callable) -> Callable:
        def call(path, *rest, **options):
            target = rest[0] if name in ("replace", "rename") else path
            self.change(name, target, options.get("dir_fd"))
            return real(path, *rest, **options)

        return call

    def _fsync(self, real: Callable) -> Callable:
        def fsync(descriptor):
            self.change("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            return real(descriptor)

        return fsync

    def _os_open(self, real: Callable) -> Callable:
        def os_open(path, flags, *rest, **options):
            if flags & WRITES:
                self.change("open", path, options.get("dir_fd"))
            return real(path, flags, *rest, **options)

        return os_open

    def _open(self, real: Callable) -> Callable:
        def opened(file, mode="r", *rest, **options):
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return real(file, mode, *rest, **options)
            self.change("open", file)
            return _Written(self, real(file, mode, *rest, **options), file)

        return opened


class _Written:
    """A file whose writes are counted."""

    def __init__(self, disk: FaultyDisk, file: Any, path: Any):
        self._disk, self._file, self._path = disk, file, path

    def write(self, content: Any) -> int:
        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._disk.change("write", self._path, half=half)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator:
        return iter(self._file)


def _signalled(number: signal.Signals) -> Callable:
    def strike(kind: str, half: Callable[[], object], is_first: bool) -> None:
        if is_first:
            if number == signal.SIGKILL:
                half()
            os.kill(os.getpid(), number)

    return strike


def _full(kind: str, half: Callable[[], object], is_first: bool) -> None:
    if kind in ADDING:
        half()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _readonly(kind: str, half: Callable[[], object], is_first: bool) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


STRIKES = {
    "kill": _signalled(signal.SIGKILL),
    "term": _signalled(signal.SIGTERM),
    "interrupt": _signalled(signal.SIGINT),
    "full": _full,
    "readonly": _readonly,
}
