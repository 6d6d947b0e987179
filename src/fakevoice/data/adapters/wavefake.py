"""WaveFake: sentences of LJSpeech and JSUT next to what up to seven vocoders made of them, and synthetic speech.

All clips of LJSpeech are of one speaker. A chapter (LJ001 to LJ050) is a group here, with its original and its
generated sentences, so that no sentence is in training and validation; of the other sources a sentence is.

Source: Frank & Schönherr, "WaveFake: a data set to facilitate audio deepfake detection", NeurIPS 2021.
"""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.core.errors import DataError
from fakevoice.data.clip_tables import audio_below, clip_table, even_guess, refuse_classes

EXPECTS = """\
LJSpeech-1.1/wavs/LJ001-0001.wav                          real; also jsut_ver1.1/
generated_audio/ljspeech_melgan/LJ001-0001_gen.wav        fake; a folder for each vocoder, also directly in this folder
test/                                                     optional; the recordings to predict
All as published (LJSpeech-1.1.tar.bz2, generated_audio.zip)."""

CLASSES = ["fake", "real"]
ORIGINALS = re.compile(r"LJSpeech(-.+)?|jsut_ver.+", re.IGNORECASE)
GENERATED = re.compile(r"(ljspeech|jsut(?!_ver)|common_voices)_.+", re.IGNORECASE)
CHAPTER = re.compile(r"LJ[0-9]{3}")


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The originals, the generated clips, and those to predict.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.

    Returns:
        id (the path), path, split (train, test), label, group (chapter or sentence): text.

    Raises:
        DataError: no originals, or no generated clips.
    """
    refuse_classes(classes, CLASSES, "wavefake")
    labels = {path: _label(path) for path in audio_below(folder, folder)}
    for label in CLASSES:
        if label not in labels.values():
            raise DataError(f"{folder}: holds no {label} clips; it must hold:\n{EXPECTS}")
    train = [(path, path, "train", label, _group(path)) for path, label in labels.items() if label]
    return clip_table(train + [(path, path, "test", "", "") for path in _tests(folder)])


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The recordings to predict, with an even guess in each class column; all text."""
    return even_guess(_tests(folder), classes)


def _tests(folder: Path) -> list[str]:
    return audio_below(folder, folder / "test")


def _label(path: str) -> str:
    """What a clip is, by the folders above it; empty for clips to predict and those of other data."""
    folders = PurePosixPath(path).parts[:-1]
    if "test" in folders[:1]:
        return ""
    if any(GENERATED.fullmatch(name) for name in folders):
        return "fake"
    return "real" if any(ORIGINALS.fullmatch(name) for name in folders) else ""


def _group(path: str) -> str:
    sentence = re.sub(r"_gen(erated)?$", "", PurePosixPath(path).stem)
    chapter = CHAPTER.match(sentence)
    return chapter[0] if chapter else sentence
