"""In-the-Wild: 58 celebrities and politicians, real recordings and deepfakes found on the internet.

Source: Müller et al., "Does audio deepfake detection generalize?", Interspeech 2022.
"""

from pathlib import Path

import pandas as pd

from fakevoice.data.clip_tables import checked_paths, clip_table, even_guess, read_table, refuse, refuse_classes

EXPECTS = """\
meta.csv    file,speaker,label   label is bona-fide or spoof
*.wav       the clips, by file name; all as published (release_in_the_wild/)"""

CLASSES = ["fake", "real"]
LABELS = {"bona-fide": "real", "spoof": "fake"}


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """All clips; there is no test split.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.

    Returns:
        id (the file), path, split (train), label, group (speaker): text.

    Raises:
        DataError: no table, or lines of it that cannot be read.
    """
    refuse_classes(classes, CLASSES, "in_the_wild")
    csv_file = folder / "meta.csv"
    table = read_table(csv_file, ["file", "speaker", "label"], EXPECTS, key="file")
    refuse(csv_file, table["label"], lambda label: label not in LABELS, f"a label not in {list(LABELS)}")
    refuse(csv_file, table["speaker"], lambda speaker: not speaker.strip(), "an empty speaker")
    paths = checked_paths(csv_file, table["file"])
    labels = table["label"].map(LABELS)
    return clip_table(list(zip(table["file"], paths, ["train"] * len(table), labels, table["speaker"], strict=True)))


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """No rows, since nothing is to be predicted: id and the class columns; all text."""
    return even_guess([], classes)
