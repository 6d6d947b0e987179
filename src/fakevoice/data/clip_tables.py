"""What the adapters of datasets share: tables read with their line numbers, folders of recordings, even guesses."""

import csv
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.audio.files import Found, find_audio, scan_folder
from fakevoice.audio.messages import UNKNOWN, count_reasons
from fakevoice.core.errors import DataError
from fakevoice.core.names import find_names, same_text, similar_name

COLUMNS = ["id", "path", "split", "label", "group"]
LISTED = 10
LEVELS = 3  # of folders that an archive may put around a data set


def read_table(csv_file: Path, columns: list[str], expects: str, key: str | None = "id") -> pd.DataFrame:
    """All columns of a CSV as text; the index holds the line that a row ends on.

    Args:
        columns: those that must be there.
        expects: what the folder must hold, for the message.
        key: column that tells rows apart; None where there is none.

    Raises:
        DataError: with the file, the lines and what to do.
    """
    lines, rows = _read_rows(csv_file, expects)
    header = rows[0] if rows else []
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) < len(header):
        problem = f"no column {', '.join(missing)}" if missing else "a column occurs twice"
        raise DataError(f"{csv_file}: {problem} in {','.join(header)!r}; expected {','.join(columns)}")
    if len(rows) == 1:
        raise DataError(f"{csv_file}: a header and no rows")
    widths = pd.Series([len(row) for row in rows], index=lines)
    refuse(csv_file, widths, lambda width: width != len(header), f"more or fewer than {len(header)} values")
    table = pd.DataFrame(rows[1:], columns=header, index=lines[1:], dtype="str")
    if key:
        refuse_repeated(csv_file, table[key])
    return table


def _read_rows(csv_file: Path, expects: str) -> tuple[list[int], list[list[str]]]:
    # Not pandas: it keeps no line numbers, and reads a short row as if its last values were empty.
    try:
        with csv_file.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{csv_file}, line {reader.line_num}: {error}; quotes must be closed") from error
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(csv_file, error, expects) from error
    return [line for line, _ in numbered], [row for _, row in numbered]


def unreadable(file: Path, error: OSError | UnicodeDecodeError, expects: str) -> DataError:
    """What to raise where a table cannot be opened or is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{file}: not UTF-8 (byte {error.start}); save it again as UTF-8")
    return DataError(f"{file}: {error.strerror}{similar_name(file)}; the folder must hold:\n{expects}")


def refuse(file: Path, values: pd.Series, is_bad: Callable[[object], bool], what: str) -> None:
    """Raise if any value is bad.

    Args:
        values: by line, as `read_table` gives them.
        what: is wrong with the rows, for the message.

    Raises:
        DataError: with the number of rows, and the first ten lines and values.
    """
    bad = [(line, value) for line, value in values.items() if is_bad(value)]
    if bad:
        listed = ", ".join(f"line {line} ({value!r})" for line, value in bad[:LISTED])
        more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        raise DataError(f"{file}: {len(bad)} rows with {what}: {listed}{more}; correct the table")


def refuse_repeated(file: Path, values: pd.Series) -> None:
    """Raise if a key is empty or occurs twice.

    Raises:
        DataError: as `refuse`.
    """
    refuse(file, values, lambda text: not text.strip(), f"an empty {values.name}")
    refuse(file, values, set(values[values.duplicated()]).__contains__, f"the same {values.name} twice")


def refuse_labels(file: Path, labels: pd.Series, classes: list[str]) -> None:
    """Raise if a label is not one of the classes, to the letter.

    Raises:
        DataError: as `refuse`.
    """
    refuse(file, labels, lambda label: label not in classes, f"a label not in {classes}")


def as_classes(labels: pd.Series, classes: list[str]) -> pd.Series:
    """Labels in the spelling of the classes, where they differ only in the Unicode normal form."""
    spelled = {unicodedata.normalize("NFC", name): name for name in classes}
    return labels.map(lambda label: spelled.get(unicodedata.normalize("NFC", label), label))


def find_root(folder: Path, is_root: Callable[[Path], bool]) -> Path:
    """The folder in which a data set begins: `folder`, or one up to three levels below, as archives are unpacked.

    Args:
        is_root: whether a folder holds what the adapter expects.

    Returns:
        The only such folder of the highest level that has one; of several the one called train or training; `folder`
        itself where there is none.

    Raises:
        DataError: several folders of one level could be meant.
    """
    level = [folder]
    for _ in range(LEVELS + 1):
        found = [path for path in level if is_root(path)]
        trained = [path for path in found if path.name.lower() in ("train", "training")]
        if len(found) == 1 or len(trained) == 1:
            return (trained or found)[0]
        if found:
            names = list_names([path.relative_to(folder).as_posix() for path in found])
            raise DataError(f"{folder}: {names} could all be the data set; move the others away")
        level = [below for path in level for below in _folders(path)]
    return folder


def _folders(folder: Path) -> list[Path]:
    """Folders directly below a folder, without those of macOS archives and hidden ones."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in entries if not entry.name.startswith((".", "__MACOSX")))


