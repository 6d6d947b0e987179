"""Handing in and the board's scores: the file is checked first, Kaggle's own client talks to a server that plays it."""

import json
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

from fakevoice.cli import leaderboard as boards
from fakevoice.cli.leaderboard import leaderboard, record_score, submit
from fakevoice.core.config import load_config
from fakevoice.core.errors import ArtifactError, ConfigError, SubmissionError
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.pipeline.submission import change_log, read_log

TOKEN = "KGAT_the-secret-of-a-user"
SIGNATURE = "the-secret-of-an-upload"


def on_board(run, site: str, competition: str, *words: str):
    return load_config("demo", [*run.overrides, f"board.site={site}", f'board.competition="{competition}"', *words])


@pytest.fixture
def on_kaggle(damageable):
    return on_board(damageable, "kaggle", "which-voices")


class Kaggle(ThreadingHTTPServer):
    """Plays Kaggle for its own client, as the HTTP proxy through which that one reaches http://localhost.

    Attributes:
        refusal: step that is refused, and the status and words of it; none where it takes what comes.
        seen: step → headers and body of what came.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.refusal: tuple[str, int, str] = ("", 0, "")
        self.seen: dict[str, tuple[dict, bytes]] = {}

    def answer(self, step: str, body: bytes) -> tuple[int, dict]:
        refused, status, words = self.refusal
        if step == refused:
            return status, {"code": status, "message": words}
        if step == "IntrospectToken":
            return 200, {"active": json.loads(body)["token"] == TOKEN, "username": "somebody"}
        if step == "StartSubmissionUpload":
            return 200, {"token": "blob", "createUrl": f"http://localhost/upload?signature={SIGNATURE}"}
        return 200, {"message": "Successfully submitted to Which voices?"}


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        step = urlsplit(self.path).path.rpartition("/")[2]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen[step] = (dict(self.headers), body)
        status, answer = self.server.answer(step, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_POST

    def log_message(self, *args):
        pass


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Iterator[Kaggle]:
    if find_spec("kaggle") is None:
        pytest.skip("Kaggle's client is an extra")
    with Kaggle() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
            monkeypatch.delenv(name, raising=False)
        address = f"http://127.0.0.1:{server.server_address[1]}"
        around = {"http_proxy": address, "HTTP_PROXY": address, "no_proxy": "", "NO_PROXY": "", "HOME": str(tmp_path)}
        for name, value in {**around, "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "KAGGLE_API_TOKEN": TOKEN}.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()


def test_kaggle_takes_the_file(kaggle, damageable, on_kaggle, monkeypatch):
    monkeypatch.setenv("VERBOSE", "true")  # would have the client print the token
    told = submit(on_kaggle, None, "the second try")
    headers, _ = kaggle.seen["CreateSubmission"]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert kaggle.seen["upload"][1] == damageable.submission().read_bytes()
    asked = [json.loads(kaggle.seen[step][1]) for step in ("StartSubmissionUpload", "CreateSubmission")]
    assert [request["competitionName"] for request in asked] == ["which-voices"] * 2
    assert asked[0]["fileName"] == damageable.submission().name
    assert asked[1]["submissionDescription"] == "the second try"
    assert "Successfully submitted to Which voices?" in told and "16 rows" in told
    assert told.endswith("./run.sh leaderboard add SCORE --config demo")
    assert TOKEN not in told and SIGNATURE not in told


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            ("CreateSubmission", 400, "You have used all of your 5 submissions"),
            "You have used all of your 5 submissions",
        ),
        (("StartSubmissionUpload", 404, "Not found"), "Not found"),
        (("upload", 403, "the signature is too old"), "Could not submit to competition"),
    ],
)
def test_the_words_of_a_refusal(kaggle, on_kaggle, refusal, message):
    kaggle.refusal = refusal
    with pytest.raises(SubmissionError, match=rf"has not taken demo-\w+.csv: {message}"):
        submit(on_kaggle, None, "")


def test_the_run_is_the_message_where_there_is_no_other(kaggle, on_kaggle):
    submit(on_kaggle, None, "")
    assert json.loads(kaggle.seen["CreateSubmission"][1])["submissionDescription"] == "demo/default"


def test_a_token_that_kaggle_does_not_know(kaggle, on_kaggle, monkeypatch, capfd):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "another-secret")
    with pytest.raises(ConfigError, match=r"https://www.kaggle.com/settings/api.*access_token") as error:
        submit(on_kaggle, None, "")
    assert "another-secret" not in str(error.value)
    assert capfd.readouterr() == ("", "")
    assert "upload" not in kaggle.seen


def test_a_client_that_hangs_is_ended(kaggle, on_kaggle, monkeypatch):
    monkeypatch.setattr(boards, "CLIENT_S", 0.05)
    with pytest.raises(SubmissionError, match=r"which-voices/submissions whether demo-.* came"):
        submit(on_kaggle, None, "")


@pytest.mark.parametrize(
    ("code", "said", "complaint", "expected"),
    [
        (1, f"with url: /upload?id=1&signature={SIGNATURE} (Caused by X)", "", r"with url: /upload\?... \(Caused by X"),
        (
            1,
            "",
            'Traceback (most recent call last)\n  File "x"\nConnectionError: no route',
            "csv: ConnectionError: no route",
        ),
        (0, "", "", "its client says nothing"),
    ],
)
def test_what_goes_wrong_is_told_in_few_words(on_kaggle, monkeypatch, code, said, complaint, expected):
    answer = subprocess.CompletedProcess([], code, said, complaint)
    monkeypatch.setattr(boards, "_run_client", lambda *arguments: answer)
    monkeypatch.setattr(boards, "find_spec", lambda name: True)
    with pytest.raises(SubmissionError, match=expected) as error:
        submit(on_kaggle, None, "")
    assert SIGNATURE not in str(error.value)


def test_without_the_client(on_kaggle, monkeypatch):
    monkeypatch.setattr(boards, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"\./run\.sh install kaggle"):
        submit(on_kaggle, None, "")


def test_dacon_has_a_page(at_home):
    told = submit(on_board(at_home, "dacon", "236253"), None, "")
    assert "https://dacon.io/competitions/official/236253/mysubmission" in told
    assert f"{at_home.submission()} there: 16 rows" in told
    assert "expected 0." in told and "./run.sh leaderboard add SCORE --config demo" in told


def test_an_edited_submission_needs_force_and_has_no_expected_score(damageable):
    config, file = on_board(damageable, "dacon", "236253"), damageable.submission()
    header, first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([header, first.rpartition(",")[0] + ",0.123456", *rest]) + "\n")
    with pytest.raises(SubmissionError, match=r"it was edited after the run wrote it; `submit --force`"):
        submit(config, None, "")
    told = submit(config, None, "", force=True)
    assert "its expected score is not known" in told and "expected 0." not in told


def test_a_submission_of_a_stale_run_needs_force(damageable):
    config = on_board(damageable, "dacon", "236253", "seed=5")
    with pytest.raises(SubmissionError, match=r"the run is stale \(\w+: config key seed changed\), ./run.sh all"):
        submit(config, None, "")
    assert "expected 0." in submit(config, None, "", force=True)


def test_without_a_board(at_home):
    with pytest.raises(ConfigError, match=r"demo has no board: add `board: .site: kaggle, competition: NAME.`"):
        submit(at_home.config, None, "")


def test_without_a_run(tmp_path, at_home, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    config = on_board(at_home, "dacon", "236253")
    for call in (
        partial(submit, config, None, ""),
        partial(record_score, config, 0.2, None),
        partial(leaderboard, config),
    ):
        with pytest.raises(ArtifactError, match=r"yet: ./run.sh all --config demo"):
            call()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "".join(text.splitlines(keepends=True)[:-1]), "1 ids differ"),
        (lambda text: text[:-30], "missing"),
        (lambda text: text.replace("id,", "key,", 1), "no column id"),
        (lambda text: text.replace(",0.", ",7.", 1), "outside 0 to 1"),
    ],
)
def test_a_damaged_file_never_leaves(damageable, on_kaggle, monkeypatch, damage, message):
    monkeypatch.setattr(boards, "_run_client", lambda *arguments: pytest.fail("it was handed in"))
    file = damageable.submission()
    file.write_text(damage(file.read_text()))
    with pytest.raises(SubmissionError, match=rf"{file.name}.*{message}"):
        submit(on_kaggle, None, "")


def test_a_file_of_ones_own(damageable, tmp_path, monkeypatch):
    (tmp_path / "blend.csv").write_bytes(damageable.submission().read_bytes())
    monkeypatch.chdir(tmp_path)
    told = submit(on_board(damageable, "dacon", "236253"), Path("blend.csv"), "")
    assert f"{tmp_path / 'blend.csv'} there: 16 rows" in told
    assert "expected" not in told  # the line knows nothing of it
    assert told.endswith("./run.sh leaderboard add SCORE blend.csv --config demo")


def add_line(run, file: str, **values: str) -> None:
    """Another submission in the log, like the one of the run."""
    change_log(run.paths.submissions, lambda log: pd.concat([log, log.head(1).assign(file=file, **values)]))


def test_the_newest_score_is_written_down(damageable):
    add_line(damageable, "demo-0000aaaa.csv", expected_low="0.1", experiment="other")
    before, name = read_log(damageable.paths.submissions), damageable.submission().name
    low, score, high = (float(before[f"expected_{end}"].iloc[0]) for end in ("low", "score", "high"))
    told = record_score(damageable.config, high + 0.01, None)
    after = read_log(damageable.paths.submissions)
    assert after["board_score"].tolist() == [str(high + 0.01), ""]
    assert after.drop(columns="board_score").equals(before.drop(columns="board_score"))
    assert told.splitlines() == [
        f"{name}: board {high + 0.01:.5g}",
        f"expected {score:.4f} (95 % interval {low:.4f} to {high:.4f})",
        f"difference {high + 0.01 - score:+.4f}, outside the interval",
    ]
    told = record_score(damageable.config, score, Path("anywhere") / name)
    assert f"board {score:.5g} (instead of {high + 0.01})" in told and "+0.0000, inside the interval" in told


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_what_is_no_score(damageable, score):
    before = (damageable.paths.submissions / "log.csv").read_bytes()
    with pytest.raises(ConfigError, match=r"is no score"):
        record_score(damageable.config, score, None)
    assert (damageable.paths.submissions / "log.csv").read_bytes() == before


def test_a_submission_that_is_not_in_the_log(damageable):
    name = damageable.submission().name
    add_line(damageable, "voices-0000aaaa.csv")
    mistyped = name.replace(".csv", ".cvs")
    with pytest.raises(ConfigError, match=f"no submission '{mistyped}' of demo in the log; did you mean '{name}'"):
        record_score(damageable.config, 0.2, Path(mistyped))
    with pytest.raises(ConfigError, match=r"no submission 'voices-0000aaaa.csv' of demo"):
        record_score(damageable.config, 0.2, Path("voices-0000aaaa.csv"))


def test_leaderboard(damageable):
    ends = {"expected_score": "0.2", "expected_low": "0.1", "expected_high": "0.3"}
    for file, score in (("demo-1.csv", "0.25"), ("voices-1.csv", "0.2"), ("demo-2.csv", "0.35"), ("demo-3.csv", "?")):
        add_line(damageable, file, board_score=score, **ends)
    table = leaderboard(damageable.config)
    assert table["file"].tolist() == [damageable.submission().name, "demo-1.csv", "demo-2.csv", "demo-3.csv"]
    assert table["inside"].tolist() == ["", "yes", "no", ""]
    assert table["difference"].iloc[1:3].tolist() == pytest.approx([0.05, 0.15])
    assert table["board_score"].isna().tolist() == [True, False, False, True]
    assert table["experiment"].iloc[0] == "default" and table["expected_score"].dtype == "float64"


def test_the_line_keeps_the_score_of_a_submission_that_it_makes_again(damageable):
    record_score(damageable.config, 0.25, None)
    run_pipeline(damageable.config, "submission", force="submission")
    assert leaderboard(damageable.config)["board_score"].tolist() == [0.25]
