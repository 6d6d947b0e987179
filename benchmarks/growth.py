"""Growth: how time and memory of each stage grow with the clips, up to thousands of short ones, on one core each."""

import os
from functools import partial
from pathlib import Path

import numpy as np
from made import NO_VOCODERS_OR_ROOMS, PLAIN_SCENES, clips, competition, run_command
from rows import N_CORES, Row, run_theme, say
from timing import Watched

from fakevoice.parallel.pool import run_parallel

SIZES = (1000, 2000, 4000, 8000)
CLIP_S = 0.5
# What is measured → the command; one brings before it what is not up to date, as prepare before folds.
STAGES = {
    "prepare and folds": "folds",
    "scenes and features": "features",
    "a training epoch": "train",
    "stacking and blend": "ensemble",
}
PREDICT = "predict"
REACH = 1.05
NETWORK = {"model": {"args": {"width": 4}}, "training": {"n_epochs": 1, "batch_size": 16, "precision": "fp32"}}
CONFIG = {
    "clip_duration_s": CLIP_S,
    "folds": {"n_folds": 2},
    "features": {"mel": {"n_mels": 24}, "mfcc": {"n_mfcc": 12, "n_mels": 24}},
    "statistics": ["rhythm", "voicing"],
    "networks": {"mel": NETWORK, "mfcc": NETWORK},
    "stacker": {"n_rounds": 20},
    "ensemble": {"n_bootstrap": 10},
}


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 12: the largest exponent of time, and that of memory, over all stages."""
    sizes = (40, 60) if tiny else SIZES
    files = clips(work / f"of{CLIP_S}s", max(sizes), CLIP_S, ".wav")
    lanes = [sizes[:1] + sizes[3:], sizes[1:3]]  # side by side, of about as many clips each
    done = run_parallel(partial(_lane, work, files), lanes, "", "", N_CORES)
    watched = dict(sorted((n, found) for lane in done for n, found in lane))
    stages = {stage: [found[stage] for found in watched.values()] for stage in (*STAGES, PREDICT)}
    return [_row("time", stages, sizes, wall_s="wall s", cpu_s="CPU s"), _row("memory", stages, sizes, peak_mib="MiB")]


def _lane(work: Path, files: list[Path], sizes: tuple[int, ...]) -> list[tuple[int, dict[str, Watched]]]:
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # a process of its own, whose commands have one core
    return [(n, _watch(work / f"growth{n}", files[:n])) for n in sizes]


def _watch(home: Path, files: list[Path]) -> dict[str, Watched]:
    """Each stage as a command of its own, so that none inherits what another one holds; as many scenes as clips."""
    n_clips = len(files)
    say(f"{n_clips} clips from prepare to predict")
    config = competition(
        home, "growth", files, CONFIG | {"scenes": {"n_scenes": n_clips, **PLAIN_SCENES, **NO_VOCODERS_OR_ROOMS}}
    )
    found = {stage: run_command(home, name, "--config", config) for stage, name in STAGES.items()}
    test = home / "data" / "growth" / "test"
    predicted = run_command(home, PREDICT, test, "--config", config, "--out", home / "predictions.csv")
    return found | {PREDICT: predicted}


def exponent(sizes: tuple[int, ...], values: np.ndarray) -> float:
    """Of the power law through the values: the slope of log value over log size by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def line(sizes: tuple[int, ...], values: np.ndarray) -> tuple[float, float]:
    """Constant and slope of the straight line through the values, each counted by its own size."""
    slope, constant = np.polyfit(sizes, values, 1, w=1 / np.array(values))
    return float(constant), float(slope)


def _row(what: str, stages: dict[str, list[Watched]], sizes: tuple[int, ...], **units: str) -> Row:
    """The first of `units` is judged: attributes of `Watched` and what they are called."""
    details, exponents = {}, {}
    for stage, found in stages.items():
        for attribute, unit in units.items():
            values = np.array([getattr(watched, attribute) for watched in found])
            details[f"{stage}, {unit}"] = _describe(sizes, values)
        exponents[stage] = details[f"{stage}, {next(iter(units.values()))}"]["exponent"]
    worst = max(exponents, key=exponents.get)
    about = f"exponent of {what} in the number of clips, largest of {len(stages)} stages ({worst})"
    return Row(12, about, f"{sizes[0]} to {sizes[-1]} clips", exponents[worst], "", reach=REACH, details=details)


def _describe(sizes: tuple[int, ...], values: np.ndarray) -> dict[str, float | list[float]]:
    constant, slope = line(sizes, values)
    return {
        "exponent": exponent(sizes, values),
        "of the two largest": exponent(sizes[-2:], values[-2:]),
        "constant": constant,
        "per 1,000 clips": 1000 * slope,
        "measured": values.tolist(),
    }


if __name__ == "__main__":
    run_theme(measure, __file__)
