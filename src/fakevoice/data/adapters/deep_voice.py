"""DEEP-VOICE: long recordings of eight people and the same converted into each other, or their statistics.

Published as folders of recordings, and as a table of 26 features of one-second windows. Windows of one
recording are in training and validation of any random split, and only the folders tell which belong together. Files
named as ``obama-to-biden.wav`` are grouped by both speakers, so that conversions between two people stay together.

Source: Bird & Lotfi, "Real-time detection of AI-generated speech for DeepFake voice conversion", 2023.
"""

import itertools
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from fakevoice.audio.read import measure_length
from fakevoice.core.errors import AudioError, ConfigError, DataError
from fakevoice.data.clip_tables import (
    class_recordings,
    class_root,
    clip_table,
    even_guess,
    find_root,
    read_table,
    refuse,
    refuse_classes,
    refuse_no_numbers,
)

EXPECTS = """\
REAL/                   recordings of real voices (the folder's name in any case)
FAKE/                   recordings of converted voices
DATASET-balanced.csv    where there are no folders: 26 features of each second, and label (0 real, 1 fake)"""

CLASSES = ["fake", "real"]
CSV_NAME = "DATASET-balanced.csv"
STATISTICS = [
    "chroma_stft", "rms", "spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate",
    *(f"mfcc{number}" for number in range(1, 21)),
]  # fmt: skip
LABELS = {"0": "real", "1": "fake", "real": "real", "fake": "fake"}  # a later copy has numbers
Window = Annotated[float, Field(gt=0, le=600)]
CONVERSION = re.compile(r"(.+?)[-_ ]to[-_ ](.+)")
Origin = Literal["auto", "csv", "folders"]


def read(
    folder: Path, *, classes: list[str] = CLASSES, window_s: Window = 1.0, source: Origin = "auto"
) -> pd.DataFrame:
    """Windows of the recordings without overlap, or the rows of the table; there is no test split.

    A last window is kept from half its length on. A recording that cannot be read is one clip, so that
    the audit names it.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.
        window_s: length of a window.
        source: the "folders", the "csv", or "auto": the folders where there are any.

    Returns:
        id, path (of a window with its part, as in ``REAL/a.wav#t=0,1``; else the table's), split
        (train), label, group (both speakers of a conversion A-to-B, otherwise the recording; empty for rows): text.

    Raises:
        ConfigError: a window that is not longer than 0 s.
        DataError: a folder is missing or holds no whole window, or lines of the table that cannot be read.
    """
    refuse_classes(classes, CLASSES, "deep_voice")
    if window_s <= 0:
        raise ConfigError(f"deep_voice: window_s {window_s} must be above 0")
    if _has_sound(folder, source):
        return _windows(folder, classes, window_s)
    labels = _read_csv(folder)["label"]
    return clip_table([(clip, CSV_NAME, "train", label, "") for clip, label in zip(_ids(labels), labels, strict=True)])


def template(
    folder: Path, *, classes: list[str] = CLASSES, window_s: Window = 1.0, source: Origin = "auto"
) -> pd.DataFrame:
    """No rows, since nothing is to be predicted: id and the class columns; all text."""
    return even_guess([], classes)


def given(
    folder: Path, *, classes: list[str] = CLASSES, window_s: Window = 1.0, source: Origin = "auto"
) -> pd.DataFrame | None:
    """The 26 features of the table.

    Returns:
        id (text) and 26 float64 columns, a row for each clip; None where there are recordings.

    Raises:
        DataError: a value that is missing or no number, with its lines.
    """
    if _has_sound(folder, source):
        return None
    table, csv_file = _read_csv(folder), _csv_file(folder)
    for name in STATISTICS:
        refuse_no_numbers(csv_file, table[name])
    return table[STATISTICS].astype(np.float64).reset_index(drop=True).assign(id=_ids(table))[["id", *STATISTICS]]


def _has_sound(folder: Path, source: Origin) -> bool:
    if source != "auto":
        return source == "folders"
    root = class_root(folder, CLASSES)
    return any(path.is_dir() and path.name.lower() in CLASSES for path in root.glob("*"))


def _ids(rows: pd.Series | pd.DataFrame) -> list[str]:
    return [f"row{number:05d}" for number in range(len(rows))]


def _csv_file(folder: Path) -> Path:
    return find_root(folder, lambda path: (path / CSV_NAME).is_file()) / CSV_NAME


def _read_csv(folder: Path) -> pd.DataFrame:
    """The table as text, by line, with `label` real or fake."""
    csv_file = _csv_file(folder)
    table = read_table(csv_file, STATISTICS, EXPECTS, key=None).rename(columns={"LABEL": "label"})
    if list(table.columns).count("label") != 1:
        raise DataError(f"{csv_file}: expected one column label or LABEL in {','.join(table.columns)!r}")
    refuse(csv_file, table["label"], lambda label: label.lower() not in LABELS, f"a label not in {list(LABELS)}")
    return table.assign(label=table["label"].str.lower().map(LABELS))


def _windows(folder: Path, classes: list[str], window_s: float) -> pd.DataFrame:
    rows = [
        (f"{path}#{index:05d}", f"{path}{part}", "train", label, _group(path))
        for path, label in class_recordings(folder, classes, EXPECTS)
        for index, part in enumerate(_parts(folder / path, window_s))
    ]
    clips = clip_table(rows)
    absent = sorted(set(classes) - set(clips["label"]))
    if absent:
        raise DataError(f"{folder}: no recording of {', '.join(absent)} lasts half a window of {window_s} s")
    return clips


def _group(path: str) -> str:
    """The pair of speakers of a conversion, in both directions; else the recording itself."""
    speakers = CONVERSION.fullmatch(PurePosixPath(path).stem.lower())
    return "+".join(sorted(speakers.groups())) if speakers else path


def _parts(recording: Path, window_s: float) -> list[str]:
    """Fragments of the windows; one of no fragment stands for a recording that cannot be read."""
    try:
        n_frames, rate_hz = measure_length(recording)[:2]
        duration_s = n_frames / rate_hz
    except AudioError:
        duration_s = 0.0
    if duration_s == 0:
        return [""]
    n_windows = int(duration_s / window_s + 0.5)
    edges = [f"{index * window_s:.6f}".rstrip("0").rstrip(".") for index in range(n_windows + 1)]
    return [f"#t={start},{end}" for start, end in itertools.pairwise(edges)]
