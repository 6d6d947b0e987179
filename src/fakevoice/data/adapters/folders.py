"""Recordings sorted into folders by label: REAL/ and FAKE/, and a folder of recordings to predict."""

from pathlib import Path

import pandas as pd

from fakevoice.data.clip_tables import audio_below, class_recordings, class_root, clip_table, even_guess

EXPECTS = """\
REAL/   recordings of real voices (the folder's name in any case)
FAKE/   recordings of generated voices
test/   optional; the recordings to predict
Also up to three levels below, as archives are unpacked."""

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
    train = [(path, path, "train", label, "") for path, label in class_recordings(folder, classes, EXPECTS)]
    tests = audio_below(folder, _test_home(folder, classes, test_folder))
    test = [(path, path, "test", "", "") for path in tests]
    return clip_table(train + test)


def template(folder: Path, *, classes: list[str] = CLASSES, test_folder: str = "test") -> pd.DataFrame:
    """The recordings to predict, with an even guess in each class column; all text."""
    return even_guess(audio_below(folder, _test_home(folder, classes, test_folder)), classes)


def _test_home(folder: Path, classes: list[str], test_folder: str) -> Path:
    """The folder to predict: in the data folder, next to the folders of the classes, or one level above these."""
    root = class_root(folder, classes)
    above = [root.parent] if root != folder else []
    homes = [home / test_folder for home in (folder, root, *above)]
    return next((home for home in homes if home.is_dir()), homes[0])
