"""Splits clips into folds by group, and keeps `folds.csv`, the only split there is.

A group is what must not be on both sides: a speaker or generator where the data names it, else a
cluster of recordings that sound alike in their long-term spectrum (one channel, one voice).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from fakevoice.core import locks
from fakevoice.core.errors import FoldsError
from fakevoice.core.random import Stream, integer
from fakevoice.core.tables import FOLD_TEXT, read_table, write_table

COLUMNS = ["competition", "id", "group", "label", "fold"]
MAX_WAIT_S = 3600.0  # for another experiment that makes its folds
N_NEIGHBORS, ALIKE_QUANTILE, FEW_CLIPS = 40, 0.7, 10
N_CHANNELS, GROUPS_PER_CHANNEL, CHANNELS_PER_FOLD, CHANNEL_NEIGHBORS = 60, 5, 4, 30
REMAKE = "./run.sh folds --force makes new folds"


def assign_folds(clips: pd.DataFrame, n_folds: int, seed: int) -> np.ndarray:
    """Stratified folds that keep groups whole.

    Args:
        clips: id, label, group (what is kept whole).

    Returns:
        (n_clips,) int64 in [0, n_folds).

    Raises:
        FoldsError: one class only, a class or the groups fewer than the folds, or a fold without a class.
    """
    counts = clips["label"].value_counts()
    if counts.empty:
        raise FoldsError("no training clips: ./run.sh prepare tells what was found")
    if len(counts) < 2:
        raise FoldsError(
            f"all {len(clips)} training clips are {counts.index[0]!r}: nothing can be learned from one class"
        )
    if counts.min() < n_folds:
        raise FoldsError(
            f"class {counts.idxmin()!r} has {counts.min()} clips, fewer than {n_folds} folds: use fewer folds"
        )
    per_class = clips.groupby("label")["group"].nunique()
    if per_class.min() < n_folds:
        raise FoldsError(
            f"class {per_class.idxmin()!r} has {per_class.min()} groups, fewer than {n_folds} folds: "
            "use fewer folds, or name the groups where they were derived"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=integer(Stream.FOLDS, seed))
    fold = np.empty(len(clips), np.int64)
    for index, (_, held_out) in enumerate(splitter.split(clips, clips["label"], clips["group"])):
        fold[held_out] = index
    return fold


def extend_folds(known: pd.DataFrame, clips: pd.DataFrame, whole: pd.Series, n_folds: int) -> pd.DataFrame:
    """Rows for clips that came later; clips that have a fold keep it, and their group's name.

    A new clip goes where most clips of its group are, else where most are of what is kept whole (its channel), else,
    with all of its group, to the fold that has the fewest clips of its label.

    Args:
        known: rows of folds.csv.
        clips: all training clips with id, label, and the group that they would have now.
        whole: (n_clips,) what is kept in one fold, in the order of `clips`: groups, or channels.
        n_folds: of the config.

    Returns:
        Rows in the order of `clips`, columns as `COLUMNS` but for the competition.
    """
    old = known.set_index("id")
    table = clips[["id", "label"]].assign(made=clips["group"].to_numpy(), whole=whole.to_numpy())
    table["group"], table["fold"] = (table["id"].map(old[name]) for name in ("group", "fold"))
    home = table.dropna(subset="fold").groupby("group")["fold"].first()
    is_new, of_made = table["fold"].isna(), _most_frequent(table, "made", "group")
    table.loc[is_new, "group"] = table.loc[is_new, "made"].map(of_made)
    unnamed = table["group"].isna()
    table.loc[unnamed, "group"] = table.loc[unnamed, "made"].map(_new_names(table.loc[unnamed, "made"], old["group"]))
    table["fold"] = table["fold"].fillna(table["group"].map(home))
    of_whole = _most_frequent(table, "whole", "fold")
    for _, rows in table[table["fold"].isna()].groupby("group", sort=False):
        found = rows["whole"].map(of_whole).dropna()
        fold = found.iloc[0] if len(found) else _emptiest(table, rows["label"].mode()[0], n_folds)
        table.loc[rows.index, "fold"] = fold
    return table[["id", "group", "label", "fold"]].astype({"fold": "int64"})


def _most_frequent(table: pd.DataFrame, by: str, column: str) -> pd.Series:
    """What is most frequent in a column within each part, where it is known at all."""
    return table.dropna(subset=column).groupby(by)[column].agg(lambda values: values.mode()[0])


def _new_names(made: pd.Series, taken: pd.Series) -> dict[str, str]:
    """Names of groups that nobody has yet."""
    numbers = pd.to_numeric(taken.str.extract(r"^g(\d+)$")[0]).dropna()
    start = int(numbers.max()) + 1 if len(numbers) else 0
    return {name: f"g{start + place:06d}" for place, name in enumerate(made.unique())}


def _emptiest(table: pd.DataFrame, label: str, n_folds: int) -> int:
    """The fold with the fewest clips of a label, and of all where several have as few."""
    counts = [
        ((table["fold"] == fold) & (table["label"] == label)).sum() + 1e-9 * (table["fold"] == fold).sum()
        for fold in range(n_folds)
    ]
    return int(np.argmin(counts))


def check_folds(table: pd.DataFrame, clips: pd.DataFrame, duplicates: pd.DataFrame, n_folds: int) -> None:
    """Hold rows of folds.csv, however they came about, against the clips.

    Args:
        duplicates: pairs train_id, id of training clips with the same sound.

    Raises:
        FoldsError: rows missing or foreign, another number of folds, a group or the same sound in two folds, a fold
            without a class.
    """
    missing, foreign = set(clips["id"]) - set(table["id"]), set(table["id"]) - set(clips["id"])
    if missing or foreign or len(table) != len(clips):
        example = f", e.g. {sorted(missing | foreign)[0]!r}" if missing or foreign else " (an id stands twice)"
        raise FoldsError(
            f"folds.csv does not fit the clips: {len(missing)} clips have no row, {len(foreign)} rows have no clip"
            f"{example}; {REMAKE}"
        )
    found = sorted(table["fold"].unique().tolist())
    if found != list(range(n_folds)):
        raise FoldsError(f"folds.csv has folds {found}, the config wants 0 to {n_folds - 1}; {REMAKE}")
    split_groups = table.groupby("group")["fold"].nunique()
    if split_groups.max() > 1:
        raise FoldsError(f"group {split_groups.idxmax()!r} stands in two folds of folds.csv: a leak; {REMAKE}")
    fold = table.set_index("id")["fold"]
    apart = duplicates[fold.loc[duplicates["train_id"]].to_numpy() != fold.loc[duplicates["id"]].to_numpy()]
    if len(apart):
        first, second = apart.iloc[0][["train_id", "id"]]
        raise FoldsError(f"{first!r} and {second!r} hold the same sound in two folds of folds.csv: a leak; {REMAKE}")
    labels = table.set_index("id")["label"].reindex(clips["id"])
    if (labels.to_numpy() != clips["label"].to_numpy()).any():
        raise FoldsError(f"folds.csv has other labels than the clips; {REMAKE}")
    empty = pd.crosstab(table["fold"], table["label"]).eq(0)
    if empty.any(axis=None):
        fold, label = empty.stack().idxmax()
        raise FoldsError(f"fold {fold} has no clip of class {label!r}: use fewer folds; {REMAKE}")


def read_duplicates(prepared: Path) -> pd.DataFrame:
    """Pairs train_id, id of training clips with the same sound, as the folder of prepare's artifacts lists them."""
    table = read_table(prepared / "duplicates.csv", ("train_id", "split", "id"))
    return table[table["split"] == "train"]


