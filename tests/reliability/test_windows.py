"""The pipeline needs nothing that only POSIX has. It was not run on Windows itself."""

import os
import subprocess
import sys

import pytest

from fakevoice.core.config import REPOSITORY
from tests.conftest import TINY

SCRIPT = REPOSITORY / "tests" / "support" / "without_posix.py"


def run(*words: str, **environment: str) -> subprocess.CompletedProcess:
    known = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "LOKY_MAX_CPU_COUNT": "1"} | environment
    return subprocess.run([sys.executable, "-W", "error", SCRIPT, *words], env=known, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["features", "all"])
def test_stages_run_without_posix(tmp_path, stage):
    done = run(stage, "--config", "demo", *TINY, FAKEVOICE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "features_cache").rglob("*.npy"))


def test_commands_run_without_posix(finished_run):
    for words in (["status"], ["doctor"]):
        done = run(*words, "--config", "demo", *finished_run.overrides, FAKEVOICE_HOME=str(finished_run.home))
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import fcntl", ImportError),
        ("import signal; signal.SIGALRM", AttributeError),
        ("import os; os.kill(os.getpid(), 0)", OSError),
        ("from os import getuid", ImportError),
    ],
)
def test_what_is_blocked_is_blocked(tmp_path, code, error):
    (tmp_path / "fakevoice.py").write_text(f"{code}\n")
    known = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SCRIPT.parent)])}
    command = [sys.executable, "-c", "import without_posix, fakevoice"]
    done = subprocess.run(command, env=known, capture_output=True, text=True)
    assert done.returncode == 1 and error.__name__ in done.stderr.splitlines()[-1]
