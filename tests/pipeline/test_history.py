"""What was done to a run and how long it took."""

from datetime import UTC, datetime, timedelta, timezone

from fakevoice.pipeline import history

SEOUL = timezone(timedelta(hours=9))


def test_lines_are_added_in_order_and_tell_the_last_time(tmp_path):
    assert history.read(tmp_path) == [] and history.last_times(tmp_path) == {}
    history.record(tmp_path, "train", datetime(2026, 3, 1, 8, 30, tzinfo=SEOUL), 61.27, "never run")
    history.record(tmp_path, "stack", datetime(2026, 3, 1, 0, 0, tzinfo=UTC), 2.0, 'config key "a, b" changed')
    history.record(tmp_path, "train", datetime(2026, 3, 2, tzinfo=UTC), 9.0, "forced")
    lines = history.read(tmp_path)
    assert [line["stage"] for line in lines] == ["train", "stack", "train"]
    assert lines[0]["started_at"] == "2026-02-28T23:30:00+00:00"
    assert lines[0]["seconds"] == "61.3"
    assert lines[1]["reason"] == 'config key "a, b" changed'
    assert history.last_times(tmp_path) == {"train": 9.0, "stack": 2.0}


def test_what_is_no_such_table_is_not_read(tmp_path):
    (tmp_path / history.NAME).write_text("stage,seconds\ntrain,5\n")
    assert history.read(tmp_path) == []
    history.record(tmp_path, "train", datetime(2026, 3, 2, tzinfo=UTC), 9.0, "forced")
    assert len(history.read(tmp_path)) == 1


def test_a_damaged_time_costs_only_its_line(tmp_path):
    (tmp_path / history.NAME).write_text("stage,started_at,seconds,reason\ntrain,now,quick,\nstack,now,3.0,\nfold")
    assert history.last_times(tmp_path) == {"stack": 3.0}
