"""engine=dask: the bytes of one machine, whatever is killed; a worker that cannot do a run is named beforehand."""

import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import distributed
import psutil
import pytest
import threadpoolctl
from distributed import Client
from joblib import Parallel, delayed

from fakevoice.cli.command_line import main
from fakevoice.core.config import REPOSITORY, load_config
from fakevoice.core.errors import AudioError, ClusterError, ConfigError
from fakevoice.core.paths import paths
from fakevoice.parallel import dask_engine
from fakevoice.parallel.pool import run_parallel

PATIENCE_S = 120
WORKERS = ("--nworkers", "2", "--nthreads", "1")


@dataclass
class Cluster:
    """A scheduler and workers as people start them by hand, in process groups of their own.

    Attributes:
        address: of the scheduler.
        log: what all of them say.
    """

    address: str
    log: Path
    processes: list[subprocess.Popen]

    def add(self, *words: str, **environment: str) -> subprocess.Popen:
        """`dask` with these words."""
        known = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])}
        known.pop("FAKEVOICE_HOME", None)
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                env=known | environment,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def workers(self) -> list[psutil.Process]:
        """The processes that do the work, without the nannies that watch them."""
        found = [child for process in self.processes[1:] for child in descendants(process)]
        return [child for child in found if "spawn_main" in " ".join(command_line(child))]


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def command_line(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


@contextmanager
def started(folder: Path, *workers: str) -> Iterator[Cluster]:
    """A scheduler, and one `dask worker` with these words where there are any."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Cluster(f"tcp://127.0.0.1:{port}", folder / "cluster.txt", [])
    try:
        made.add("scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0")
        if workers:
            made.add("worker", made.address, *workers)
        yield made
    finally:
        for process in made.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("cluster"), *WORKERS) as made:
        yield made


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@contextmanager
def using(made: Cluster | None, *words: str) -> Iterator[None]:
    """engine=dask on these workers, or on a cluster of its own."""
    config = load_config("demo", ["engine=dask", *([f"scheduler={made.address}"] if made else []), *words])
    with dask_engine.engine(config, paths(config)):
        yield


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


# the whole line


@pytest.fixture
def from_features(damageable):
    """The line up to its scenes; features and all that follows are still to be made."""
    for stage in ("features", "train", "stack", "ensemble", "submission", "results"):
        shutil.rmtree(damageable.paths.stage(stage))
    for folder in (damageable.paths.cache, damageable.paths.submissions, damageable.paths.run / "tensorboard"):
        shutil.rmtree(folder)
    return damageable


@pytest.fixture
def client(from_features, by_hand) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts `./run.sh all engine=dask scheduler=...`."""
    words = [*from_features.overrides, "engine=dask", f"scheduler={by_hand.address}"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    begun = []

    def start() -> subprocess.Popen:
        with (from_features.home.parent / "log.txt").open("a") as log:
            command = [sys.executable, "-m", "fakevoice", "all", "--config", "demo", *words]
            begun.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_workers_and_the_client_killed_and_the_bytes_are_those_of_one_process(
    finished_run, from_features, by_hand, client
):
    """One worker is killed in features, the client is stopped there, and one worker is killed in training."""
    shards = from_features.paths.cache
    process = client()
    wait_for(lambda: list(shards.glob("pooled-*/.writing*")) or process.poll() is not None)
    by_hand.workers()[0].kill()
    wait_for(lambda: list(shards.glob("pooled-*/[!.]*.npy")) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143

    process = client()
    wait_for(lambda: list(from_features.paths.stage("train").glob("*/*/epochs.csv")) or process.poll() is not None)
    by_hand.workers()[-1].kill()
    code, log = process.wait(PATIENCE_S), (from_features.home.parent / "log.txt").read_text()
    assert code == 0, log
    assert from_features.contents() == finished_run.contents()  # and so no temporary is left
    assert f"dask: 2 workers of {by_hand.address}" in log
    assert "warning" not in log.lower() and "Traceback" not in log and "distributed." not in log


def test_predicted_by_workers_as_by_this_process(damageable, by_hand, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(damageable.paths.raw)  # the workers were started elsewhere
    words = ["test", "--config", "demo"]
    assert main(["predict", *words, "--out", str(tmp_path / "here.csv")]) == 0
    words += ["engine=dask", f"scheduler={by_hand.address}"]
    assert main(["predict", *words, "--out", str(tmp_path / "there.csv")]) == 0
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert "dask: " in capsys.readouterr().out


def test_who_computes_makes_nothing_stale_and_is_not_asked_where_nothing_is(damageable, capsys):
    words = [*damageable.overrides, "engine=dask", "scheduler=tcp://127.0.0.1:1"]  # where nobody answers
    assert main(["all", "--config", "demo", *words]) == 0
    assert "everything is up to date" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_ends_a_cluster_of_its_own(from_features, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    words = ["all", "--config", "demo", *from_features.overrides, "engine=dask"]
    with (from_features.home.parent / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fakevoice", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        wait_for(lambda: list(from_features.paths.cache.glob("mel-*/*.npy")) or process.poll() is not None)
        started_by_it = descendants(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(PATIENCE_S) == 130
        wait_for(lambda: not any(child.is_running() for child in started_by_it))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    log = (from_features.home.parent / "log.txt").read_text()
    assert log.splitlines()[-1] == "fakevoice: stopped; the same command goes on where it was"
    assert "Traceback" not in log and "distributed" not in log


# tasks


def square(x: int) -> int:
    return x * x


def process_id(_: int) -> int:
    return os.getpid()


def fail_at_three(x: int) -> int:
    if x == 3:
        raise AudioError("a.wav", "0 samples")
    return x


def die_once(item: tuple[int, Path]) -> int:
    x, mark = item
    if x == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads_in_use(_: int) -> int:
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())


def nested_processes(_: int) -> set[int]:
    return {os.getpid(), *Parallel(n_jobs=2)(delayed(process_id)(i) for i in range(4))}


def sleep_long(mark: Path | None) -> None:
    if mark:
        mark.write_text(str(os.getpid()))
        time.sleep(PATIENCE_S)


def test_results_in_order_from_other_processes(home, by_hand):
    with using(by_hand):
        assert list(run_parallel(square, range(50), "squares", "numbers")) == [x * x for x in range(50)]
        assert list(run_parallel(square, [], "squares", "numbers")) == []
        used = {*run_parallel(process_id, range(20), "", "", 1)}  # one item, or one GPU here: workers all the same
    assert used and used <= {worker.pid for worker in by_hand.workers()}
    assert [*run_parallel(process_id, range(2), "", "", 1)] == [os.getpid()] * 2  # afterwards as before
    assert not list(home.iterdir())


def test_errors_come_back_as_they_were(home, by_hand):
    with using(by_hand), pytest.raises(AudioError) as caught:
        list(run_parallel(fail_at_three, range(5), "", ""))
    assert caught.value.path == "a.wav" and caught.value.reason == "0 samples"


def test_the_task_of_a_dead_worker_is_done_by_another(home, by_hand, tmp_path):
    with using(by_hand):
        assert list(run_parallel(die_once, [(x, tmp_path / "mark") for x in range(6)], "", "")) == list(range(6))
    assert (tmp_path / "mark").exists()


def test_a_task_that_kills_every_worker_is_given_up(home, by_hand):
    with using(by_hand), pytest.raises(ClusterError, match=r"4 workers died of one task.*memory"):
        list(run_parallel(die, [0], "", ""))


def test_a_task_has_one_thread_and_one_process(home, by_hand):
    with using(by_hand):
        assert set(run_parallel(threads_in_use, range(2), "", "")) == {1}
        assert [len(used) for used in run_parallel(nested_processes, range(2), "", "")] == [1, 1]


def test_what_nobody_waits_for_is_ended(home, by_hand, tmp_path):
    """A thread cannot be stopped, so the process is, and its nanny starts another."""
    with using(by_hand):
        results = run_parallel(sleep_long, [None, tmp_path / "mark"], "", "")
        next(results)
        wait_for(lambda: (tmp_path / "mark").exists() and (tmp_path / "mark").read_text())
        results.close()
    pid = int((tmp_path / "mark").read_text())
    wait_for(lambda: not psutil.pid_exists(pid))
    with using(by_hand):
        assert list(run_parallel(square, [3], "", "")) == [9]


def test_a_cluster_of_its_own(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.chdir(tmp_path)
    with using(None):
        used = {*run_parallel(process_id, range(20), "", "")}
        assert used and os.getpid() not in used
        assert list(run_parallel(process_id, range(3), "", "", 1)) == [os.getpid()] * 3  # as for the one GPU here
    assert re.fullmatch(r"dask: 2 workers of tcp://127\.0\.0\.1:\d+\n", capsys.readouterr().out)
    assert not [pid for pid in used if psutil.pid_exists(pid)]
    assert [path.name for path in tmp_path.rglob("*")] == ["home"]


# which workers


def worker(n_threads: int = 1, nanny: str | None = "tcp://10.0.0.5:1234") -> SimpleNamespace:
    return SimpleNamespace(address="tcp://10.0.0.5:4321", nanny=nanny, state=SimpleNamespace(nthreads=n_threads))


@pytest.fixture
def needs(tmp_path) -> dask_engine.Needs:
    for name in ("token", "train.csv"):
        (tmp_path / name).touch()
    made = dask_engine.Needs(tmp_path / "token", [tmp_path / "train.csv"], dask_engine.versions())
    assert dask_engine.why_unfit(made, worker()) == ""
    return made


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"token": Path("elsewhere/token")}, "cannot write in elsewhere: all machines must share that folder"),
        ({"files": [Path("elsewhere/test.csv")]}, r"does not see elsewhere/test\.csv"),
        ({"versions": {"code of fakevoice": "0"}}, r"has code of fakevoice \w+, not 0 as here: update and restart it"),
        ({"versions": {"Python": "3.0"}}, r"has Python 3\.\d+\.\d+, not 3\.0 as here"),
        ({"versions": {"soxr": "0.1"}}, r"has soxr .*, not 0\.1 as here"),
    ],
)
def test_a_worker_without_what_a_run_needs_is_named(needs, part, message):
    reason = dask_engine.why_unfit(needs._replace(**part), worker())
    assert reason.startswith("worker tcp://10.0.0.5:4321 on ")
    assert re.search(message, reason)


def test_a_task_has_one_thread_whatever_its_worker_has(needs, monkeypatch):
    monkeypatch.setattr(distributed, "get_worker", worker)
    with threadpoolctl.threadpool_limits(2):
        assert threads_in_use(0) == 2
        assert dask_engine.work(needs, pickle.dumps((threads_in_use, 0))) == 1


def test_a_worker_of_several_threads_or_without_a_nanny_is_refused(needs):
    assert "runs 4 tasks at once: start it with --nthreads 1" in dask_engine.why_unfit(needs, worker(n_threads=4))
    assert "start it without --no-nanny" in dask_engine.why_unfit(needs, worker(nanny=None))


def test_a_home_that_cannot_be_written_is_named(needs, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot write in" in dask_engine.why_unfit(needs, worker())


def test_the_token_exists_as_long_as_the_run(home, by_hand):
    with using(by_hand):
        assert len(list(home.iterdir())) == 1
    assert not list(home.iterdir())


def pretend_to_be_old() -> None:
    found = dask_engine.versions() | {"code of fakevoice": "old"}
    dask_engine.versions = lambda: found


def test_workers_that_have_loaded_older_code_are_refused(home, tmp_path):
    with started(tmp_path, *WORKERS) as made:
        with Client(made.address, set_as_default=False) as client:
            client.wait_for_workers(2, PATIENCE_S)
            client.run(pretend_to_be_old)
        with pytest.raises(ClusterError, match="has code of fakevoice old, not"), using(made):
            pass


def test_no_scheduler(home, monkeypatch):
    monkeypatch.setattr(dask_engine, "ANSWER_S", 1.0)
    nowhere = Cluster("tcp://127.0.0.1:1", Path(), [])
    with pytest.raises(ClusterError, match=r"nobody answers at .*:1 .*dask scheduler"), using(nowhere):
        pass


def test_no_certificates(home):
    with (
        pytest.raises(ClusterError, match=r"nobody answers at tls.*TLS configuration"),
        using(Cluster("tls://127.0.0.1:1", Path(), [])),
    ):
        pass


def test_no_package(home, by_hand, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"\./run\.sh install cluster"), using(by_hand):
        pass


def test_workers_that_come_late_that_go_and_a_scheduler_that_goes(home, tmp_path, monkeypatch):
    with started(tmp_path) as made:
        monkeypatch.setattr(dask_engine, "ALONE_S", 1.0)
        message = rf"no worker in 1 s: .*dask worker {made.address} --nworkers 2 --nthreads 1"
        with pytest.raises(ClusterError, match=message), using(made):
            pass

        monkeypatch.setattr(dask_engine, "ALONE_S", PATIENCE_S)
        first = made.add("worker", made.address, "--nworkers", "1", "--nthreads", "1")
        with using(made):
            assert list(run_parallel(process_id, [3], "", "")) == [made.workers()[0].pid]  # one is enough
            os.killpg(first.pid, signal.SIGKILL)
            made.add("worker", made.address, "--nworkers", "1", "--nthreads", "2")
            with pytest.raises(ClusterError, match="runs 2 tasks at once: start it with --nthreads 1"):
                list(run_parallel(square, [3], "", ""))
            os.killpg(made.processes[-1].pid, signal.SIGKILL)
            monkeypatch.setattr(dask_engine, "ALONE_S", 1.0)
            with pytest.raises(ClusterError, match="no worker in 1 s"):
                list(run_parallel(square, [3], "", ""))
            monkeypatch.setattr(dask_engine, "ALONE_S", PATIENCE_S)
            made.processes[0].kill()
            with pytest.raises(ClusterError, match="the scheduler is gone"):
                list(run_parallel(square, [3], "", ""))
