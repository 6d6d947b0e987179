"""Child processes that have no network but this machine's, in whatever surroundings a test likes."""

import os
import subprocess
import sys
from pathlib import Path

from fakevoice.core.config import REPOSITORY

LONGEST_S = 400


def run_alone(arguments: list[str], folder: Path, umask: int = -1, **environment: str) -> tuple[str, list[str]]:
    """Python with these arguments, in `folder`.

    Args:
        umask: of the child; as here if -1.
        environment: what differs from this process's.

    Returns:
        What it printed, and the addresses beyond this machine that it or a child of it asked for.
    """
    attempts = folder / "attempts.txt"
    path = os.pathsep.join(str(REPOSITORY / part) for part in ("tests/support/offline", "src"))
    known = os.environ | {"PYTHONPATH": path, "FAKEVOICE_ATTEMPTS": str(attempts)} | environment
    done = subprocess.run(
        [sys.executable, *arguments],
        env=known,
        cwd=folder,
        umask=umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LONGEST_S,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    return said, attempts.read_text(encoding="utf-8").splitlines() if attempts.exists() else []
