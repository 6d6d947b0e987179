"""DACON's layout: train.csv, test.csv and sample_submission.csv beside the folders of clips.

It also reads any test table (`id`, `path`) on its own, for prediction on clips that were not there before.
"""

import csv
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.audio import find_audio
from fakevoice.errors import DataError

EXPECTS = """\
train.csv              id,path,label   one voice per clip; label is one of the classes, e.g. fake or real
test.csv               id,path         the clips to predict
sample_submission.csv  id,<classes>    the ids of test.csv, in the order of the submission
train_meta.csv         id,group        optional; clips of one speaker or generator share a group
unlabeled_data/                        optional; clips of the test's kind, without labels
Paths are relative to this folder. Tables are UTF-8, with or without a byte order mark."""

CLASSES = ["fake", "real"]
LISTED = 10


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
    train = _read_clips(folder / "train.csv", ["id", "path", "label"])
    _refuse(folder / "train.csv", train["label"], lambda label: label not in classes, f"a label not in {classes}")
    test = read_test(folder / "test.csv")
    _check_submission(folder, test)
    train["group"] = _groups(folder, train)
    parts = {"train": train, "test": test, "unlabeled": _unlabeled(folder)}
    clips = pd.concat([part.assign(split=split) for split, part in parts.items()], ignore_index=True)
    return clips[["id", "path", "split", "label", "group"]].fillna("").astype("str")


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """Id and class columns of sample_submission.csv, ids and columns in its order; all text.

    Raises:
        DataError: the file or a class column is missing, or ids are empty or repeated.
    """
    columns = ["id", *classes]
    sample = _read_table(folder / "sample_submission.csv", columns)
    return sample.loc[:, sample.columns.isin(columns)].reset_index(drop=True)


def read_test(csv_file: Path) -> pd.DataFrame:
    """A bare test table in any folder.

    Returns:
        id, path (relative to the table's folder).

    Raises:
        DataError: with the file, the lines and what to do.
    """
    return _read_clips(Path(csv_file), ["id", "path"]).reset_index(drop=True)


def _read_clips(csv_file: Path, columns: list[str]) -> pd.DataFrame:
    table = _read_table(csv_file, columns)[columns]
    _refuse(csv_file, table["path"], _is_outside, "a path that is empty, absolute or leads out of the folder")
    table["path"] = [str(PurePosixPath(path)) for path in table["path"]]  # drops a leading "./"
    return table


def _is_outside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not parts or path.startswith("/") or ".." in parts or "\0" in path


def _read_table(csv_file: Path, columns: list[str]) -> pd.DataFrame:
    lines, rows = _read_rows(csv_file)
    header = rows[0] if rows else []
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) < len(header):
        problem = f"no column {', '.join(missing)}" if missing else "a column occurs twice"
        raise DataError(f"{csv_file}: {problem} in {','.join(header)!r}; expected {','.join(columns)}")
    if len(rows) == 1:
        raise DataError(f"{csv_file}: a header and no rows")
    widths = pd.Series([len(row) for row in rows], index=lines)
    _refuse(csv_file, widths, lambda width: width != len(header), f"more or fewer than {len(header)} values")
    table = pd.DataFrame(rows[1:], columns=header, index=lines[1:], dtype="str")
    _refuse(csv_file, table["id"], lambda text: not text.strip(), "an empty id")
    _refuse(csv_file, table["id"], set(table["id"][table["id"].duplicated()]).__contains__, "an id that occurs twice")
    return table


def _read_rows(csv_file: Path) -> tuple[list[int], list[list[str]]]:
    # Not pandas: it keeps no line numbers, and reads a short row as if its last values were empty.
    try:
        with csv_file.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            numbered = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DataError(f"{csv_file}: {error.strerror}; the folder must hold:\n{EXPECTS}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{csv_file}: not UTF-8 (byte {error.start}); save it again as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{csv_file}, line {reader.line_num}: {error}; quotes must be closed") from error
    return [line for line, _ in numbered], [row for _, row in numbered]


def _refuse(csv_file: Path, values: pd.Series, is_bad: Callable[[object], bool], what: str) -> None:
    bad = [(line, value) for line, value in values.items() if is_bad(value)]
    if bad:
        listed = ", ".join(f"line {line} ({value!r})" for line, value in bad[:LISTED])
        more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        raise DataError(f"{csv_file}: {len(bad)} rows with {what}: {listed}{more}; correct the table")


def _check_submission(folder: Path, test: pd.DataFrame) -> None:
    csv_file = folder / "sample_submission.csv"
    sample = _read_table(csv_file, ["id"])
    tested = set(test["id"])
    _refuse(csv_file, sample["id"], lambda text: text not in tested, "an id that test.csv lacks")
    absent = sorted(tested - set(sample["id"]))
    if absent:
        raise DataError(f"{csv_file}: lacks {len(absent)} ids of test.csv: {', '.join(absent[:LISTED])}")


def _groups(folder: Path, train: pd.DataFrame) -> list[str]:
    csv_file = folder / "train_meta.csv"
    if not csv_file.exists():
        return [""] * len(train)
    meta = _read_table(csv_file, ["id", "group"])[["id", "group"]]
    joined = train[["id"]].merge(meta, on="id", how="left", validate="1:1")
    absent = joined.loc[joined["group"].isna(), "id"]
    if len(absent):
        raise DataError(f"{csv_file}: lacks {len(absent)} ids of train.csv: {', '.join(absent[:LISTED])}; add them")
    return joined["group"].tolist()


def _unlabeled(folder: Path) -> pd.DataFrame:
    home = folder / "unlabeled_data"
    files = [path.relative_to(home) for path in find_audio(home)] if home.exists() else []
    stems = [file.with_suffix("").as_posix() for file in files]
    names = stems if len(set(stems)) == len(stems) else [file.as_posix() for file in files]
    paths = [f"{home.name}/{file.as_posix()}" for file in files]
    return pd.DataFrame({"id": [f"unlabeled/{name}" for name in names], "path": paths}, dtype="str")
