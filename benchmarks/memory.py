"""Memory: what features and training hold with ten times the clips."""

from pathlib import Path

from made import NO_VOCODERS_OR_ROOMS, PLAIN_SCENES, clips, competition, run_command
from rows import Row, run_theme, say
from timing import Watched

TIMES = 10
SOURCE_S = 1.0  # scenes last 5 s as ever, so that the shapes are those of voices; sources are only made faster
STAGES = ("features", "train")
BEFORE = {"features": "scenes", "train": "features"}  # what is done before, and not measured
# Shards so small that few clips, too, fill as many as there are workers.
CONFIG = {
    "shard_size": 32,
    "folds": {"n_folds": 2, "unit": "group"},
    "statistics": ["rhythm", "voicing"],
    "networks": {
        name: {
            "model": {"args": {"width": 4}},  # whose own memory hides as little as may be of what clips take
            "training": {"n_epochs": 1, "batch_size": 16, "precision": "fp32"},
        }
        for name in ("mel", "mfcc")
    },
}


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 9: features, then training."""
    n_few = 32 if tiny else 100
    times = 2 if tiny else TIMES
    files = clips(work / f"of{SOURCE_S}s", times * n_few, SOURCE_S, ".wav")
    watched = {n: _watch(work / f"memory{n}", files[:n]) for n in (n_few, times * n_few)}
    return [_row(stage, [found[stage] for found in watched.values()], list(watched)) for stage in STAGES]


def _watch(home: Path, files: list[Path]) -> dict[str, Watched]:
    config = competition(
        home, "memory", files, CONFIG | {"scenes": {"n_scenes": len(files), **PLAIN_SCENES, **NO_VOCODERS_OR_ROOMS}}
    )
    found = {}
    for stage in STAGES:
        run_command(home, BEFORE[stage], "--config", config)
        say(f"{stage} of {len(files)} clips and as many scenes")
        found[stage] = run_command(home, stage, "--config", config)
    return found


def _row(stage: str, found: list[Watched], n_clips: list[int]) -> Row:
    few, many = found
    details: dict = {f"{stage} of {n} clips": _described(w) for n, w in zip(n_clips, found, strict=True)}
    details["without pages of files, ×"] = many.peak_own_mib / few.peak_own_mib
    return Row(
        *(9, f"peak memory of {stage} and its workers, {n_clips[1]} clips", f"{n_clips[0]} clips"),
        value=many.peak_mib / few.peak_mib,
        reach=1.15,
        moonshot=1.05,
        details=details,
    )


def _described(watched: Watched) -> dict[str, float]:
    return {
        "peak MiB": watched.peak_mib,
        "without pages of files MiB": watched.peak_own_mib,
        "wall s": watched.wall_s,
    }


if __name__ == "__main__":
    run_theme(measure, __file__)
