"""The command line: the words of each command, and how it ends; --help tells the rest.

Nothing heavy is imported before it is known to be needed.
"""

import argparse
import errno
import math
import os
import re
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fakevoice.audio.messages import NO_LIBSNDFILE
from fakevoice.cli import audio_commands, commands
from fakevoice.core import library_caches
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.parallel import torchrun

STAGE_HELP = {
    "prepare": "raw folder → clip table and audit of every file",
    "folds": "grouped, stratified folds.csv",
    "scenes": "simulated test conditions inside each fold",
    "features": "spectrograms, cepstra and pooled statistics as .npy shards",
    "train": "k-fold networks, out-of-fold and test logits",
    "stack": "LightGBM on pooled features and out-of-fold logits",
    "ensemble": "blend, calibration, expected score",
    "submission": "the checked CSV and a line in submissions/log.csv",
    "results": "tables by member, fold and kind of clip, beside what was published",
}
PROGRAM = "fakevoice"  # the console script of an installed package
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
SIGPIPE = 13  # which Windows does not name
STOP_AGAIN_S = 10.0  # longer than any tidying up takes
NEEDED = ("predict", "monitor", "bakeoff", "tune")  # at least one word
WORDS = {
    "predict": "PATH, - for a list of paths on standard input, or experiment=NAME",
    "monitor": "FOLDER, FILE, - for a list of paths on standard input, or experiment=NAME",
    "bakeoff": "STUDY, VARIANT or key=value",
    "tune": "KEY=LOW..HIGH, KEY='a|b' or key=value",
    "submit": "FILE.csv or key=value",
    "leaderboard": "add SCORE FILE or key=value",
}
MOST_TRIALS = 100_000
MOST_RATE_HZ = 768_000  # the highest of sound cards
MOST_CHANNELS = 1024  # of the largest microphone arrays
MOST_SECONDS = 366 * 86400.0
MOST_TEST_CLIPS = 10_000_000
EPILOG = """
A stage brings what it needs before it up to date first.
key=value words change any key of the config, e.g. networks.mel.training.n_epochs=5 or seed=1.
FAKEVOICE_DATA (default: data/) holds one folder per competition, and may be a URL as s3://bucket/prefix, as may
data.root=...; FAKEVOICE_HOME (default: here) holds folds.csv, features_cache/, runs/, submissions/ and data_cache/.
What a raw folder must hold: ./run.sh prepare --help

./run.sh test runs the test suite, ./run.sh bench measures speed, ./run.sh install EXTRA adds optional packages.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 a named error, 2 a wrong config or call, 130/143 stopped.

    Under torchrun rank 0 does so, and the others help it to train.
    """
    return torchrun.run(partial(_run, arguments), _stop_workers)


