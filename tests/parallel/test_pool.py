"""Results come in order, errors come back whole, a killed worker costs time and nothing else."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from fakevoice.core.errors import AudioError, WorkerError
from fakevoice.parallel import watchdog
from fakevoice.parallel.pool import core_count, run_parallel, use


def square(x: int) -> int:
    return x * x


def fail_at_three(x: int) -> int:
    if x == 3:
        raise AudioError("a.wav", "0 samples")
    return x


def die_in_a_worker(x: int, parent: int) -> int:
    if x == 2 and os.getpid() != parent:
        os._exit(9)
    return x


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_results_in_order(n_jobs):
    assert list(run_parallel(square, range(20), "squares", "numbers", n_jobs)) == [x * x for x in range(20)]


def test_nothing_to_do():
    assert list(run_parallel(square, [], "squares", "numbers")) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_errors_come_back_as_they_were(n_jobs):
    with pytest.raises(AudioError) as caught:
        list(run_parallel(fail_at_three, range(5), "", "", n_jobs))
    assert caught.value.path == "a.wav" and caught.value.reason == "0 samples"


def test_a_killed_worker_is_replaced_by_this_process(capsys):
    results = list(run_parallel(partial(die_in_a_worker, parent=os.getpid()), range(6), "", "", 2))
    assert results == list(range(6))
    assert "a worker process was killed" in capsys.readouterr().out


def hang_at_three(x: int, folder: Path, times: int) -> int:
    """The first `times` times that it is asked for 3 it stands still, with a file open."""
    n_before = len(list(folder.iterdir()))
    if x == 3 and n_before < times:
        with (folder / f"voice{n_before}.ogg").open("w"):
            os.kill(os.getpid(), signal.SIGSTOP)
    return x


def compute_for_long(x: int) -> int:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        x += 1
    return x


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(watchdog, "PATIENCE_S", 2.0)  # beside other tests a worker may need more than 1 s to start
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.25)


def test_workers_that_hang_are_started_anew_and_the_file_is_named(tmp_path, impatient, capsys):
    assert list(run_parallel(partial(hang_at_three, folder=tmp_path, times=1), range(6), "", "", 2)) == list(range(6))
    said = capsys.readouterr().out
    assert "no worker process has done anything for 2.0 s" in said and str(tmp_path / "voice0.ogg") in said
    assert "started anew from item 3 of 6" in said


def test_workers_that_hang_twice_at_the_same_work_end_it(tmp_path, impatient):
    results = run_parallel(partial(hang_at_three, folder=tmp_path, times=9), range(6), "", "", 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerError, match=r"voice\d\.ogg.* for the second time at item 3 of 6"):
        next(results)
    assert not watchdog.workers()


def test_who_computes_does_not_hang_and_nobody_owes_what_is_not_waited_for(impatient, capsys):
    results = run_parallel(compute_for_long, [0, 0], "", "", 2)
    assert next(results) > 0
    time.sleep(3)
    assert len(list(results)) == 1 and not capsys.readouterr().out


def test_workers_keep_to_one_thread():
    assert set(run_parallel(threads_wanted, range(2), "", "", 2)) == {"1"}


def threads_wanted(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def test_there_is_a_core():
    assert core_count() >= 1


def test_another_engine_works_for_as_long_as_it_is_used():
    def backwards(function, items, n_jobs):
        assert n_jobs == 3
        return reversed([function(item) for item in items])

    with use(backwards):
        assert list(run_parallel(square, range(4), "squares", "numbers", 3)) == [9, 4, 1, 0]
    assert list(run_parallel(square, range(4), "squares", "numbers", 1)) == [0, 1, 4, 9]


def test_another_engine_is_no_longer_used_after_an_error():
    with pytest.raises(ZeroDivisionError), use(lambda *_: 1 / 0):
        run_parallel(square, [1], "", "")
    assert list(run_parallel(square, [2], "", "")) == [4]
