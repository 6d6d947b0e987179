"""Start: how long a command takes that has nothing to do."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
from made import Run, environment, finished_run
from rows import Row, run_theme, say
from timing import median_ratio, milliseconds, take_turns

from fakevoice.core.config import REPOSITORY
from fakevoice.core.errors import FakevoiceError

PROBE = "import sys; from fakevoice.cli.command_line import main; main({words}); print('loaded:', *sys.modules)"
NOTHING_TO_DO = "everything is up to date"
HEAVY = (
    *("torch", "pandas", "scipy", "sklearn", "lightgbm", "librosa", "soundfile", "albumentations", "matplotlib"),
    *("numpy", "pydantic", "omegaconf", "joblib"),
)


def measure(work: Path, tiny: bool) -> list[Row]:
    """Rows 7 and 8."""
    n_rounds, run = 1 if tiny else 5, finished_run(work, tiny)
    # run.sh first installs what is pinned, which a test must not begin
    line = [sys.executable, "-m", "fakevoice"] if tiny else [str(REPOSITORY / "run.sh")]
    say(f"commands with nothing to do, {n_rounds} rounds")
    commands = {
        "all": [*line, "all", *run.words],
        "--help": [*line, "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    }
    seconds = take_turns({name: partial(_output, words, run) for name, words in commands.items()}, n_rounds)
    loaded = heavy_after_all(run)
    details = {f"{name}, ms": milliseconds(values) for name, values in seconds.items()}
    details |= {"of what is heavy, all imports": ", ".join(loaded) or "nothing"}
    every = seconds["all"]
    return [
        Row(
            *(7, "./run.sh all, nothing stale; must not import torch", "–"),
            *(float(np.median(every)), "s", (float(every.min()), float(every.max()))),
            reach=2.0,
            moonshot=0.5,
            holds="torch" not in loaded,
            details=details,
        ),
        Row(
            *(8, "./run.sh --help", "python -c pass"),
            **median_ratio(seconds["--help"], seconds["python -c pass"]),
            reach=10.0,
            moonshot=5.0,
        ),
    ]


def heavy_after_all(run: Run) -> list[str]:
    """Which heavy libraries a run with nothing to do has imported.

    Raises:
        FakevoiceError: it had something to do.
    """
    said = _output([sys.executable, "-c", PROBE.format(words=["all", *run.words])], run)
    if NOTHING_TO_DO not in said:
        raise FakevoiceError(f"the run was to be up to date, and said:\n{said}")
    loaded = set(said.split("loaded:")[1].split())
    return [name for name in HEAVY if name in loaded]


def _output(words: list[str], run: Run) -> str:
    done = subprocess.run(words, env=os.environ | environment(run.home), capture_output=True, text=True)
    if done.returncode:
        raise FakevoiceError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    run_theme(measure, __file__)
