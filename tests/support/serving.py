"""The service as its users start it: a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakevoice.core.config import REPOSITORY

LONGEST_S = 300


@dataclass(frozen=True)
class Service:
    """`serve` in a process.

    Attributes:
        url: its address, with a slash at the end.
    """

    process: subprocess.Popen
    url: str

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to end; its exit code, and what it said on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextmanager
def serving(home: Path, *words: str, **environment: str) -> Iterator[Service]:
    """A service of a home's demo on a free port; whatever happens, it does not outlive the block."""
    command = [sys.executable, "-m", "fakevoice", "serve", "--config", "demo", "--port", "0", *words]
    told = os.environ | {"FAKEVOICE_HOME": str(home), "PYTHONUNBUFFERED": "1"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPOSITORY / "src"}
    with subprocess.Popen(command, env=told, preexec_fn=hear_ctrl_c, **pipes) as process:
        timer = threading.Timer(LONGEST_S, process.kill)
        timer.start()
        try:
            yield Service(process, re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0])
        finally:
            timer.cancel()
            process.kill()


def hear_ctrl_c() -> None:
    """A shell makes its background jobs ignore it, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
