"""Sites that score submissions: handing one in, writing down what the board says, comparing it with what was expected.

    ./run.sh submit --config NAME
    ./run.sh leaderboard add 0.1779 --config NAME
    ./run.sh leaderboard --config NAME

The submissions and their scores stand in `submissions/log.csv`.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from fakevoice.core.artifacts import checksum, read_manifest
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError, ConfigError, SubmissionError, install_extra, nearest
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.pipeline.runner import stale_stages
from fakevoice.pipeline.submission import LOG_COLUMNS, change_log, check_submission, read_log

MOST_SCORE = 1e9  # beyond which a number is no score of any metric
DACON_PAGE = "https://dacon.io/competitions/official/{}/mysubmission"
CLIENT_S = 600.0  # after which Kaggle's client is taken for hanging; it retries an upload for some minutes
VERBOSE = ("VERBOSE", "VERBOSE_OUTPUT")  # has Kaggle's client print its requests, with the token
QUERY = re.compile(r"\?[^\s?]*=[^\s)'\"]*")  # of a URL; the one to which a file is uploaded holds a signature
UNKNOWN_ACCOUNT = "Authentication required"
REFUSED = "Could not"  # it ends well though an upload failed
TRACEBACK = "Traceback (most recent call last)"
ACCOUNT_HELP = (
    "Kaggle's client has no token, or one that Kaggle does not take: make one at https://www.kaggle.com/settings/api "
    '("Generate New Token") and put it into the file $HOME/.kaggle/access_token, or into KAGGLE_API_TOKEN; '
    "an older kaggle.json belongs into $HOME/.kaggle"
)


def submit(config: Config, file: Path | None, message: str, force: bool = False) -> str:
    """Check a submission once more and hand it in, or say where a person does so.

    Args:
        file: the newest submission of the run if None.
        message: what the board shows beside it; the name of the run if empty.
        force: submit a file that was edited, or whose run is stale.

    Returns:
        What the site said, the score to expect, and the command that writes the board's score down.

    Raises:
        ConfigError: no board is configured, Kaggle's client is not installed, or knows no account.
        ArtifactError: there is no such file, or no run.
        SubmissionError: the file would be refused, or was, with the site's words; or it was edited or is stale.
    """
    board, name = config.board, f"{config.competition}/{config.experiment}"
    if not board.site:
        raise ConfigError(
            f"{config.competition} has no board: add `board: {{site: kaggle, competition: NAME}}` to its config, NAME "
            "as in the address of the competition's page, or `site: dacon` and the number there"
        )
    newest = None if file else _newest(config)
    file = (file or newest).absolute()
    n_rows = _check(file, config)
    edited = _edited(file, config)
    problem = edited or _stale(file, config)
    if problem and not force:
        raise SubmissionError(f"{file}: {problem}; `submit --force` submits it anyway")
    if board.site == "kaggle":
        lines = [f"{file}, {n_rows} rows, to kaggle.com/competitions/{board.competition}"]
        lines.append(_hand_to_kaggle(file, message or name, board.competition))
    else:
        lines = [f"DACON takes files on its page alone: {DACON_PAGE.format(board.competition)}"]
        lines.append(f"upload {file} there: {n_rows} rows, checked against the sample submission")
    if edited:
        lines.append(f"{edited}: its expected score is not known")
    else:
        lines += [_expectation(line) for line in _lines(config, file.name).to_dict("records")]
    argument = "" if newest else f" {file.name}"
    lines.append(f"when the score is there: ./run.sh leaderboard add SCORE{argument} --config {_called(config)}")
    return "\n".join(lines)


def record_score(config: Config, score: float, file: Path | None) -> str:
    """Write the board's score of a submission into `submissions/log.csv`.

    Args:
        file: the newest submission of the run if None; only its name counts.

    Returns:
        The board's score beside the expected one, and the score that it replaces.

    Raises:
        ConfigError: the score is no number, or no such submission is in the log.
        ArtifactError: there is no run.
        LockedError: another process holds the log.
    """
    if not abs(score) <= MOST_SCORE:
        raise ConfigError(f"{score} is no score: give the number that the board shows")
    name, before = (file or _newest(config)).name, ""

    def with_score(log: pd.DataFrame) -> pd.DataFrame:
        nonlocal before
        known = log["file"][_is_own(log, config)].tolist()
        if name not in known:
            hint = nearest(name, known) if known else "there is none yet"
            raise ConfigError(f"no submission {name!r} of {config.competition} in the log; {hint}")
        same = log["file"] == name
        before = log.loc[same, "board_score"].iloc[0]
        return log.assign(board_score=log["board_score"].mask(same, str(score)))

    change_log(paths(config).submissions, with_score)
    (line,) = _lines(config, name).to_dict("records")
    replaced = f" (instead of {before})" if before else ""
    return f"{name}: board {score:.5g}{replaced}\n{_expectation(line)}\n{_comparison(line)}"


def leaderboard(config: Config) -> pd.DataFrame:
    """All submissions of a competition, newest last.

    Returns:
        file, experiment, config, oof_score, expected_score, expected_low, expected_high, board_score; difference of the
        board to what was expected; inside: "yes" where the board's score lies in the interval, "no", or "" before it
        is known.

    Raises:
        ArtifactError: there are none.
    """
    table = _lines(config)
    if table.empty:
        raise ArtifactError(f"no submission of {config.competition} yet: ./run.sh all --config {_called(config)}")
    difference = table["board_score"] - table["expected_score"]
    inside = table["board_score"].between(table["expected_low"], table["expected_high"]).map({True: "yes", False: "no"})
    first = ["file", "experiment", "config"]
    ordered = table[[*first, *(column for column in LOG_COLUMNS if column not in first)]]
    return ordered.assign(difference=difference, inside=inside.where(difference.notna(), ""))


def _newest(config: Config) -> Path:
    """The submission that the run ended with."""
    places = paths(config)
    manifest = places.stage("submission") / "manifest.json"
    outputs = list(read_manifest(manifest)["outputs"]) if manifest.is_file() else []
    if not outputs:
        raise ArtifactError(f"no submission of {places.run} yet: ./run.sh all --config {_called(config)}")
    return places.home / outputs[-1]


def _edited(file: Path, config: Config) -> str:
    """How a file differs from the submission of its name; nothing where it does not, or where no run wrote it."""
    if not file.is_file():
        return ""
    content = checksum(file)
    manifest = paths(config).stage("submission") / "manifest.json"
    outputs = read_manifest(manifest)["outputs"] if manifest.is_file() else {}
    written = {Path(name).name: facts["sha256"] for name, facts in outputs.items()}
    in_log = file.name in set(_lines(config)["file"])  # names of submissions end in the start of their checksum
    if (file.name in written and written[file.name] != content) or (in_log and not content.startswith(file.stem[-8:])):
        return "it was edited after the run wrote it"
    return ""


def _stale(file: Path, config: Config) -> str:
    """Why the run that wrote a file is stale; nothing where it is not, or where another run wrote the file."""
    manifest = paths(config).stage("submission") / "manifest.json"
    outputs = read_manifest(manifest)["outputs"] if manifest.is_file() else {}
    if file.name not in {Path(name).name for name in outputs}:
        return ""
    for stage, reason in stale_stages(config):
        if reason:
            return (
                f"the run is stale ({stage}: {reason}), ./run.sh all --config {_called(config)} makes a new submission"
            )
        if stage == "submission":
            break
    return ""


def _check(file: Path, config: Config) -> int:
    """Number of rows of a file that the site would take."""
    prepared = paths(config).stage("prepare")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    submission = read_table(file, ("id",))
    if "id" not in submission:
        raise SubmissionError(f"{file}: no column id")
    test_ids = clips.loc[clips["split"] == "test", "id"]
    try:
        check_submission(submission, read_table(prepared / "template.csv", ("id",)), test_ids)
    except SubmissionError as error:
        raise SubmissionError(f"{file}: {error}") from error
    return len(submission)


def _hand_to_kaggle(file: Path, message: str, competition: str) -> str:
    """What Kaggle says to a submission that it has taken."""
    if find_spec("kaggle") is None:
        raise ConfigError(f"board.site=kaggle needs Kaggle's client: {install_extra('kaggle')}")
    try:
        done = _run_client("submit", f"--competition={competition}", f"--file={file}", f"--message={message}")
    except subprocess.TimeoutExpired as error:
        page = f"https://www.kaggle.com/competitions/{competition}/submissions"
        waited = f"Kaggle has not answered for {CLIENT_S / 60:.0f} minutes"
        raise SubmissionError(f"{waited}: before you try again, see on {page} whether {file.name} came") from error
    if UNKNOWN_ACCOUNT in done.stdout:
        raise ConfigError(ACCOUNT_HELP)
    said, complaint = done.stdout.strip(), done.stderr.strip()
    if done.returncode == 0 and said and REFUSED not in said:
        return said
    if TRACEBACK in complaint:
        complaint = complaint.splitlines()[-1]
    words = "\n".join(filter(None, (said, complaint))) or "its client says nothing"
    raise SubmissionError(f"Kaggle has not taken {file.name}: {QUERY.sub('?...', words)}")


def _run_client(command: str, *arguments: str) -> subprocess.CompletedProcess:
    """Kaggle's client as a program of its own: imported, it prints, reads its settings, and may end the process."""
    return subprocess.run(
        # -P: a folder kaggle/ where the user stands is not the client
        [sys.executable, "-P", "-m", "kaggle", "competitions", command, "--quiet", *arguments],
        env={name: value for name, value in os.environ.items() if name not in VERBOSE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=CLIENT_S,
    )


def _is_own(log: pd.DataFrame, config: Config) -> pd.Series:
    """Which lines of the log are of this competition."""
    return log["file"].str.rpartition("-")[0] == config.competition


def _lines(config: Config, name: str = "") -> pd.DataFrame:
    """Lines of the log of this competition, or of one file, with scores as numbers; missing ones are NaN."""
    log = read_log(paths(config).submissions)
    if log.empty:
        return log
    log = log[log["file"] == name] if name else log[_is_own(log, config)]
    scores = [column for column in LOG_COLUMNS if column.endswith(("_score", "_low", "_high"))]
    return log.assign(**{column: pd.to_numeric(log[column], errors="coerce") for column in scores})


def _expectation(line: dict) -> str:
    score, low, high = (line[f"expected_{end}"] for end in ("score", "low", "high"))
    return f"expected {score:.4f} (95 % interval {low:.4f} to {high:.4f})"


def _comparison(line: dict) -> str:
    is_inside = line["expected_low"] <= line["board_score"] <= line["expected_high"]
    difference = line["board_score"] - line["expected_score"]
    return f"difference {difference:+.4f}, {'inside' if is_inside else 'outside'} the interval"


def _called(config: Config) -> str:
    """What follows ``--config`` in a command about this run."""
    return config.competition + (f" experiment={config.experiment}" if config.experiment != "default" else "")
