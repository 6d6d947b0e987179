"""Tasks on their way to Dask workers of this and other machines, and back: packed here, checked and done there.

joblib's Dask backend spreads them, and Dask repeats those of a worker that dies. All machines share the home folder.
"""

import hashlib
import io
import os
import pickle
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import threadpoolctl
from distributed import Client, KilledWorker, Worker, WorkerPlugin, get_worker
from joblib._dask import DaskDistributedBackend

from fakevoice.core import artifacts
from fakevoice.core.errors import ClusterError
from fakevoice.core.plugins import PACKAGE

PACKAGES = ("numpy", "scipy", "torch", "lightgbm", "soundfile", "soxr")  # whose versions show in the numbers
MAPPED_BYTES = 1 << 20  # an array of this size is worth a file of its own
POLL_S = 1.0
GOES_ON = "the same command goes on where it was"
ALONE_S = 60.0  # how long a run waits for a worker when there is none


@dataclass(frozen=True)
class Needs:
    """What a worker must have in common with the process that sends it work.

    Attributes:
        token: a file in the home folder, there for as long as work is sent.
        files: some files and folders of the data.
        code: hash of the package's sources.
        versions: package → version, and that of Python.
    """

    token: Path
    files: tuple[Path, ...]
    code: str
    versions: tuple[tuple[str, str], ...]


@contextmanager
def needs(home: Path, files: Sequence[Path]) -> Iterator[Needs]:
    """What workers need for a run with this home folder that reads these files, and others beside them."""
    token = artifacts.temporary_path(home / "token")
    token.touch()
    try:
        yield Needs(token, tuple(files), code(), versions())
    finally:
        token.unlink(missing_ok=True)


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Package → version, of those that numbers depend on."""
    return ("Python", platform.python_version()), *((name, version(name)) for name in PACKAGES)


@cache
def code() -> str:
    """Hash of the package's sources when this process first asked; what it has imported stays as it was then."""
    return code_now()


def code_now() -> str:
    """Hash of the package's sources."""
    sources = {str(file.relative_to(PACKAGE)): file.read_bytes() for file in PACKAGE.rglob("*.py")}
    return hashlib.sha256(pickle.dumps(sorted(sources.items()))).hexdigest()


def is_outdated() -> bool:
    """Whether the sources have been edited since this process began."""
    return code() != code_now()


def why_unfit(needs: Needs, dask_worker: Worker) -> str:
    """Why this worker must not work for a run; '' where nothing speaks against it."""
    home, where = needs.token.parent, f"worker {dask_worker.address} on {platform.node()}"
    if dask_worker.state.nthreads != 1:  # numbers depend on threads, and what a library keeps is kept per process
        return f"{where} runs {dask_worker.state.nthreads} tasks at once: start it with --nthreads 1 --nworkers N"
    if not dask_worker.nanny:
        return f"{where} has nobody to start it again when it dies: start it without --no-nanny"
    if not needs.token.is_file() or not os.access(home, os.W_OK):
        return f"{where} cannot write in {home}: all machines must share that folder, under the same path"
    for file in needs.files:
        if not file.exists():
            return f"{where} does not see {file}: all machines must have the data under the same path"
    for (name, ours), (_, theirs) in zip(needs.versions, versions(), strict=True):
        if ours != theirs:
            return f"{where} has {name} {theirs}, not {ours} as here: install the same requirements.txt"
    if code() != needs.code:
        return f"{where} runs other code of fakevoice: update its checkout and start it again"
    return ""


