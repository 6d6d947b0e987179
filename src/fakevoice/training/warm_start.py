"""Finds the weights of another run that a network starts from: pretrain → fine-tune.

Fold k starts from fold k. Within one competition that keeps the promise of the folds: neither training saw the clips
that fold k holds back.
"""

import csv
from pathlib import Path

from fakevoice.core.artifacts import checksum, read_manifest
from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network
from fakevoice.core.errors import ConfigError, LeakError
from fakevoice.core.paths import Paths


def weight_files(network: Network, config: Config, paths: Paths) -> list[Path]:
    """The file that each fold starts from, whether it is there or not; empty where a network starts from nothing."""
    if not network.warm_start:
        return []
    competition, experiment, name = network.warm_start.split("/")
    folder = paths.home / "runs" / competition / experiment / "train" / name
    return [folder / f"fold{index}" / "weights.safetensors" for index in range(config.folds.n_folds)]


def check_warm_start(network: Network, config: Config, paths: Paths) -> None:
    """Refuse weights that are not there, or that have seen what is held back here.

    Raises:
        ConfigError: that run has no such weights, or it may have learned from unlabeled clips that the rules of this
            one forbid.
        LeakError: it is of the same competition, and a clip is in another fold there than here, if folds are made;
            clips that came since, or are gone, do no harm.
    """
    files = weight_files(network, config, paths)
    if not files:
        return
    competition, experiment, _ = network.warm_start.split("/")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ConfigError(
            f"warm_start {network.warm_start}: {missing[0]} is not there; "
            f"./run.sh train --config {competition} experiment={experiment} folds.n_folds={config.folds.n_folds} first"
        )
    if competition != config.competition:
        return
    other = files[0].parents[3]
    if config.rules.independent_files and not _has_independent_files(other):
        raise ConfigError(
            f"warm_start {network.warm_start}: that run did not keep rules.independent_files; "
            f"./run.sh train --config {competition} experiment={experiment} rules.independent_files=true first"
        )
    ours, theirs = (run / "folds" / "folds.csv" for run in (paths.run, other))
    if not ours.is_file():
        return
    here, there = _folds(ours), _folds(theirs)
    moved = [clip for clip in here if there.get(clip, here[clip]) != here[clip]]
    if moved:
        raise LeakError(
            f"warm_start {network.warm_start}: that run has other folds, so that it saw held-out clips "
            f"({len(moved)} of them, e.g. {moved[0]!r}); put its folds back into folds.csv, or start from nothing"
        )


def _has_independent_files(run: Path) -> bool:
    """Whether the features of a run were made under `rules.independent_files`."""
    manifest = run / "features" / "manifest.json"
    if not manifest.is_file():
        return False
    rules = read_manifest(manifest)["config"].get("rules", {})
    return bool(rules.get("independent_files"))


def _folds(path: Path) -> dict[str, str]:
    """Clip → fold."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["fold"] for row in csv.DictReader(file)}


def started_from(config: Config, paths: Paths) -> dict[str, str]:
    """Checksums of all weights that the networks start from, or ``missing``."""
    files = [file for network in config.networks.values() for file in weight_files(network, config, paths)]
    return {str(file.relative_to(paths.home)): checksum(file) if file.is_file() else "missing" for file in files}
