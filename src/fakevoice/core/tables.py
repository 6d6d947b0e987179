"""CSV tables read and written so that ids stay what they are: `001`, `NA`, `null` and `1e5` are text."""

import csv
from pathlib import Path

import pandas as pd

from fakevoice.core.artifacts import write_text
from fakevoice.core.errors import ArtifactError
from fakevoice.core.names import find_path, similar_name

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV atomically; floats keep all digits, so that equal tables give equal bytes."""
    write_text(path, csv_text(table))


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV; a carriage return in a text, which pandas would leave bare and read as a new row, is quoted."""
    text = table.to_csv(index=False, lineterminator="\n")
    if "\r" in text:
        text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


def safe_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would take for a formula.

    Source: OWASP, "CSV injection".
    """
    columns = {name: [_safe(value) for value in table[name]] for name in table}
    return pd.DataFrame({_safe(name): values for name, values in columns.items()}, index=table.index)


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def read_table(path: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a CSV that this project wrote.

    Args:
        text: columns that are text whatever they look like; all others become numbers where they are.

    Raises:
        ArtifactError: the file is missing or not a table.
    """
    table = read_text_table(path)
    for column in table.columns:
        if column not in text:
            table[column] = pd.to_numeric(table[column].replace("", "nan"), errors="coerce")
    return table


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV without converting anything.

    Raises:
        ArtifactError: the file is missing or not a table.
    """
    try:
        table = pd.read_csv(find_path(path), dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise ArtifactError(f"cannot read {path}: no such file{similar_name(path)}") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):  # where all rows are too long pandas shifts them, and says nothing
        raise ArtifactError(f"cannot read {path}: rows with more than the {table.shape[1]} values of its header")
    return table


CLIP_TEXT = ("id", "path", "split", "label", "group", "sha256", "flags", "note", "error")
FOLD_TEXT = ("competition", "id", "group", "label")
SCENE_TEXT = ("scene", "state", "noise", "event", "codec")
VOICE_TEXT = ("scene", "clip", "group", "label", "vocoder")
