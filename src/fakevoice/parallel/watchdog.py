"""Worker processes that hang: a result is owed, and none of them uses any processor time.

Work that computes is never taken for hung, however long it takes; what is stopped, deadlocked, or waits for a disk that
does not answer is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

PATIENCE_S = 300  # without a tick of processor time
LOOK_EVERY_S = 1.0
WORKER = "popen_loky"  # in the command line of joblib's processes
N_FILES_TOLD = 3


class Watchdog:
    """Ends the worker processes of this process when they hang, so that who waits for them gets an error.

    Attributes:
        told: what was seen of the hung workers, with the files that they had open; empty while none hangs.
    """

    def __init__(self) -> None:
        self.told = ""
        self._owed, self._ended = threading.Event(), threading.Event()

    @contextmanager
    def on(self) -> Iterator["Watchdog"]:
        """Look at them until the block is left."""
        looking = threading.Thread(target=self._look, daemon=True)
        looking.start()
        try:
            yield self
        finally:
            self._ended.set()
            looking.join()

    def wait_for(self, results: Iterator[Any]) -> Iterator[Any]:
        """The same results; workers count as owing one only while it is waited for."""
        while True:
            self._owed.set()
            try:
                result = next(results)
            except StopIteration:
                return
            finally:
                self._owed.clear()
            yield result

    def _look(self) -> None:
        n_idle, before = 0, 0.0  # looks and not a clock, which goes on while all of us are suspended
        while not self._ended.wait(LOOK_EVERY_S):
            now = processor_time_s(workers())
            n_idle = n_idle + 1 if self._owed.is_set() and now == before else 0
            before = now
            if n_idle * LOOK_EVERY_S >= PATIENCE_S:
                self.told = f"no worker process has done anything for {PATIENCE_S} s{open_files(workers())}"
                for process in workers():
                    process.kill()
                return


def workers() -> list[psutil.Process]:
    """joblib's worker processes of this process."""
    found = []
    for process in psutil.Process().children():
        try:
            if any(WORKER in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has just ended
            continue
    return found


def processor_time_s(processes: list[psutil.Process]) -> float:
    """What they and all that they started have used."""
    total = 0.0
    for process in processes:
        try:
            for each in (process, *process.children(recursive=True)):
                total += sum(each.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def open_files(processes: list[psutil.Process]) -> str:
    """`` (open: a.ogg, b.npy)``, as far as they can be seen."""
    paths = []
    for process in processes:
        try:
            paths += [file.path for file in process.open_files()]
        except psutil.Error:
            continue
    shown = list(dict.fromkeys(paths))
    more = ", ..." if len(shown) > N_FILES_TOLD else ""
    return f" (open: {', '.join(shown[:N_FILES_TOLD])}{more})" if shown else ""
