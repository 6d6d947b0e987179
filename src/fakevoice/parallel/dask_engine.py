"""engine=dask: run tasks on the workers of a Dask scheduler, or of a cluster that is started on this machine.

All machines see the home folder and the data under the same paths, and have the same code and package versions; see
docs/scaling.md. Futures of `distributed.Client` are used directly: joblib's Dask backend waits forever for a task that
Dask gives up.
"""

import hashlib
import logging
import os
import pickle
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fakevoice.core import artifacts
from fakevoice.core.config import Config
from fakevoice.core.errors import ClusterError, ConfigError, install_extra
from fakevoice.core.paths import Paths
from fakevoice.core.plugins import PACKAGE
from fakevoice.parallel import pool

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

PACKAGES = ("numpy", "scipy", "torch", "lightgbm", "soundfile", "soxr")  # whose versions change results
ANSWER_S = 10.0  # how long a scheduler may take to answer
ALONE_S = 60.0  # how long to wait for a worker if there is none
POLL_S = 1.0
GONE = "the scheduler is gone: start it and run the same command again"
N_PROBED = 8  # about as many data files are looked up by each worker


class Needs(NamedTuple):
    """What a worker must have: a file in the home folder that exists as long as the run, some data files, versions."""

    token: Path
    files: list[Path]
    versions: dict[str, str]


@contextmanager
def engine(config: Config, paths: Paths, files: Sequence[Path] | None = None) -> Iterator[None]:
    """Let `pool.run_parallel` use the engine of `config` while the block lasts.

    Args:
        files: that workers will read; those at the top of the competition's folder if None.

    Raises:
        ConfigError: the package is not installed.
        ClusterError: nobody answers, no worker comes, or a worker lacks what this run needs.
    """
    if config.engine == "local":
        yield
        return
    if files is None:
        files = sorted(paths.raw.glob("[!.]*"))
    probed = [file.absolute() for file in files[:: max(1, len(files) // N_PROBED)] if os.path.exists(file)]
    token = artifacts.temporary_path(paths.home / "token")
    with _connected(config.scheduler) as client:
        token.touch()
        try:
            needs = Needs(token, probed, versions())
            _check_workers(client, needs)
            with pool.use(partial(_run, client, needs, not config.scheduler)):
                yield
        finally:
            token.unlink(missing_ok=True)


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError(f"engine=dask needs Dask: {install_extra('cluster')}") from error
    for name in ("distributed", "distributed.client", "tornado.application"):  # errors are raised, not logged
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not scheduler:
        own = {"n_workers": pool.core_count(), "threads_per_worker": 1, "memory_limit": None}
        with (
            LocalCluster(**own, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.run(_ignore_interrupts)
            yield client
        return
    try:
        client = Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TypeError) as error:  # TypeError: tls:// without certificates
        raise ClusterError(f"nobody answers at {scheduler} ({error}); start .venv/bin/dask scheduler there") from error
    with client:
        yield client


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to all its processes, to the process that started the cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _wait_for_worker(client: "Client") -> None:
    try:
        client.wait_for_workers(1, timeout=ALONE_S)
    except TimeoutError as error:
        start = f".venv/bin/dask worker {client.scheduler.address} --nworkers 2 --nthreads 1"
        raise ClusterError(f"no worker in {ALONE_S:.0f} s: {start}; then run the same command again") from error
    except OSError as error:
        raise ClusterError(GONE) from error


def _check_workers(client: "Client", needs: Needs) -> None:
    _wait_for_worker(client)
    answers = client.run(why_unfit, needs, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):  # such as a worker that cannot import the package
            raise ClusterError(f"worker {address}: {answer}; start it with .venv/bin/dask of this project") from answer
        if answer:
            raise ClusterError(answer)
    print(f"dask: {len(answers)} worker{'s' * (len(answers) != 1)} of {client.scheduler.address}", flush=True)


def why_unfit(needs: Needs, dask_worker: "Worker") -> str:
    """Why this worker must not work for a run; empty if it may."""
    name = f"worker {dask_worker.address} on {platform.node()}"
    if dask_worker.state.nthreads != 1:  # results depend on threads, and caches are per process
        return f"{name} runs {dask_worker.state.nthreads} tasks at once: start it with --nthreads 1 --nworkers N"
    if not dask_worker.nanny:
        return f"{name} has no nanny that restarts it when it dies: start it without --no-nanny"
    if not needs.token.is_file() or not os.access(needs.token.parent, os.W_OK):
        return f"{name} cannot write in {needs.token.parent}: all machines must share that folder, under the same path"
    for file in needs.files:
        if not file.exists():
            return f"{name} does not see {file}: all machines must have the data under the same path"
    for package, ours in needs.versions.items():
        if (theirs := versions()[package]) != ours:
            return f"{name} has {package} {theirs}, not {ours} as here: update and restart it"
    return ""


@cache
def versions() -> dict[str, str]:
    """Versions of Python, of the packages that change results, and of this package's sources when first asked."""
    found = {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    sources = {str(file.relative_to(PACKAGE)): file.read_bytes() for file in sorted(PACKAGE.rglob("*.py"))}
    return found | {"code of fakevoice": hashlib.sha256(pickle.dumps(sources)).hexdigest()[:12]}


def _run(
    client: "Client", needs: Needs, is_own: bool, function: Callable[[Any], Any], items: Sequence[Any], n_jobs: int
) -> Iterator[Any]:
    """Yield ``function(item)`` in the order of `items`; Dask repeats the task of a worker that dies."""
    if is_own and n_jobs == 1:  # the workers of this machine share its one GPU
        yield from pool.local(function, items, n_jobs)
        return
    tasks = [pickle.dumps((function, item)) for item in items]  # Dask would search tables for futures
    futures = client.map(partial(work, needs), tasks, pure=False)
    try:
        while futures:
            yield _result(client, futures[0])
            del futures[0]  # the cluster may forget the result
    finally:
        client.cancel(futures)


def work(needs: Needs, task: bytes) -> Any:
    """Do one task in a worker, in one thread, as `pool.local` does. The process ends if the run does.

    Otherwise a training of a stopped run would continue for hours, and write where the next run writes.
    """
    import joblib
    import threadpoolctl
    from distributed import get_worker

    if reason := why_unfit(needs, get_worker()):  # the worker may have come after the run began
        raise ClusterError(reason)
    done = threading.Event()

    def end_with_run() -> None:
        while not done.wait(POLL_S):
            if not needs.token.is_file():
                os._exit(1)  # its nanny starts another one

    threading.Thread(target=end_with_run, daemon=True).start()
    try:
        # joblib would send scikit-learn's parallel loops to other workers
        with threadpoolctl.threadpool_limits(1), joblib.parallel_config("sequential"):
            function, item = pickle.loads(task)
            return function(item)
    finally:
        done.set()


def _result(client: "Client", future: "Future") -> Any:
    """The result of a task.

    Raises:
        ClusterError: the scheduler or all workers are gone, or the task kills one worker after another.
    """
    from distributed import CancelledError, KilledWorker

    try:
        while not future.done():
            _wait_for_worker(client)
            with suppress(TimeoutError):
                future.exception(timeout=POLL_S)
        return future.result()
    except KilledWorker as error:
        n_workers, last = error.allowed_failures + 1, error.last_worker.address
        raise ClusterError(
            f"{n_workers} workers died of one task, the last is {last}: is memory short there?"
        ) from error
    except CancelledError as error:
        raise ClusterError(GONE) from error
