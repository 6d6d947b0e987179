"""DACON's layout: train.csv, test.csv and sample_submission.csv beside the folders of clips.

It also reads any test table (`id`, `path`) on its own, for prediction on clips that were not there before.
"""

from pathlib import Path

import pandas as pd

from fakevoice.core.errors import DataError
from fakevoice.data.clip_tables import (
    COLUMNS,
    as_classes,
    audio_below,
    below_root,
    checked_paths,
    find_root,
    list_names,
    read_table,
    refuse,
    refuse_labels,
    short_ids,
)

EXPECTS = """\
train.csv              id,path,label   one voice per clip; label is one of the classes, e.g. fake or real
test.csv               id,path         the clips to predict
sample_submission.csv  id,<classes>    the ids of test.csv, in the order of the submission
train_meta.csv         id,group        optional; clips of one speaker or generator share a group
unlabeled_data/                        optional; clips of the test's kind, without labels
Paths are relative to this folder. Tables are UTF-8, with or without a byte order mark."""

CLASSES = ["fake", "real"]


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of a competition in DACON's layout.

    Args:
        folder: holds what `EXPECTS` says.
        classes: the legal labels.

    Returns:
        id, path, split (train, test, unlabeled), label, group: text, empty where unknown.

    Raises:
        DataError: with the file, the lines and what to do.
    """
    given, folder = folder, _root(folder)
    train = _read_clips(folder / "train.csv", ["id", "path", "label"])
    train["label"] = as_classes(train["label"], classes)
    refuse_labels(folder / "train.csv", train["label"], classes)
    test = read_test(folder / "test.csv")
    _check_submission(folder, test)
    train["group"] = _groups(folder, train)
    parts = {"train": train, "test": test, "unlabeled": _unlabeled(folder)}
    clips = pd.concat([part.assign(split=split) for split, part in parts.items()], ignore_index=True)
    return below_root(clips[COLUMNS].fillna("").astype("str"), folder, given)


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """Id and class columns of sample_submission.csv, ids and columns in its order; all text.

    Raises:
        DataError: the file or a class column is missing, or ids are empty or repeated.
    """
    columns = ["id", *classes]
    sample = read_table(_root(folder) / "sample_submission.csv", columns, EXPECTS)
    return sample.loc[:, sample.columns.isin(columns)].reset_index(drop=True)


def _root(folder: Path) -> Path:
    return find_root(folder, lambda path: (path / "train.csv").is_file())


def read_test(csv_file: Path) -> pd.DataFrame:
    """A bare test table in any folder.

    Returns:
        id, path (relative to the table's folder).

    Raises:
        DataError: with the file, the lines and what to do.
    """
    return _read_clips(Path(csv_file), ["id", "path"]).reset_index(drop=True)


def _read_clips(csv_file: Path, columns: list[str]) -> pd.DataFrame:
    table = read_table(csv_file, columns, EXPECTS)[columns]
    return table.assign(path=checked_paths(csv_file, table["path"]))


def _check_submission(folder: Path, test: pd.DataFrame) -> None:
    csv_file = folder / "sample_submission.csv"
    sample = read_table(csv_file, ["id"], EXPECTS)
    tested = set(test["id"])
    refuse(csv_file, sample["id"], lambda text: text not in tested, "an id that test.csv lacks")
    absent = sorted(tested - set(sample["id"]))
    if absent:
        raise DataError(f"{csv_file}: lacks {len(absent)} ids of test.csv: {list_names(absent)}")


def _groups(folder: Path, train: pd.DataFrame) -> list[str]:
    csv_file = folder / "train_meta.csv"
    if not csv_file.exists():
        return [""] * len(train)
    meta = read_table(csv_file, ["id", "group"], EXPECTS)[["id", "group"]]
    joined = train[["id"]].merge(meta, on="id", how="left", validate="1:1")
    absent = joined.loc[joined["group"].isna(), "id"].tolist()
    if absent:
        raise DataError(f"{csv_file}: lacks {len(absent)} ids of train.csv: {list_names(absent)}; add them")
    return joined["group"].tolist()


def _unlabeled(folder: Path) -> pd.DataFrame:
    paths = audio_below(folder, folder / "unlabeled_data")
    names = short_ids([path.removeprefix("unlabeled_data/") for path in paths])
    return pd.DataFrame({"id": [f"unlabeled/{name}" for name in names], "path": paths}, dtype="str")