class Packer:
    """Pickles tasks; an array of some size is written once into a folder that all machines share, for mapping.

    So it is sent once, not with each task, and a worker that is lost takes nothing along.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._written: dict[int, tuple[np.ndarray, Path]] = {}  # with the array, so that its id is not used again

    def pack(self, task: Any) -> bytes:
        """What `unpack` turns into an equal task."""
        buffer = io.BytesIO()
        _Pickler(buffer, self._file).dump(task)
        return buffer.getvalue()

    def _file(self, value: Any) -> Path | None:
        """Where an array lies that is not pickled; None for everything else."""
        if not isinstance(value, np.ndarray) or value.nbytes < MAPPED_BYTES or value.dtype.hasobject:
            return None
        if id(value) not in self._written:
            path = artifacts.temporary_path(self.folder / "array.npy")
            self._written[id(value)] = value, path
            np.save(path, value)
        return self._written[id(value)][1]

    def close(self) -> None:
        """Remove the files."""
        for _, path in self._written.values():
            path.unlink(missing_ok=True)


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, file_of: Callable[[Any], Path | None]):
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self.file_of = file_of

    def persistent_id(self, obj: Any) -> Path | None:
        return self.file_of(obj)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Path) -> np.ndarray:
        return artifacts.read_array(pid, memory_map=True)


def unpack(packed: bytes) -> Any:
    """What `Packer.pack` was given, large arrays as read-only memory maps."""
    return _Unpickler(io.BytesIO(packed)).load()


class IgnoreInterrupts(WorkerPlugin):
    """Keeps Ctrl-C, which a terminal sends to all of its processes, from a worker that its client will end."""

    def setup(self, worker: Worker) -> None:
        """Called in each worker, also in those that come later."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(needs: Needs, packed: bytes) -> Any:
    """Do one task in the worker that runs this: ``function(item)``, in one thread as in a process of one machine."""
    worker = get_worker()
    reason = why_unfit(needs, worker)  # it may have come after the run began
    if reason:
        raise ClusterError(reason)
    # joblib would send what sklearn calls parallel inside a task to other workers
    with threadpoolctl.threadpool_limits(1), joblib.parallel_config("sequential"), _ended_with_its_run(worker):
        function, item = unpack(packed)
        return function(item)


@contextmanager
def _ended_with_its_run(worker: Worker) -> Iterator[None]:
    """End this process when the task is cancelled, since its client has gone or has enough; it is started anew.

    Left alone, a training would go on for hours, and write where the next run writes.
    """
    key, done = worker.get_current_task(), threading.Event()

    def watch() -> None:
        while not done.wait(POLL_S):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


class _Backend(DaskDistributedBackend):
    """joblib's, which would wait for ever for tasks that Dask has given up."""

    def __init__(self, client: Client):
        super().__init__(client=client)
        self._callbacks_given: list[Callable[[Any], None]] = []

    def effective_n_jobs(self, n_jobs: int) -> int:
        return 2  # one would make joblib work here, none would stop it; all tasks are sent at once anyway

    def submit(self, func: Callable, callback: Callable[[Any], None]):
        self._callbacks_given.append(callback)
        future = super().submit(func, callback)
        future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
        return future

    def retrieve_result_callback(self, out: Any):
        if isinstance(out, KilledWorker):
            raise ClusterError(
                f"{out.allowed_failures + 1} workers died of one task, the last of them {out.last_worker.address}: "
                f"is memory short there? {GOES_ON}"
            ) from out
        if isinstance(out, CancelledError):
            raise ClusterError(f"the scheduler is gone; {GOES_ON}") from out
        return super().retrieve_result_callback(out)  # raises what is an error

    def give_up(self, error: Exception) -> None:
        """Raise `error` where results are waited for."""
        for callback in self._callbacks_given:
            callback(error)


def send(client: Client, needs: Needs, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yield ``function(item)`` for each item, in the order of `items`, worked on by all of Dask's workers.

    Raises:
        ClusterError: the scheduler or all workers are gone, or a task kills one worker after another.
    """
    backend, packer = _Backend(client), Packer(needs.token.parent)
    # all at once: who comes later finds work
    parallel = joblib.Parallel(n_jobs=-1, backend=backend, return_as="generator", pre_dispatch="all")
    try:
        with _watched(client, backend):
            yield from parallel(joblib.delayed(work)(needs, packer.pack((function, item))) for item in items)
    finally:
        packer.close()


def _has_workers(client: Client) -> bool:
    try:
        return client.status == "running" and bool(client.nthreads())
    except OSError:  # the scheduler does not answer
        return False


@contextmanager
def _watched(client: Client, backend: _Backend) -> Iterator[None]:
    """Give up when there has been no worker for a while: Dask itself would wait for ever."""
    ended = threading.Event()

    def watch() -> None:
        last_seen = time.monotonic()
        while not ended.wait(POLL_S):
            if _has_workers(client):
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > ALONE_S:
                backend.give_up(ClusterError(f"no worker for {ALONE_S:.0f} s: start some; {GOES_ON}"))
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
