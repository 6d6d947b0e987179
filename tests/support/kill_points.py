"""Strikes the tiny line at its changes of the disk, one after the other, runs it again, and compares bytes.

    PYTHONPATH=src:tests python tests/support/kill_points.py FOLDER --fault kill --every 1

Each trial starts where the stage before had ended. A child process runs the stage and is struck at the n-th change; a
second one runs it again without a fault. Everything must then be as in a run that nobody disturbed, with nothing
temporary left. After SIGTERM, Ctrl-C and a full disk nothing temporary is left even before that.
"""

import argparse
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import TINY
from faulty_disk import STRIKES, FaultyDisk

from fakevoice.cli.command_line import main as fakevoice
from fakevoice.core import artifacts
from fakevoice.core.artifacts import checksum
from fakevoice.core.config import digest, load_config
from fakevoice.features import extract
from fakevoice.pipeline.runner import STAGES, code_of
from fakevoice.pipeline.stages import ensemble, features, prepare, results, scenes, stack, submission, train
from fakevoice.training import cross_validation
from fakevoice.training.augment import spec_augment

LOADED = (
    extract,
    cross_validation,
    spec_augment,
    ensemble,
    features,
    prepare,
    results,
    scenes,
    stack,
    submission,
    train,
)
ENDS = {"kill": -signal.SIGKILL, "term": 143, "interrupt": 130, "full": 1, "readonly": 1}
TOLD = (".lock", "events.", "history.csv")  # what tells of the time, and the locks
UNFINISHED = "*-unfinished"  # a raw folder that the project makes itself
CRASHED = 70
SMALL = [
    *TINY,
    "dataset.args.n_train=16",
    "dataset.args.n_test=4",
    "dataset.args.n_unlabeled=4",
    "scenes.n_scenes=24",
    "shard_size=12",
    "networks.mfcc=null",
    "networks.mel.training.batch_size=6",
]


@dataclass(frozen=True)
class Trial:
    """What one stage starts from, changes and ends with.

    Attributes:
        before: folder with the home as it is before the stage.
        changes: what it does to the disk, in order.
        after: path → checksum of every artifact.
    """

    stage: str
    before: Path
    changes: list[tuple[str, str]]
    after: dict[str, str]


def load_for_all() -> None:
    """What each child would else do anew: imports, of which `LOADED` names the most, and hashes of the code."""
    config = load_config("demo", SMALL)
    for stage in STAGES:
        code_of(stage, config)


def child(home: Path, work: Callable[[], int | None]) -> tuple[int, str]:
    """Do something in a forked process: its exit code, negative for a signal, and what it printed."""
    said = home.parent / "said.txt"
    process = os.fork()
    if process == 0:
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = CRASHED
        try:
            code = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said.read_text()


def line(stage: str) -> int:
    """Bring one stage up to date, as the command does."""
    return fakevoice([stage, "--config", "demo", *SMALL])


def contents(home: Path) -> dict[str, str]:
    """Path → checksum of every artifact."""
    files = [path for path in home.rglob("*") if path.is_file() and not path.name.startswith(TOLD)]
    found = {str(path.relative_to(home)): checksum(path) for path in files}
    for path in home.glob("runs/*/*/prepare/manifest.json"):
        manifest = artifacts.read_json(path)
        manifest["inputs"].clear()  # the times of the raw files, which a trial makes anew
        found[str(path.relative_to(home))] = digest(manifest)
    return found


def half_written(home: Path) -> list[str]:
    """Temporaries and folders that are being made."""
    begun = (path for path in home.rglob("*") if path.name.startswith(artifacts.TEMPORARY) or path.match(UNFINISHED))
    return [str(path.relative_to(home)) for path in begun]


def undisturbed(home: Path, snapshots: Path, last: str) -> Iterator[Trial]:
    """Run the line stage by stage."""
    for stage in STAGES[: STAGES.index(last) + 1]:
        before, counted = shutil.copytree(home, snapshots / stage), home.parent / "changes.txt"

        def count(stage: str = stage, counted: Path = counted) -> int:
            with FaultyDisk(home).active() as disk:
                code = line(stage)
            counted.write_text("\n".join("\t".join(change) for change in disk.seen))
            return code

        code, said = child(home, count)
        assert code == 0, said
        changes = [(kind, path) for kind, path in (row.split("\t") for row in counted.read_text().splitlines())]
        yield Trial(stage, before, changes, contents(home))


def strike(trial: Trial, home: Path, at: int, fault: str) -> str:
    """One trial.

    Returns:
        What is wrong; empty where all is well.
    """
    shutil.rmtree(home)
    shutil.copytree(trial.before, home)

    def disturbed() -> int:
        with FaultyDisk(home, at, fault).active():
            return line(trial.stage)

    code, said = child(home, disturbed)
    ends = {ENDS[fault]} if fault == "kill" else {ENDS[fault], 0}  # some writes only tell people something
    if code not in ends or "Traceback" in said:
        return f"ended with {code}: {said[-2000:]}"
    if code == 0 and contents(home) != trial.after:
        return "ended well with other artifacts"
    if fault not in ("kill", "readonly") and half_written(home):
        return f"left {half_written(home)}"
    code, said = child(home, lambda: line(trial.stage))
    if code != 0:
        return f"the rerun ended with {code}: {said[-2000:]}"
    now = contents(home)
    others = sorted(name for name in {*now, *trial.after} if now.get(name) != trial.after.get(name))
    return f"the rerun made others of {others}" if others else ""


def struck(trial: Trial, home: Path, points: range, fault: str) -> int:
    """Strike at some points of a stage; what is wrong is printed and counted."""
    n_wrong = 0
    for at in points:
        if wrong := strike(trial, home, at, fault):
            n_wrong += 1
            kind, path = trial.changes[at]
            print(f"WRONG {fault} in {trial.stage} at {at} ({kind} {path}): {wrong}", flush=True)
    return n_wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder to work in")
    parser.add_argument("--fault", nargs="+", choices=STRIKES, default=["kill"])
    parser.add_argument("--every", type=int, default=1, help="try each n-th change only")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    options = parser.parse_args()
    home = options.folder / "home"
    home.mkdir(parents=True)
    os.environ |= {"FAKEVOICE_HOME": str(home), "LOKY_MAX_CPU_COUNT": "1"}
    os.environ.pop("FAKEVOICE_DATA", None)
    load_for_all()
    done = undisturbed(home, options.folder / "snapshots", max(options.stages, key=STAGES.index))
    trials = [trial for trial in done if trial.stage in options.stages]
    n_all_wrong = 0
    for number, fault in enumerate(options.fault):
        n_points = n_wrong = n_changes = 0
        for trial in trials:
            first = (number - n_changes) % options.every
            points = range(first, len(trial.changes), options.every)
            n_wrong += struck(trial, home, points, fault)
            n_points, n_changes = n_points + len(points), n_changes + len(trial.changes)
        print(f"{fault}: struck at {n_points} of {n_changes} changes, {n_wrong} wrong", flush=True)
        n_all_wrong += n_wrong
    return int(n_all_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
