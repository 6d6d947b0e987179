"""Killed at a write, stopped, or out of disk: the rerun ends with the bytes of a run that nobody disturbed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakevoice.core.config import REPOSITORY

PATIENCE_S = 4 * 3600
ALL = ("kill", "term", "interrupt", "full", "readonly")


def points_struck(folder: Path, *words: str) -> dict[str, int]:
    """Run the trials in a process of their own, which forks as it could not beside threads: fault → points tried."""
    done = subprocess.run(
        [sys.executable, "-W", "error", REPOSITORY / "tests" / "support" / "kill_points.py", folder / "trials", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(REPOSITORY / name) for name in ("src", "tests"))},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\w+): struck at (\d+) of \d+ changes, 0 wrong$", done.stdout, re.MULTILINE)
    return {fault: int(n_points) for fault, n_points in found}


@pytest.mark.slow
def test_struck_here_and_there(tmp_path):
    points = points_struck(tmp_path, "--stages", "prepare", "folds", "--fault", *ALL, "--every", "160")
    assert points.keys() == {*ALL} and min(points.values()) >= 2


@pytest.mark.slow
def test_killed_at_every_change_of_the_disk(tmp_path):
    assert points_struck(tmp_path, "--fault", "kill")["kill"] > 500


@pytest.mark.slow
def test_stopped_and_out_of_disk_at_every_fifth(tmp_path):
    assert min(points_struck(tmp_path, "--fault", *ALL[1:], "--every", "5").values()) > 100
