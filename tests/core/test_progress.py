"""What a person sees of a long piece of work."""

import pytest

from fakevoice.core import progress
from fakevoice.core.progress import duration_text, track


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def work(clock, n_items: int, seconds_each: float):
    for index in range(n_items):
        clock[0] += seconds_each
        yield index


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (185, "3 min 05 s"), (3599, "59 min 59 s"), (3720, "1 h 02 min")],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration_text(seconds) == text


def test_short_work_is_silent(clock, capsys):
    assert list(track(work(clock, 10, 0.1), 10, "features", "clips")) == list(range(10))
    assert capsys.readouterr() == ("", "")


def test_long_work_tells_rate_and_time_left_on_standard_error(clock, capsys):
    list(track(work(clock, 100, 1.0), 100, "features", "clips"))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and 5 <= len(lines) <= 8  # one every 15 s
    assert lines[0] == "features: 2/100 clips, 1/s, 1 min 38 s left"
    assert lines[-1] == "features: 100/100 clips, 1/s, done in 1 min 40 s"


def test_time_left_does_not_count_how_slowly_workers_started(clock, capsys):
    def slow_start():
        clock[0] += 60
        yield from work(clock, 100, 1.0)

    list(track(slow_start(), 100, "features", "clips"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "features: 16/100 clips, 1/s, 1 min 24 s left"
    assert lines[-1] == "features: 100/100 clips, 0.625/s, done in 2 min 40 s"


def test_a_line_is_shown_before_the_first_result(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    running = progress.Progress(10, "features", "clips")
    running._first_line.join(10)
    assert capsys.readouterr().err == "features: 0/10 clips, 0/s, starting\n"
    running.close()


def test_a_failure_still_closes_the_line(clock, capsys):
    with pytest.raises(ZeroDivisionError):
        for item in track(work(clock, 100, 1.0), 100, "features", "clips"):
            1 / (item - 50)
    assert capsys.readouterr().err.splitlines()[-1].startswith("features: 50/100")


def test_nothing_to_do_is_no_division_by_zero(capsys):
    assert list(track([], 0, "features", "clips")) == []
    assert capsys.readouterr().err == ""
