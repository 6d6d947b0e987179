"""The same seed gives the same bytes, wherever and however the line is run on one machine."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fakevoice.core.paths import paths
from tests.support.alone import run_alone

FAR = "먼 곳, with spaces/" + "and a long name " * 6
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ODD = {  # nothing of this may be seen in an artifact
    "PYTHONHASHSEED": "4711",
    "LC_ALL": "C",
    "TZ": "Asia/Seoul",
    "COLUMNS": "40",
    **dict.fromkeys(THREADS, "3"),
}
OTHERWISE = {  # words of the config, workers, threads of each
    "two workers": ([], "2", "3"),
    "four workers": ([], "4", "2"),
    "one worker of Dask": (["engine=dask"], "1", "3"),
    "two workers of Dask": (["engine=dask"], "2", "3"),
}
ASK_WORKERS = """
import os
from fakevoice.parallel.pool import run_parallel
print(*run_parallel(os.getenv, {threads}, "", "", 2))
"""


@pytest.fixture
def far(finished_run, tmp_path, monkeypatch):
    """The finished run's data in another home, far away, where everything else is still to be made."""
    home = tmp_path / FAR
    shutil.copytree(finished_run.home / "data", home / "data")  # with its times, by which raw files are known
    monkeypatch.setenv("FAKEVOICE_HOME", str(home))
    return replace(finished_run, home=home, paths=paths(finished_run.config))


def make(run, folder: Path, words: list[str], **environment: str) -> None:
    """`./run.sh all` in odd surroundings, without a network."""
    command = ["-m", "fakevoice", "all", "--config", "demo", *run.overrides, *words]
    said, attempts = run_alone(command, folder, 0o077, **ODD | environment)
    assert attempts == [], said
    assert "Traceback" not in said and "warning" not in said.lower(), said


def differing(run, other) -> list[str]:
    here, there = run.contents(), other.contents()
    return sorted(name for name in {*here, *there} if here.get(name) != there.get(name))


@pytest.mark.slow
def test_odd_surroundings_change_no_byte(finished_run, far, tmp_path):
    """Another home, hash seed, locale, time zone, width of the terminal, umask and number of threads, all at once."""
    make(far, tmp_path, [], LOKY_MAX_CPU_COUNT="1")
    assert differing(finished_run, far) == []
    assert far.submission().stat().st_mode & 0o077 == 0  # the umask was heard


def test_a_worker_has_one_thread_whatever_the_environment_says(tmp_path):
    """Matrix products round differently on more threads, and so would what comes out."""
    command = ["-c", ASK_WORKERS.format(threads=list(THREADS))]
    said, _ = run_alone(command, tmp_path, LOKY_MAX_CPU_COUNT="2", **dict.fromkeys(THREADS, "3"))
    assert said == "1 1 1\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", OTHERWISE)
def test_shared_out_otherwise_and_the_bytes_are_the_same(finished_run, far, tmp_path, how):
    words, n_workers, n_threads = OTHERWISE[how]
    make(far, tmp_path, words, LOKY_MAX_CPU_COUNT=n_workers, **dict.fromkeys(THREADS, n_threads))
    assert differing(finished_run, far) == []
    print(f"{how}, {n_threads} threads asked for: {len(far.contents())} files equal")
