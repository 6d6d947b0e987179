"""The command line: what it says, what it returns, which competition it takes, and whom it calls."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fakevoice.cli import commands
from fakevoice.cli.command_line import main
from fakevoice.core import plugins
from fakevoice.core.config import REPOSITORY
from fakevoice.pipeline.runner import STAGES

COMMANDS = (
    *("all", *STAGES, "status", "doctor", "bakeoff", "tune", "predict", "stream", "monitor", "serve", "score"),
    *("report", "tensorboard", "notebooks", "export", "submit", "leaderboard"),
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A home and a data folder without anything, and the signals as they were afterwards."""
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def help_text(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["__main__.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command(monkeypatch, capsys):
    text = help_text(monkeypatch, capsys, "--help")
    assert {*COMMANDS, "test", "bench"} <= {*text.split()}
    for variable in ("FAKEVOICE_DATA", "FAKEVOICE_HOME", "key=value"):
        assert variable in text


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_prepare_says_what_the_adapters_expect(monkeypatch, capsys, word):
    text = help_text(monkeypatch, capsys, "prepare", word)
    for adapter in plugins.names("datasets"):
        first_line = plugins.load("datasets", adapter).EXPECTS.strip().splitlines()[0]
        assert f"{adapter}:" in text
        assert first_line in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(monkeypatch, capsys, command):
    assert "usage: ./run.sh" in help_text(monkeypatch, capsys, command, "--help")


@pytest.mark.parametrize(
    "arguments",
    [["tarin"], [], ["all", "--fast"], ["score", "one.csv"], ["predict"], ["tune", "seed=1..2", "--trials", "0"]],
)
def test_a_wrong_call_is_2_and_shows_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: ./run.sh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status", "--config", "demo"], 0, ""),
        (["status", "--config", "demo", "seed"], 2, "'seed' is not key=value"),
        (["status", "--config", "demo", "sed=1"], 2, "did you mean 'seed'?"),
        (["status", "--config", "demo", "seed=one"], 2, "seed"),
        (["status", "--config", "dacno"], 2, "no config 'dacno'; did you mean 'dacon'?"),
        (["predict", "--config", "demo", "nowhere.wav"], 1, "nowhere.wav does not exist"),
        (["score", "nowhere.csv", "nowhere.csv"], 1, "nowhere.csv"),
        (["prepare", "--config", "voices"], 1, "train.csv"),
        (["report", "--config", "demo"], 1, "./run.sh all"),
        (["submit", "--config", "demo"], 2, "board"),
        (["submit", "one.csv", "two.csv", "--config", "demo"], 2, "at most FILE.csv"),
        (["leaderboard", "ad", "0.2", "--config", "demo"], 2, "leaderboard add SCORE"),
        (["leaderboard", "add", "--config", "demo"], 2, "leaderboard add SCORE"),
        (["leaderboard", "add", "high", "--config", "demo"], 2, "leaderboard add SCORE"),
        (["leaderboard", "add", "0.2", "a.csv", "b.csv", "--config", "demo"], 2, "at most add SCORE FILE"),
        (["tensorboard", "--config", "demo"], 2, "no training in"),
    ],
)
def test_exit_codes_and_messages(capsys, arguments, code, message):
    assert main(arguments) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert bool(errors) == bool(code)


def test_predicting_without_a_trained_run_says_what_to_do(tmp_path, capsys):
    (tmp_path / "clip.wav").touch()
    assert main(["predict", "--config", "demo", str(tmp_path / "clip.wav")]) == 1
    assert "./run.sh all first" in capsys.readouterr().err


def chosen(capsys, tmp_path, *competitions: str) -> str:
    for name in competitions:
        (tmp_path / "data" / name).mkdir(parents=True)
    main(["status"])
    return capsys.readouterr().out.split("/")[0]


def test_no_data_is_the_demo(capsys, tmp_path):
    assert chosen(capsys, tmp_path) == "demo"


def test_one_competition_is_that_one(capsys, tmp_path):
    assert chosen(capsys, tmp_path, "voices", "demo", "unknown") == "voices"


@pytest.mark.parametrize("command", ["all", "status", "predict"])
def test_of_two_one_must_be_chosen(capsys, tmp_path, command):
    for name in ("voices", "dacon"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "clip.wav").touch()
    assert main([command, *([str(tmp_path / "clip.wav")] if command == "predict" else [])]) == 2
    errors = capsys.readouterr().err
    assert "choose with --config" in errors
    assert "voices" in errors
    assert "dacon" in errors


def test_a_competition_without_a_config_is_not_taken_for_the_demo(capsys, tmp_path):
    (tmp_path / "data" / "mine").mkdir(parents=True)
    assert main(["all"]) == 2
    assert "mine" in capsys.readouterr().err


def test_the_result_of_score_is_printed(finished_run, capsys):
    assert main(["score", str(finished_run.submission()), str(finished_run.paths.raw / "solution.csv")]) == 0
    assert "n = 16" in capsys.readouterr().out


