"""Work spread over processes: joblib's loky, in order, with a second try when a worker is killed or hangs.

`use` puts another engine in loky's place, as `dask_engine` does for workers on several machines.
"""

import contextlib
import contextvars
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fakevoice.core.errors import WorkerError
from fakevoice.core.progress import track

Engine = Callable[[Callable[[Any], Any], Sequence[Any], int], Iterator[Any]]  # function, items, n_jobs → results

WHEN_HUNG = "see whether that disk or network answers, or take the file out; what is finished stays"

_engine: contextvars.ContextVar[Engine | None] = contextvars.ContextVar("engine", default=None)  # `local` if None


@contextlib.contextmanager
def use(engine: Engine) -> Iterator[None]:
    """Let `engine` do the work of `run_parallel` while the block lasts."""
    token = _engine.set(engine)
    try:
        yield
    finally:
        _engine.reset(token)


def core_count() -> int:
    """Cores that this process may use, honouring affinity and container limits."""
    import joblib  # it takes longer than all that a run with nothing to do does

    return joblib.cpu_count()


def run_parallel(
    function: Callable[[Any], Any], items: Sequence[Any], description: str, unit: str, n_jobs: int | None = None
) -> Iterator[Any]:
    """Yield ``function(item)`` for each item, in the order of `items`, worked on by `n_jobs` processes or the engine.

    A worker that is killed (out of memory, say) takes the pool with it; the items that had no result
    yet are then worked on one after another in this process.

    Args:
        function: importable from a module, since it travels to other processes.
        description: shown with the progress; empty where the caller shows its own.
        n_jobs: processes; all cores if None. Each is held to one thread by joblib.
    """
    n_jobs = min(n_jobs or core_count(), max(len(items), 1))
    results = (_engine.get() or local)(function, items, n_jobs)
    return track(results, len(items), description, unit) if description else results


def local(function: Callable[[Any], Any], items: Sequence[Any], n_jobs: int) -> Iterator[Any]:
    """The engine that is used where no other is: processes of this machine, or this one alone where `n_jobs` is 1.

    Raises:
        WorkerError: worker processes hung, and those started in their place hung at the same item.
    """
    import threadpoolctl

    done = 0
    if n_jobs > 1:
        for result in _in_processes(function, items, n_jobs):
            done += 1
            yield result
    for item in items[done:]:
        with threadpoolctl.threadpool_limits(1):  # as in a worker: sums depend on how they are split
            result = function(item)
        yield result


def _in_processes(function: Callable[[Any], Any], items: Sequence[Any], n_jobs: int) -> Iterator[Any]:
    """The results that worker processes give: all of them, or those before one was killed."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    from fakevoice.parallel.watchdog import Watchdog

    # loky replaces a worker whose memory has grown, which is as intended and no news
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    done, hung_at = 0, None
    while done < len(items):
        # not a word of Parallel itself, which would take it, and leave to a worker what OMP_NUM_THREADS says
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        with Watchdog().on() as watch:
            try:
                for result in watch.wait_for(parallel(joblib.delayed(function)(item) for item in items[done:])):
                    done += 1
                    yield result
            except TerminatedWorkerError as error:
                where = f"item {done} of {len(items)}"
                if not watch.told:
                    return print(f"a worker process was killed; going on in one process from {where}", flush=True)
                if hung_at == done:
                    raise WorkerError(f"{watch.told}, for the second time at {where}: {WHEN_HUNG}") from error
                hung_at = done
                print(f"{watch.told}; all are started anew from {where}", flush=True)
