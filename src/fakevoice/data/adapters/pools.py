"""Pools of voices, music and noise in folders, and files to predict: for competitions that give no training data."""

from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.core.errors import DataError
from fakevoice.data.clip_tables import (
    audio_below,
    clip_table,
    even_guess,
    list_names,
    read_table,
    refuse_classes,
    refuse_repeated,
    refuse_same_ids,
    short_ids,
)

EXPECTS = """\
voice/real/SOURCE/    recordings of speech and singing; SOURCE is a corpus, a speaker or a session
voice/fake/FAMILY/    generated voices; FAMILY is a generator and its variants
music/real/SOURCE/    instruments and accompaniment, without voices
music/fake/FAMILY/    generated music
noise/SOURCE/         optional; background noises for scenes
test/                 optional; the files to predict
sample_submission.csv optional; id and one column per output; ids are names in test/, with or without extension
truth.csv             optional; id,label of the test, for evaluation only; further columns are slices
A SOURCE or FAMILY is kept in one fold, also if it occurs under voice and music. Files without such a folder are grouped
by how they sound."""

CLASSES = ["voice_real", "voice_fake", "music_real", "music_fake"]
SAMPLE, TRUTH = "sample_submission.csv", "truth.csv"
N_PARTS_WITH_GROUP = 4  # voice/real/SOURCE/file


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of all pools, the noises, and the files to predict.

    Args:
        folder: holds what `EXPECTS` says.
        classes: `CLASSES`, in any order.

    Returns:
        id, path, split (train, noise, test), label, group: text, empty where unknown.

    Raises:
        DataError: other classes, a pool without audio, or a sample submission that does not fit the test files.
    """
    refuse_classes(classes, CLASSES, "pools")
    rows = []
    for label in CLASSES:
        home = folder / label.replace("_", "/")
        paths = audio_below(folder, home)
        if not paths:
            raise DataError(f"{home}: holds no audio; the folder must hold:\n{EXPECTS}")
        rows += [(path, path, "train", label, _group(path)) for path in paths]
    rows += [(path, path, "noise", "", _noise_source(path)) for path in audio_below(folder, folder / "noise")]
    rows += [(clip, path, "test", "", "") for clip, path in _test_files(folder)]
    return clip_table(rows)


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The ids of the test in the order of the sample submission with its columns; an even guess without one.

    Args:
        classes: the outputs.
    """
    ids = [clip for clip, _ in _test_files(folder)]
    if not (folder / SAMPLE).is_file():
        return even_guess(ids, classes)
    columns = ["id", *classes]
    sample = read_table(folder / SAMPLE, columns, EXPECTS)
    return sample.loc[:, sample.columns.isin(columns)].reset_index(drop=True)


def truth(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame | None:
    """Labels of the test, the classes heard joined by ``+`` or ``none``, and further columns; None without them."""
    if not (folder / TRUTH).is_file():
        return None
    return read_table(folder / TRUTH, ["id", "label"], EXPECTS).reset_index(drop=True)


def _group(path: str) -> str:
    """``real/SOURCE`` or ``fake/FAMILY``."""
    parts = PurePosixPath(path).parts
    return f"{parts[1]}/{parts[2]}" if len(parts) >= N_PARTS_WITH_GROUP else ""


def _noise_source(path: str) -> str:
    parts = PurePosixPath(path).parts
    return f"noise/{parts[1]}" if len(parts) > 2 else path


def _test_files(folder: Path) -> list[tuple[str, str]]:
    """Id and path of each file to predict.

    Raises:
        DataError: two files have the same id, or the sample submission has other ids.
    """
    paths = audio_below(folder, folder / "test")
    names = [path.removeprefix("test/") for path in paths]
    ids = short_ids(names)
    if (folder / SAMPLE).is_file():
        sample = read_table(folder / SAMPLE, ["id"], EXPECTS)["id"]
        refuse_repeated(folder / SAMPLE, sample)
        wanted = set(sample)
        ids = next((known for known in (ids, names) if set(known) == wanted), [])
        if not ids:
            stems = set(short_ids(names))
            absent = sorted(wanted - stems - set(names))
            extra = sorted(stems - wanted)
            raise DataError(
                f"{folder / SAMPLE}: its ids are not the names in test/: {len(absent)} without a file "
                f"({list_names(absent)}), {len(extra)} files without a row ({list_names(extra)})"
            )
    refuse_same_ids(folder, ids, paths)
    return list(zip(ids, paths, strict=True))
