"""Killed anywhere, the line goes on and ends with the bytes of an undisturbed run; nothing is left running."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import threadpoolctl

from fakevoice.core import artifacts, locks
from fakevoice.core.config import REPOSITORY
from fakevoice.parallel.pool import run_parallel
from fakevoice.pipeline.runner import run_pipeline

PATIENCE_S = 120


class Killed(BaseException):
    """As sudden as a kill: no `except Exception` stops it."""


@pytest.fixture
def from_features(damageable):
    """The line up to its scenes; features and all that follows are still to be made."""
    for stage in ("features", "train", "stack", "ensemble", "submission"):
        shutil.rmtree(damageable.paths.stage(stage))
    for folder in (damageable.paths.cache, damageable.paths.submissions, damageable.paths.run / "tensorboard"):
        shutil.rmtree(folder)
    return damageable


def start(run, log_name: str = "log.txt") -> subprocess.Popen:
    """`./run.sh all` with two workers, in a process group of its own."""
    environment = os.environ | {"FAKEVOICE_HOME": str(run.home), "PYTHONPATH": str(REPOSITORY / "src")}
    environment["LOKY_MAX_CPU_COUNT"] = "2"
    command = [sys.executable, "-m", "fakevoice", "all", "--config", "demo", *run.overrides]
    with (run.home.parent / log_name).open("w") as log:
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=_hear_ctrl_c
        )


def _hear_ctrl_c() -> None:
    """A shell makes its background jobs ignore it, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.002)


def is_left(process: subprocess.Popen) -> bool:
    """Whether anything of the process group still lives."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop(process: subprocess.Popen, by: signal.Signals) -> int:
    """End it; SIGKILL and Ctrl-C reach the whole group, SIGTERM the main process alone."""
    if by == signal.SIGTERM:
        process.send_signal(by)
    else:
        os.killpg(process.pid, by)
    try:
        code = process.wait(PATIENCE_S)
        end = time.monotonic() + 10
        while is_left(process) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_left(process), "worker processes were left behind"
    finally:
        if is_left(process):
            os.killpg(process.pid, signal.SIGKILL)
    return code


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGKILL, signal.SIGTERM), pytest.param(signal.SIGINT, signal.SIGKILL, marks=pytest.mark.slow)],
    ids=["kill and term", "ctrl-c and kill"],
)
def test_interrupted_in_features_and_in_training(finished_run, from_features, first, second):
    """Byte-equal in the end, though these had two workers and the undisturbed run had none."""
    codes = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}
    cache, trained = from_features.paths.cache, from_features.paths.stage("train")

    process = start(from_features)
    wait_for(lambda: list(cache.glob("*/[!.]*.npy")), process)
    assert stop(process, first) == codes[first]
    n_shards = len(list(cache.glob("*/[!.]*.npy")))
    assert 0 < n_shards < len(list(finished_run.paths.cache.glob("*/[!.]*.npy")))

    process = start(from_features)
    wait_for(lambda: list(trained.glob("*/*/epochs.csv")), process)
    assert stop(process, second) == codes[second]
    n_trained = len(list(trained.glob("*/*/manifest.json")))
    assert n_trained < 4

    assert run_pipeline(from_features.config)
    assert from_features.contents() == finished_run.contents()


@pytest.mark.parametrize(
    ("stage", "n_writes"), [("ensemble", 0), ("ensemble", 5), ("submission", 0), ("submission", 2)]
)
def test_killed_at_a_write(finished_run, damageable, monkeypatch, stage, n_writes):
    """Between two files of one stage, which its manifest does not know yet."""
    replace, written = os.replace, []

    def stop_here(*paths):
        if len(written) == n_writes:
            raise Killed
        written.append(paths)
        replace(*paths)

    shutil.rmtree(damageable.paths.stage(stage))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(artifacts.os, "replace", stop_here)
        run_pipeline(damageable.config)
    assert run_pipeline(damageable.config)
    assert damageable.contents() == finished_run.contents()


def test_what_a_killed_run_left_half_written_is_swept_away(finished_run, damageable):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = f"{artifacts.TEMPORARY}{artifacts.HOST}-{dead.pid}-0123456789abcdef-half.npy"
    (mel,) = damageable.paths.cache.glob("mel-*")
    for folder in (mel, damageable.paths.stage("ensemble"), damageable.paths.submissions, damageable.home):
        (folder / left).write_bytes(b"half")
    assert not run_pipeline(damageable.config)
    assert damageable.contents() == finished_run.contents()


def threads_in_use(_: int) -> int:
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())


def test_what_is_finished_in_this_process_has_one_thread_as_in_a_worker():
    """Sums depend on how they are split: a resumed run, whose last shard no worker computes, would end otherwise."""
    with threadpoolctl.threadpool_limits(2):
        assert list(run_parallel(threads_in_use, [0], "", "", n_jobs=1)) == [1]
        assert threads_in_use(0) == 2


def test_two_runs_at_once_on_one_home(damageable):
    with locks.folder_lock(damageable.paths.run):
        process = start(damageable)
        assert process.wait(PATIENCE_S) == 1
    message = (damageable.home.parent / "log.txt").read_text()
    assert f"is in use by process {os.getpid()}" in message
    assert "Traceback" not in message


@pytest.mark.slow
def test_two_experiments_at_once_share_one_cache(finished_run, from_features):
    """Neither waits for the other, and both end as if they had been alone."""
    shutil.rmtree(from_features.paths.run)
    both = [replace(from_features, overrides=[*from_features.overrides, f"experiment={name}"]) for name in "ab"]
    processes = [start(run, log) for run, log in zip(both, ("a.txt", "b.txt"), strict=True)]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    cache = from_features.paths.cache
    now, alone = (
        {name: sha256 for name, sha256 in run.contents().items() if name.startswith("features_cache/")}
        for run in (from_features, finished_run)
    )
    assert now == alone
    assert not list(cache.rglob(f"{artifacts.TEMPORARY}*"))
    for name in "ab":
        answer = (cache.parents[1] / "runs" / "demo" / name / "ensemble" / "test.npy").read_bytes()
        assert answer == (finished_run.paths.stage("ensemble") / "test.npy").read_bytes()