def _run(arguments: list[str] | None) -> int:
    try:
        _refuse_other_encodings(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"fakevoice: {error}", file=sys.stderr)
        return error.exit_code
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell sets it for what runs behind it
            signal.signal(number, _stop)
    warnings.formatwarning = _plain_warning
    library_caches.use_writable_folders()
    try:
        if torchrun.count() > 1 and getattr(options, "stage", "") != "train":
            raise ConfigError("torchrun starts `-m fakevoice train` only; run the other commands without it")
        return options.run(options) or 0
    except FakevoiceError as error:
        print(f"fakevoice: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        _stop_workers()
        print("fakevoice: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads has heard enough, as `| head` has
        _stop_workers()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not written at the end either
        return 128 + SIGPIPE
    except OSError as error:  # libraries write too; what is no matter of the disk is a defect, and shows where
        if "sndfile" in str(error) and error.errno is None:  # the import of soundfile raises it
            print(f"fakevoice: {NO_LIBSNDFILE}", file=sys.stderr)
            return 1
        if error.errno not in OF_THE_DISK:
            raise
        _stop_workers()
        where = error.filename or "the disk"
        print(f"fakevoice: {where}: {error.strerror}; the same command goes on where it was", file=sys.stderr)
        return 1
    except SystemExit as stop:
        _stop_workers()
        return stop.code


def _refuse_other_encodings(arguments: list[str]) -> None:
    """Refuse arguments that are not UTF-8: nothing that prints or saves them would accept them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            text = ascii(argument)
            raise ConfigError(f"the argument {text} is not UTF-8: rename the file, or set a UTF-8 locale") from error


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options of one command; words may stand before, between and after the flags."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if any(word.startswith("-") for word in others) or (others and not hasattr(options, "words")):
        parser.error(f"unknown: {' '.join(others)}")
    if others:
        options.words += others
    return options


def _plain_warning(message: Warning, *where: object) -> str:
    return f"warning: {message}\n"


def _stop(signal_number: int, frame) -> None:
    """End the command, and again where nobody heard: what is raised in a finaliser is ignored by Python."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, partial(_stop_again, signal_number))
        signal.setitimer(signal.ITIMER_REAL, STOP_AGAIN_S)
    _stop_again(signal_number)


def _stop_again(signal_number: int, *of_the_alarm: object) -> None:
    if signal_number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signal_number)


def _stop_workers() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)  # it was heard
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM if Path(sys.argv[0]).stem == PROGRAM else "./run.sh",
        description="Which voices in a 5-second clip are real, generated, both or neither.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
    )
    to = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_line(to)
    _add(to, "status", "which stages are stale, and why", commands.status, verify=True)
    _add(to, "doctor", "what is here, what is missing, and the command that mends it", commands.doctor)
    _add(to, "fetch-models", "download the pretrained models that the config names", commands.fetch_models)
    _add(to, "bakeoff", "run the variants of a study of the config and compare them", commands.bakeoff)
    tune = _add(to, "tune", "search the values of some keys for the best out-of-fold score", commands.tune)
    tune.add_argument(
        "--trials", metavar="N", type=_whole(1, MOST_TRIALS), default=20, help="finished trials in all (default: 20)"
    )
    _add_hearing(to)
    score = to.add_parser("score", help="measure a submission against a solution that holds the labels")
    score.add_argument("submission", type=Path)
    score.add_argument("solution", type=Path)
    score.set_defaults(run=commands.score)
    _add_looking(to)
    export = _add(to, "export", "the trained networks as ONNX and TorchScript, with a model card", commands.export)
    export.add_argument("--out", metavar="FOLDER", type=Path, help="default: export/ of the run")
    export.add_argument("--int8", action="store_true", help="also in eight bits, and what that costs in score")
    _add_package(to)
    _add_board(to)
    return parser


def _add_line(to) -> None:
    every = _add(to, "all", "every stage that is not up to date", commands.run_all, verify=True)
    every.add_argument("--resume-from", metavar="RUN", default="", help="go on from the weights of an earlier run")
    stages = {name: _add(to, name, text, commands.run_stage, verify=True) for name, text in STAGE_HELP.items()}
    for name, stage in stages.items():
        stage.set_defaults(stage=name)
    for parser in (every, *stages.values()):
        parser.add_argument("--force", action="store_true", help="redo it though it is up to date")


def _add_hearing(to) -> None:
    predict = _add(to, "predict", "score any audio with the trained ensemble", audio_commands.predict)
    predict.add_argument("--out", metavar="FILE.csv", default="predictions.csv", help="a row for each recording")
    predict.add_argument("--timeline", metavar="FILE.csv", help="a row for each window of each recording")
    predict.add_argument(
        "--safe-csv", action="store_true", help="an apostrophe before texts like =1+1, for spreadsheets"
    )
    predict.add_argument("--plot", metavar="FILE.png", help="a picture of the same")
    stream = _add(to, "stream", "score raw 16-bit samples from standard input as they come", audio_commands.stream)
    stream.add_argument(
        "--rate", metavar="HZ", type=_whole(1, MOST_RATE_HZ), default=16_000, help="of a channel (default: 16000)"
    )
    stream.add_argument(
        "--channels", metavar="N", type=_whole(1, MOST_CHANNELS), default=1, help="which take turns (default: 1)"
    )
    serve = _add(to, "serve", "a page and an API that score recordings and the microphone", audio_commands.serve)
    serve.add_argument("--port", metavar="N", type=PORT, default=8000, help="0 takes a free one (default: 8000)")
    serve.add_argument("--host", default="127.0.0.1", help="another than this machine's own needs --token")
    serve.add_argument("--token", metavar="WORD", default="", help="asked of everybody (default: FAKEVOICE_TOKEN)")
    _add_monitor(to)
    for parser in (predict, stream):
        parser.add_argument(
            "--hop", metavar="SECONDS", type=_seconds, help="between two windows (default: half a clip)"
        )


