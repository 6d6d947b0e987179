"""Clip table → folds.csv: grouped, stratified, made once and kept; then how well shortcuts tell the labels."""

from pathlib import Path

from fakevoice.core.config import Config, digest
from fakevoice.core.paths import Paths

AFTER = ("prepare",)
READS = ("competition", "seed", "folds")


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """The rows of this competition in folds.csv: an edit makes this stage and all stages after it stale."""
    return {"folds.csv": _hash_rows(paths.folds_csv, config.competition)}


def used_inputs(config: Config, paths: Paths) -> dict[str, str]:
    """The rows that `run` took, which another experiment may have replaced in folds.csv by now."""
    return {"folds.csv": _hash_rows(paths.stage("folds") / "folds.csv", config.competition)}


def _hash_rows(file: Path, competition: str) -> str:
    import csv

    if not file.is_file():
        return "missing"
    with file.open(newline="", encoding="utf-8") as rows:
        return digest([row for row in csv.reader(rows) if row[:1] == [competition]])


def forget(config: Config, paths: Paths) -> None:
    """Drop this competition's rows of folds.csv, so that new ones are made."""
    from fakevoice.data import folds

    folds.update_folds(paths.folds_csv, config.competition, lambda rows: rows.iloc[:0])


def run(config: Config, paths: Paths) -> list[Path]:
    """Take the rows of folds.csv or make new ones; write a copy, and the shortcuts' AUC."""
    from fakevoice.core.artifacts import read_array
    from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
    from fakevoice.data import folds

    prepared, folder = paths.stage("prepare"), paths.stage("folds")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    train = (clips["split"] == "train").to_numpy()
    fingerprints = read_array(prepared / "fingerprints.npy")[train]
    clips = clips[train].reset_index(drop=True)
    duplicates = folds.read_duplicates(prepared)
    origin = ""

    def known_or_new(rows):
        nonlocal origin
        origin = "newly made" if rows.empty else f"as {paths.folds_csv.name} has them (--force makes new ones)"
        if rows.empty:
            rows = _new_rows(clips, fingerprints, duplicates, config)
        folds.check_folds(rows, clips, duplicates, config.folds.n_folds)
        return rows

    rows = folds.update_folds(paths.folds_csv, config.competition, known_or_new)
    write_table(folder / "folds.csv", rows)
    n_groups = rows["group"].nunique()
    print(f"{len(rows)} clips in {n_groups} groups and {config.folds.n_folds} folds, {origin}", flush=True)
    _write_shortcuts(folder, rows, clips["id"], fingerprints, prepared, config.seed)
    return [folder / f"{name}.csv" for name in ("folds", "shortcuts")]


def _new_rows(clips, fingerprints, duplicates, config: Config):
    from fakevoice.data import folds, groups

    clips = clips.assign(group=groups.make_groups(clips, fingerprints, duplicates, config.folds.groups))
    whole = clips["group"]
    if config.folds.unit == "channel":
        whole = groups.make_channels(whole, fingerprints, config.folds.n_folds)
        print(f"{whole.nunique()} channels, each in one fold", flush=True)
    clips["fold"] = folds.assign_folds(clips.assign(group=whole), config.folds.n_folds, config.seed)
    return clips.assign(competition=config.competition)[folds.COLUMNS]


def _write_shortcuts(folder: Path, rows, ids, fingerprints, prepared: Path, seed: int) -> None:
    from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
    from fakevoice.data.shortcuts import describe_shortcuts, measure_shortcuts, recording_facts

    audit = read_table(prepared / "audit.csv", CLIP_TEXT)
    table = measure_shortcuts(recording_facts(rows, audit, ids), fingerprints, seed)
    write_table(folder / "shortcuts.csv", table)
    print(describe_shortcuts(table), flush=True)