def test_status_imports_nothing_heavy():
    code = (
        "import sys; from fakevoice.cli.command_line import main; main(['status', '--config', 'voices']); "
        "print([m for m in ('numpy', 'torch', 'lightgbm', 'librosa', 'sklearn', 'albumentations') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY / "src")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_status_tells_how_long_each_stage_took_and_what_is_next(at_home, capsys):
    assert main(["status", "--config", "demo", *at_home.overrides]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("up to date  (took " in line for line in lines[1:-1]) and len(lines) == len(STAGES) + 2
    assert lines[-1] == "next: ./run.sh report --config demo"
    main(["status", "--config", "demo", *at_home.overrides, "seed=5"])
    assert capsys.readouterr().out.splitlines()[-1] == "next: ./run.sh all --config demo"


@pytest.fixture
def became(monkeypatch) -> list[list[str]]:
    """What this process would have become."""
    called = []

    def become(program: str, arguments: list[str]):
        assert program == arguments[0] == sys.executable
        called.append(arguments[1:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", become)
    return called


def test_tensorboard_sees_all_experiments(at_home, became):
    assert main(["tensorboard", "--config", "demo", "--port", "6007"]) == 0
    (words,) = became
    assert words[:3] == ["-m", "tensorboard.main", "--logdir"] and words[-2:] == ["--port", "6007"]
    assert list(Path(words[3]).glob("default/tensorboard/mel/fold0/events.*"))


def test_the_board_is_told_what_was_typed(at_home, monkeypatch, capsys):
    from fakevoice.cli import leaderboard

    told = []
    monkeypatch.setattr(
        leaderboard, "submit", lambda config, *rest: told.append((config.experiment, *rest)) or "handed in"
    )
    monkeypatch.setattr(leaderboard, "record_score", lambda config, *rest: told.append(rest) or "written down")
    scores = pd.DataFrame({"file": ["a.csv"], "board_score": [float("nan")]})
    monkeypatch.setattr(leaderboard, "leaderboard", lambda config: scores)
    assert main(["submit", "one.csv", "--message", "wide", "--config", "demo", "experiment=wide"]) == 0
    assert main(["submit", "--config", "demo"]) == 0
    assert main(["leaderboard", "add", "0.25", "one.csv", "--config", "demo"]) == 0
    assert main(["leaderboard", "add", "0.25", "--config", "demo"]) == 0
    assert main(["leaderboard", "--config", "demo"]) == 0
    assert told == [
        ("wide", Path("one.csv"), "wide", False),
        ("default", None, "", False),
        (0.25, Path("one.csv")),
        (0.25, None),
    ]
    shown = capsys.readouterr().out
    assert "handed in" in shown and "written down" in shown and "a.csv" in shown and "NaN" not in shown


def test_tuning_is_told_what_was_typed(monkeypatch, capsys):
    from fakevoice.cli import tune

    monkeypatch.setattr(tune, "tune", lambda *arguments: arguments)
    monkeypatch.setattr(tune, "summary", lambda name, words, table: table)
    assert main(["tune", "stacker.n_leaves=3..7", "--trials", "4", "--config", "demo", "seed=1"]) == 0
    assert main(["tune", "stacker.n_leaves=3..7"]) == 0
    first, second = map(eval, capsys.readouterr().out.splitlines())
    assert first == ("demo", ["stacker.n_leaves=3..7", "seed=1"], 4)
    assert second == ("demo", ["stacker.n_leaves=3..7"], 20)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_in_a_finaliser_is_heard_all_the_same(number, code):
    """Python ignores what is raised there; the command would go on to its end."""
    lines = [
        "import os, signal, sys, time",
        "from fakevoice.cli import command_line, commands",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "command_line.STOP_AGAIN_S = 0.2",
        "class Swallows:",
        "    def __del__(self):",
        f"        os.kill(os.getpid(), {int(number)})",
        "        time.sleep(0.01)",
        "def work(options):",
        "    Swallows()",
        "    time.sleep(30)",
        "commands.status = work",
        "sys.exit(command_line.main(['status']))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=REPOSITORY / "src", capture_output=True, timeout=25, text=True
    )
    assert "Exception ignored" in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(("path", "where"), [("some.png", "some.png"), (None, "the disk")])
def test_a_library_that_cannot_write_is_no_defect(monkeypatch, capsys, number, path, where):
    def write(options) -> None:
        raise OSError(number, os.strerror(number), *filter(None, [path]))

    monkeypatch.setattr(commands, "status", write)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith(f"fakevoice: {where}: {os.strerror(number)}; the same command")


def test_what_is_no_matter_of_the_disk_shows_where_it_was(monkeypatch):
    def work(options) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    monkeypatch.setattr(commands, "status", work)
    with pytest.raises(OSError, match="not connected"):
        main(["status"])