def _add_monitor(to) -> None:
    text = "whether clips that come in are still what training covered: 0 fine, 10 watch, 20 retrain"
    monitor = _add(to, "monitor", text, audio_commands.monitor)
    monitor.add_argument("--out", metavar="FOLDER", type=Path, help="default: monitor/ of the run")
    monitor.add_argument("--watch", action="store_true", help="go on, and hear what is new at every look")
    monitor.add_argument("--retrain", action="store_true", help="if the verdict is retrain, train from these weights")
    monitor.add_argument("--every", metavar="SECONDS", type=_seconds, default=60.0, help="between looks (default: 60)")
    monitor.add_argument("--port", metavar="N", type=PORT, default=9108, help="of /metrics (default: 9108; 0: any)")


def _add_looking(to) -> None:
    _add(to, "report", "one HTML page about a finished run, in English and Korean", commands.report)
    board = _add(to, "tensorboard", "learning curves of all experiments in the browser", commands.tensorboard)
    board.add_argument("--port", metavar="N", type=PORT, default=6006, help="of this machine (default: 6006)")
    notebooks = _add(to, "notebooks", "the notebooks in JupyterLab", commands.notebooks)
    notebooks.add_argument("--port", metavar="N", type=PORT, default=8888, help="of this machine (default: 8888)")


def _add_package(to) -> None:
    package = _add(to, "package", "a finished run as a package for a code competition", commands.package)
    package.add_argument("--for", dest="form", choices=("dacon", "kaggle"), default="dacon", help="default: dacon")
    package.add_argument("--check", action="store_true", help="also run it as a server would, and on what must fail")
    package.add_argument(
        "--n", metavar="N", type=_whole(1, MOST_TEST_CLIPS), help="test clips of the check (default: all)"
    )
    package.add_argument(
        "--python", metavar="FILE", type=Path, help="interpreter that has the server's packages (default: this one)"
    )


def _add_board(to) -> None:
    submit = _add(to, "submit", "hand the submission in through Kaggle's client, or say where to", commands.submit)
    submit.add_argument("--message", default="", help="what the board shows beside it")
    submit.add_argument("--force", action="store_true", help="also a file that was edited, or whose run is stale")
    _add(to, "leaderboard", "what each submission scored; `add SCORE` writes one down", commands.leaderboard)


def _add(to, name: str, text: str, run, verify: bool = False) -> argparse.ArgumentParser:
    parser = to.add_parser(
        name, help=text, description=_stage_text(name, text), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_config(parser)
    if verify:
        parser.add_argument("--verify", action="store_true", help="check artifacts and raw files by checksum first")
    parser.add_argument("words", nargs="+" if name in NEEDED else "*", metavar=WORDS.get(name, "key=value"))
    parser.set_defaults(run=run)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="NAME", default="", help="configs/NAME.yaml, or a path to a YAML")


def _whole(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`."""

    def parse_number(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse_number


PORT = _whole(0, 65535)


def _seconds(text: str) -> float:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, at most {MOST_SECONDS:.0f}")
    return number


def _stage_text(name: str, text: str) -> str:
    if name != "prepare" or name not in sys.argv or not {"-h", "--help"} & set(sys.argv):
        return text  # the adapters import much
    from fakevoice.core import plugins

    expects = [
        f"{adapter}:\n{textwrap.indent(plugins.load('datasets', adapter).EXPECTS.strip(), '  ')}"
        for adapter in plugins.names("datasets")
    ]
    return "\n\n".join([text, "What the adapters (dataset.name) expect in the raw folder:", *expects])
