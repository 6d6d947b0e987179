"""Clip table → folds.csv: grouped, stratified, made once and kept."""

from pathlib import Path

from fakevoice.config import Config, digest
from fakevoice.places import Paths

AFTER = ("prepare",)
READS = ("competition", "seed", "folds")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    return ["folds"]


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """The rows of this competition in folds.csv: whoever edits them makes everything after stale."""
    import csv

    if not paths.folds_csv.is_file():
        return {"folds.csv": "missing"}
    with paths.folds_csv.open(newline="", encoding="utf-8") as file:
        return {"folds.csv": digest([row for row in csv.reader(file) if row[:1] == [config.competition]])}


def forget(config: Config, paths: Paths) -> None:
    """Drop this competition's rows of folds.csv, so that new ones are made."""
    from fakevoice import folds

    none = folds.read_folds(paths.folds_csv, config.competition).iloc[:0]
    folds.write_folds(paths.folds_csv, none, config.competition)


def run(config: Config, paths: Paths) -> list[Path]:
    """Take the rows of folds.csv where there are any, make them otherwise; keep a copy beside the run."""
    from fakevoice import folds
    from fakevoice.storage import read_array
    from fakevoice.tables import CLIP_TEXT, read_table, write_table

    prepared = paths.stage("prepare")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    train = (clips["split"] == "train").to_numpy()
    fingerprints = read_array(prepared / "fingerprints.npy")[train]
    clips = clips[train].reset_index(drop=True)
    rows = folds.read_folds(paths.folds_csv, config.competition)
    if rows.empty:
        duplicates = read_table(prepared / "duplicates.csv", ("train_id", "split", "id"))
        duplicates = duplicates[duplicates["split"] == "train"]
        known = config.folds.groups == "known_or_derived"
        clips["group"] = folds.make_groups(clips, fingerprints, duplicates, known)
        clips["fold"] = folds.assign_folds(clips, config.folds.n_folds, config.seed)
        rows = clips.assign(competition=config.competition)[folds.COLUMNS]
    folds.check_folds(rows, clips, config.folds.n_folds)
    folds.write_folds(paths.folds_csv, rows, config.competition)
    write_table(paths.stage("folds") / "folds.csv", rows)
    print(f"{len(rows)} clips in {rows['group'].nunique()} groups and {config.folds.n_folds} folds", flush=True)
    return [paths.stage("folds") / "folds.csv"]
