"""Results come in order, errors come back whole, a killed worker costs time and nothing else."""

import os
from functools import partial

import pytest

from fakevoice.errors import AudioError
from fakevoice.workers import core_count, run_parallel, use


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