def read_folds(path: Path, competition: str) -> pd.DataFrame:
    """Rows of one competition; an empty table where there are none."""
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    table = read_table(path, FOLD_TEXT)
    if list(table.columns) != COLUMNS or (table["fold"] % 1 != 0).any():
        raise FoldsError(f"{path} needs the columns {','.join(COLUMNS)}, and whole numbers as folds: mend or delete it")
    rows = table[table["competition"] == competition].reset_index(drop=True)
    return rows.astype({"fold": "int64"})


def update_folds(path: Path, competition: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Read the rows of one competition, change them and write them, with folds.csv locked all the while.

    Experiments that start at the same time so agree on one split. The rows of other competitions stay.

    Args:
        change: from the rows that folds.csv has to those that it shall have; an error in it leaves the file as it is.

    Returns:
        The rows that were written.

    Raises:
        LockedError: another process has been at it for `MAX_WAIT_S`.
    """
    with locks.file_lock(path, MAX_WAIT_S):
        rows = change(read_folds(path, competition)).astype({"fold": "int64"})[COLUMNS]
        others = read_table(path, FOLD_TEXT) if path.is_file() else pd.DataFrame(columns=COLUMNS)
        others = others[others["competition"] != competition]
        together = pd.concat([others, rows]) if len(others) else rows
        if len(together) or path.is_file():
            write_table(path, together.astype({"fold": "int64"}))
    return rows
