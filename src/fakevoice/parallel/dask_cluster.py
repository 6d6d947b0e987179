"""engine=dask: the line's work on all workers of a Dask scheduler, or on a cluster of its own on this machine.

    .venv/bin/dask scheduler                                                        # on one machine
    .venv/bin/dask worker tcp://HOST:8786 --nworkers 2 --nthreads 1                 # on each
    ./run.sh all engine=dask scheduler=tcp://HOST:8786

All machines see the home folder and the data under the same paths, and have the same code and the same versions.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakevoice.core import remote_cache
from fakevoice.core.config import Config
from fakevoice.core.errors import ClusterError, ConfigError, install_extra
from fakevoice.core.paths import Paths
from fakevoice.parallel import pool

if TYPE_CHECKING:
    from distributed import Client

    from fakevoice.parallel.dask_tasks import Needs

ANSWER_S = 10.0  # how long a scheduler may take to answer
N_PROBED = 8  # about as many files of the data each worker looks for


@contextmanager
def engine(config: Config, paths: Paths, files: Sequence[Path] | None = None) -> Iterator[None]:
    """Have `workers.run_parallel` work as `config.engine` says while the block lasts.

    Args:
        files: that workers will read; those at the top of the competition's folder if None.

    Raises:
        ConfigError: the package is not installed.
        ClusterError: nobody answers, no worker comes, or one cannot do this run.
    """
    if config.engine == "local":
        yield
        return
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"engine=dask needs Dask: {install_extra('cluster')}") from error
    from fakevoice.parallel import dask_tasks

    probed = _probed(_entries(paths.raw) if files is None else files)
    with _connected(config.scheduler) as client, dask_tasks.needs(paths.home, probed) as needs:
        _check(client, needs)
        print(_summary(client, config.scheduler), flush=True)
        with pool.use(partial(_run, client, needs, not config.scheduler)):
            yield


def _entries(folder: Path) -> list[Path]:
    """What lies at the top of a folder; nothing where it is still to be made, as by the demo."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _probed(files: Sequence[Path]) -> list[Path]:
    """Some of the files from first to last, that are there to stay."""
    some = [file.absolute() for file in files[:: max(1, len(files) // N_PROBED)]]
    return [
        file for file in some if file.exists() and not file.name.startswith(".") and not remote_cache.is_mirrored(file)
    ]


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    import dask
    from distributed import Client, LocalCluster, Security

    from fakevoice.parallel import dask_tasks

    for name in ("distributed", "distributed.client", "tornado.application"):  # what matters is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})  # tasks hold tables of clips
    if not scheduler:
        own = {"n_workers": pool.core_count(), "threads_per_worker": 1, "memory_limit": None}
        with (
            LocalCluster(**own, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.register_plugin(dask_tasks.IgnoreInterrupts())
            yield client
        return
    if scheduler.startswith("tls") and not Security().get_connection_args("client").get("ssl_context"):
        raise ConfigError("scheduler: tls:// needs certificates, DASK_DISTRIBUTED__COMM__TLS__CA_FILE and others")
    try:
        client = Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except OSError as error:
        raise ClusterError(f"nobody answers at {scheduler}: .venv/bin/dask scheduler there starts one") from error
    with client:
        yield client


def _check(client: "Client", needs: "Needs") -> None:
    from fakevoice.parallel import dask_tasks

    try:
        client.wait_for_workers(1, timeout=dask_tasks.ALONE_S)
    except TimeoutError as error:
        start = f".venv/bin/dask worker {client.scheduler.address} --nworkers 2 --nthreads 1"
        raise ClusterError(f"no worker has come in {dask_tasks.ALONE_S:.0f} s: {start}") from error
    outdated = [address for address, is_so in _ask(client, dask_tasks.is_outdated).items() if is_so]
    if outdated and not any(client.processing().values()):  # another run goes on with what they have
        client.restart_workers(outdated)
    for reason in _ask(client, dask_tasks.why_unfit, needs).values():
        if reason:
            raise ClusterError(reason)


def _ask(client: "Client", question: Callable, *arguments: Any) -> dict[str, Any]:
    """What each worker answers."""
    answers = client.run(question, *arguments, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):  # as where the package is not to be found
            raise ClusterError(f"worker {address}: {answer}; start it with .venv/bin/dask of this project") from answer
    return answers


def _summary(client: "Client", scheduler: str) -> str:
    """How many workers there are, where, and the page that shows what they do."""
    info = client.scheduler_info()
    n_workers, n_hosts = len(info["workers"]), len({worker["host"] for worker in info["workers"].values()})
    counts = f"{n_workers} worker{'s' * (n_workers != 1)} on {n_hosts} machine{'s' * (n_hosts != 1)}"
    page = f", {client.dashboard_link}" if find_spec("bokeh") else ""
    return f"dask: {counts}{f' of {scheduler}' if scheduler else ''}{page}"


def _run(
    client: "Client", needs: "Needs", is_own: bool, function: Callable[[Any], Any], items: Sequence[Any], n_jobs: int
) -> Iterator[Any]:
    """All workers are used, each with a device of its own; those of this machine share one GPU, which n_jobs guards."""
    from fakevoice.parallel import dask_tasks

    if is_own and n_jobs == 1:
        return pool.local(function, items, n_jobs)
    return dask_tasks.send(client, needs, function, items)
