"""Recordings sorted into folders by label: REAL/ and FAKE/, and a folder of recordings to predict."""

from pathlib import Path

import pandas as pd

from fakevoice.audio import find_audio
from fakevoice.errors import DataError

EXPECTS = """\
REAL/   recordings of real voices (the folder's name in any case)
FAKE/   recordings of generated voices
test/   optional; the recordings to predict"""

CLASSES = ["fake", "real"]


def read(folder: Path, *, classes: list[str] = CLASSES, test_folder: str = "test") -> pd.DataFrame:
    """The clips below the folders of the classes, and those to predict.

    Args:
        folder: holds what `EXPECTS` says.
        classes: the labels; each has a folder of its name, in any case.
        test_folder: name of the folder to predict.

    Returns:
        id (the path), path, split (train, test), label, group (empty): text.

    Raises:
        DataError: a folder is missing or holds no audio.
    """
    homes = {label: _class_folder(folder, label) for label in classes}
    train = [(path, "train", label) for label, home in homes.items() for path in _files(folder, home)]
    test = [(path, "test", "") for path in _test_files(folder, test_folder)]
    rows = [(path, path, split, label, "") for path, split, label in train + test]
    return pd.DataFrame(rows, columns=["id", "path", "split", "label", "group"], dtype="str")


def template(folder: Path, *, classes: list[str] = CLASSES, test_folder: str = "test") -> pd.DataFrame:
    """The recordings to predict, with an even guess in each class column; all text."""
    ids = _test_files(folder, test_folder)
    return pd.DataFrame({"id": ids}, dtype="str").assign(**dict.fromkeys(classes, "0.5"))


def _class_folder(folder: Path, label: str) -> Path:
    found = [path for path in sorted(folder.glob("*")) if path.is_dir() and path.name.lower() == label.lower()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: expected one folder {label.upper()}/, found {names}; it must hold:\n{EXPECTS}")
    if not find_audio(found[0]):
        raise DataError(f"{found[0]}: holds no audio")
    return found[0]


def _test_files(folder: Path, test_folder: str) -> list[str]:
    home = folder / test_folder
    return _files(folder, home) if home.is_dir() else []


def _files(folder: Path, home: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_audio(home)]