def below_root(clips: pd.DataFrame, root: Path, folder: Path) -> pd.DataFrame:
    """Clips whose paths are relative to `root`, with paths relative to `folder`."""
    return clips.assign(path=[(root.relative_to(folder) / path).as_posix() for path in clips["path"]])


def refuse_no_numbers(file: Path, values: pd.Series) -> None:
    """Raise if a text is no finite number.

    Raises:
        DataError: as `refuse`.
    """
    refuse(file, values, lambda text: not _is_number(text), f"no number in {values.name}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def checked_paths(file: Path, paths: pd.Series) -> list[str]:
    """Paths that stay inside the folder of the table, spelled as the files are there, without a leading ``./``.

    Raises:
        DataError: as `refuse`.
    """
    refuse(file, paths, _is_outside, "a path that is empty, absolute or leads out of the folder")
    return find_names(file.parent, paths)


def _is_outside(path: str) -> bool:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return not parts or parts[0] == "/" or ".." in parts or "\0" in path


def refuse_classes(classes: list[str], known: Iterable[str], dataset: str) -> None:
    """Raise unless the config names exactly the classes that a dataset has, in any order.

    Raises:
        DataError: with both lists.
    """
    if sorted(classes) != sorted(known):
        raise DataError(f"{dataset} has the classes {', '.join(known)}, not {', '.join(classes)}; correct `classes`")


def short_ids(files: list[str]) -> list[str]:
    """Names without their extensions where that still tells them apart, else the names as they are."""
    stems = [PurePosixPath(file).with_suffix("").as_posix() for file in files]
    return stems if len(set(stems)) == len(stems) else files


def audio_below(folder: Path, home: Path) -> list[str]:
    """Paths of all audio files below `home`, relative to `folder`, sorted; none where there is no such folder."""
    return [path.relative_to(folder).as_posix() for path in find_audio(home)] if home.is_dir() else []


def class_recordings(folder: Path, classes: list[str], expects: str) -> list[tuple[str, str]]:
    """The recordings below the folders that are named as the classes, in any case.

    Files of an unknown format are among them, so that the audit reports them and a class does not lose them silently.

    Returns:
        Path relative to `folder`, and label.

    Raises:
        DataError: a class has no folder or two, or its folder holds no audio.
    """
    root = class_root(folder, classes)
    rows = []
    for label in classes:
        home = _class_folder(root, label, expects)
        found = scan_folder(home)
        if not found.audio:
            counted = count_reasons(found.skipped.values())
            raise DataError(f"{home}: holds no audio{f' ({counted})' * bool(counted)}")
        files = sorted([*found.audio, *_unknown(found)])
        rows += [(path.relative_to(folder).as_posix(), label) for path in files]
    return rows


def _unknown(found: Found) -> list[Path]:
    """Files of an unknown format, but not those next to a recording of the same name, which describe it."""
    stems = {path.with_suffix("") for path in found.audio}
    return [path for path, why in found.skipped.items() if why == UNKNOWN and path.with_suffix("") not in stems]


def class_root(folder: Path, classes: list[str]) -> Path:
    """The folder that has a folder for each class; `folder` where there is none."""

    def has_classes(path: Path) -> bool:
        names = [below.name for below in _folders(path)]
        return all(any(same_text(name.lower(), label.lower()) for name in names) for label in classes)

    return find_root(folder, has_classes)


def _class_folder(folder: Path, label: str, expects: str) -> Path:
    found = [path for path in sorted(folder.glob("*")) if path.is_dir() and same_text(path.name.lower(), label.lower())]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: expected one folder {label.upper()}/, found {names}; it must hold:\n{expects}")
    return found[0]


def refuse_same_ids(folder: Path, ids: list[str], paths: list[str]) -> None:
    """Raise if two files would be the same clip.

    Raises:
        DataError: with the first ten such files.
    """
    counts = Counter(ids)
    same = sorted(path for clip, path in zip(ids, paths, strict=True) if counts[clip] > 1)
    if same:
        raise DataError(f"{folder}: {list_names(same)} are the same clips under several names; keep one of each")


def list_names(names: list[str]) -> str:
    """The first ten names, and how many more there are."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def clip_table(rows: list[tuple[str, ...]]) -> pd.DataFrame:
    """Rows of id, path, split, label and group as the table that `read` of an adapter returns."""
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def even_guess(ids: list[str], classes: list[str]) -> pd.DataFrame:
    """A template where none is given: id, and 0.5 in each class column; all text."""
    return pd.DataFrame({"id": ids}, dtype="str").assign(**dict.fromkeys(classes, "0.5"))
