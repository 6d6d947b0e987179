"""Spoken digits (Audio MNIST): a table of file names and labels beside the folder of clips.

Source: Becker et al., "AudioMNIST: exploring explainable artificial intelligence for audio analysis", 2018;
the layout is that of the competitions which were made of it.
"""

from pathlib import Path

import pandas as pd

from fakevoice.data.clip_tables import (
    audio_below,
    below_root,
    checked_paths,
    clip_table,
    even_guess,
    find_root,
    read_table,
    refuse_labels,
    short_ids,
)

EXPECTS = """\
train.csv   file_name,label   the digit that is spoken, 0 to 9; optional: speaker, so that no voice is on both sides
train/                        the clips, by file name
test.csv    file_name         optional; the clips to predict
test/                         their clips
File names are relative to the folder of their split, with extensions in any case."""

CLASSES = [str(digit) for digit in range(10)]


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of both tables.

    Args:
        folder: holds what `EXPECTS` says.
        classes: the legal labels.

    Returns:
        id (the file name without extension where that is unique), path, split (train, test), label,
        group (speaker): text, empty where unknown.

    Raises:
        DataError: with the file, the lines and what to do.
    """
    given, folder = folder, _root(folder)
    csv_file = folder / "train.csv"
    train = _read_split(folder, "train", ["file_name", "label"])
    refuse_labels(csv_file, train["label"], classes)
    speakers = train["speaker"] if "speaker" in train else [""] * len(train)
    known = list(zip(train["id"], train["path"], train["label"], speakers, strict=True))
    rows = [(clip, path, "train", label, speaker) for clip, path, label, speaker in known]
    asked = _read_test(folder)
    rows += [(clip, path, "test", "", "") for clip, path in zip(asked["id"], asked["path"], strict=True)]
    return below_root(clip_table(rows), folder, given)


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of test.csv in its order, with an even guess in each class column; all text.

    Raises:
        DataError: as `read`.
    """
    return even_guess(_read_test(_root(folder))["id"].tolist(), classes)


def _root(folder: Path) -> Path:
    return find_root(folder, lambda path: (path / "train.csv").is_file())


def _read_test(folder: Path) -> pd.DataFrame:
    if not (folder / "test.csv").exists():
        return pd.DataFrame(columns=["id", "path"], dtype="str")
    return _read_split(folder, "test", ["file_name"])


def _read_split(folder: Path, split: str, columns: list[str]) -> pd.DataFrame:
    """The table of a split, with id and path; a file that is not there keeps its name, and the audit names it."""
    csv_file = folder / f"{split}.csv"
    table = read_table(csv_file, columns, EXPECTS, key="file_name")
    names = checked_paths(csv_file, table["file_name"])
    there = {path.removeprefix(f"{split}/") for path in audio_below(folder, folder / split)}
    in_any_case = {name.lower(): name for name in there}
    found = [name if name in there else in_any_case.get(name.lower(), name) for name in names]
    return table.assign(id=short_ids(names), path=[f"{split}/{name}" for name in found])
