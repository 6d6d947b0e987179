"""The file that is uploaded: in the template's order, off the scorer's edges, refused here before the site does."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from fakevoice.core import locks
from fakevoice.core.errors import LockedError, SubmissionError
from fakevoice.core.tables import read_table
from fakevoice.pipeline.submission import (
    change_log,
    check_submission,
    make_submission,
    off_the_edges,
    read_log,
    write_submission,
)

TEMPLATE = pd.DataFrame({"id": ["b", "001", "NA"], "fake": ["0.5"] * 3, "real": ["0.5"] * 3})
ENTRY = {"config": "12345678", "experiment": "default", "oof_score": "0.300000"}


@pytest.fixture
def submission() -> pd.DataFrame:
    probability = np.array([[0.11, 0.22], [0.33, 0.44], [0.55, 0.66]])
    return make_submission(TEMPLATE, pd.Series(["001", "NA", "b"]), probability, ["fake", "real"])


def test_rows_follow_the_template_whatever_the_order_of_the_clips(submission):
    assert submission["id"].tolist() == ["b", "001", "NA"]
    assert submission["fake"].tolist() == [0.55, 0.11, 0.33]
    check_submission(submission, TEMPLATE, TEMPLATE["id"])


def test_columns_follow_the_template():
    template = TEMPLATE[["id", "real", "fake"]]
    made = make_submission(template, TEMPLATE["id"], np.array([[0.11, 0.91]] * 3), ["fake", "real"])
    assert made.iloc[0].tolist() == ["b", 0.91, 0.11]


def test_probabilities_stay_off_the_edges():
    rng = np.random.default_rng(0)
    edges = np.linspace(0, 1, 11)
    near = (edges[:, None] + np.array([-1.5e-6, -1e-6, -5e-7, -1e-12, 0, 1e-12, 5e-7, 1e-6, 1.5e-6])).ravel()
    probability = np.concatenate([rng.random(5000), np.clip(near, 0, 1)])
    moved = off_the_edges(probability)
    assert np.abs(moved[:, None] - edges).min() > 9e-7
    assert np.abs(moved - probability).max() < 2.0001e-6
    assert moved.min() > 0
    assert moved.max() < 1


def test_moving_keeps_the_order_of_probabilities():
    """Neither an edge of a bin nor the ends 0 and 1 make two different probabilities equal."""
    edges = np.linspace(0, 1, 11)
    steps = np.array([-2e-6, -1e-6, -5e-7, -1e-9, -1e-13, 0, 1e-13, 1e-9, 5e-7, 1e-6, 2e-6])
    probability = np.unique(np.clip((edges[:, None] + steps).ravel(), 0, 1))
    assert (np.diff(off_the_edges(probability)) > 0).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.rename(columns={"fake": "spoof"}), "columns"),
        (lambda table: table[["id", "real", "fake"]], "columns"),
        (lambda table: table.drop(columns="real"), "columns"),
        (lambda table: table.assign(id=["b", "b", "NA"]), "'b' stands twice"),
        (lambda table: table[:2], "1 ids differ from test.csv, e.g. 'NA'"),
        (lambda table: table.assign(id=["b", "1", "NA"]), "2 ids differ"),
        (lambda table: table[::-1], "order"),
        (lambda table: table.assign(fake=[0.11, np.nan, 0.3]), "1 probabilities are missing"),
        (lambda table: table.assign(fake=[0.11, np.inf, 0.31]), "not finite"),
        (lambda table: table.assign(fake=[0.11, -0.01, 0.31]), "outside 0 to 1"),
        (lambda table: table.assign(real=[0.11, 1.01, 0.31]), "outside 0 to 1"),
        (lambda table: table.assign(real=[0.11, 0.3, 0.31]), "bin edge"),
        (lambda table: table.assign(real=[0.11, 1.0, 0.31]), "bin edge"),
    ],
)
def test_what_a_site_refuses_is_refused(submission, damage, message):
    with pytest.raises(SubmissionError, match=message):
        check_submission(damage(submission), TEMPLATE, TEMPLATE["id"])


def test_a_clip_without_a_score_is_found():
    made = make_submission(TEMPLATE, pd.Series(["001", "b"]), np.full((2, 2), 0.25), ["fake", "real"])
    with pytest.raises(SubmissionError, match="missing"):
        check_submission(made, TEMPLATE, TEMPLATE["id"])


def test_the_file_is_named_by_its_content_and_logged_once(submission, tmp_path):
    path = write_submission(tmp_path, "demo", submission, ENTRY)
    assert path.name == f"demo-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.csv"
    assert read_table(path, ("id",))["id"].tolist() == ["b", "001", "NA"]
    write_submission(tmp_path, "demo", submission.assign(fake=[0.12, 0.13, 0.14]), ENTRY)
    write_submission(tmp_path, "demo", submission, ENTRY)
    log = read_table(tmp_path / "log.csv", ("file",))
    assert len(log) == 2
    assert log["file"].is_unique


def test_a_board_score_written_by_hand_survives(submission, tmp_path):
    path = write_submission(tmp_path, "demo", submission, ENTRY)
    log = read_table(tmp_path / "log.csv", ("file", "config", "board_score")).assign(board_score="0.2871")
    log.to_csv(tmp_path / "log.csv", index=False)
    write_submission(tmp_path, "demo", submission, ENTRY | {"oof_score": "0.310000"})
    (line,) = read_table(tmp_path / "log.csv", ("file", "config", "board_score")).to_dict("records")
    assert line["file"] == path.name
    assert line["board_score"] == "0.2871"
    assert line["oof_score"] == 0.31
    assert line["config"] == "12345678"


def test_of_several_who_write_the_log_at_once_none_loses_its_line(tmp_path):
    def with_line(number: int, log: pd.DataFrame) -> pd.DataFrame:
        time.sleep(0.01)  # in which another one would read the same log
        return pd.concat([log, pd.DataFrame([{"file": f"demo-{number}.csv"}])])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: change_log(tmp_path, partial(with_line, number)), range(8)))
    assert sorted(read_log(tmp_path)["file"]) == [f"demo-{number}.csv" for number in range(8)]


def test_a_log_that_stays_in_use(submission, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_S", 0.05)
    with FileLock(tmp_path / ".lock-log.csv"), pytest.raises(LockedError, match=r"log.csv has been in use"):
        write_submission(tmp_path, "demo", submission, ENTRY)
