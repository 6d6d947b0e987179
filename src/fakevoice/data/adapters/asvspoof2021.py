"""ASVspoof 2021, LA (telephone channels) or DF (compressed media): a test without training data of its own.

Networks are trained on the training protocol of ASVspoof 2019 LA, as in the challenge. The labels of the test come in
a separate archive of keys. In the terms of this project bona fide is real and spoof is fake.

Source: Liu et al., "ASVspoof 2021: towards spoofed and deepfake speech detection in the wild", IEEE/ACM TASLP 2023.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from fakevoice.data.asvspoof import CLASSES, Corpus2019, protocol_clips, read_fields, read_protocol
from fakevoice.data.clip_tables import even_guess, refuse, refuse_classes, refuse_repeated

EXPECTS = """\
ASVspoof2019_LA_cm_protocols/, ASVspoof2019_LA_train/     the training data, as published (LA.zip), here or below LA/
ASVspoof2021_{LA,DF}_eval/ASVspoof2021.{LA,DF}.cm.eval.trl.txt   the clips to predict, one name a line
ASVspoof2021_{LA,DF}_eval/flac/                           the clips
keys/{LA,DF}/CM/trial_metadata.txt                        optional; the labels of the test (LA-keys-full, DF-keys-full)
The track is an argument: dataset.args.track=DF."""

TRAINING = Corpus2019("LA", EXPECTS)
COMMON_FIELDS = ("speaker", "id", "codec", "source", "attack", "key", "trim", "subset")
FIELDS = {"LA": COMMON_FIELDS, "DF": (*COMMON_FIELDS, "vocoder", "task", "team", "gender_pair", "language")}
Track = Literal["LA", "DF"]


def read(folder: Path, *, classes: list[str] = CLASSES, track: Track = "LA") -> pd.DataFrame:
    """The clips of ASVspoof 2019 LA's training protocol, and those of the 2021 evaluation as test.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.
        track: of the evaluation.

    Returns:
        id, path, split (train, test), label (empty in test), group (speaker in train): text.

    Raises:
        DataError: no training protocol, no list of clips, or lines that cannot be read.
    """
    refuse_classes(classes, CLASSES, "asvspoof2021")
    return protocol_clips(TRAINING.protocol(folder, "train"), _trials(folder, track))


def template(folder: Path, *, classes: list[str] = CLASSES, track: Track = "LA") -> pd.DataFrame:
    """The clips of the evaluation in the order of its list, with an even guess in each column; all text."""
    return even_guess(_trials(folder, track)["id"].tolist(), classes)


def truth(folder: Path, *, classes: list[str] = CLASSES, track: Track = "LA") -> pd.DataFrame | None:
    """What the clips of the evaluation are, for measuring only.

    Args:
        classes: taken as all functions of an adapter take it; the labels are fake and real.

    Returns:
        id, label, subset (progress, eval or hidden), attack, codec, source (LA: the transmission), speaker, and of
        DF the kind of vocoder: text; None without the archive of keys.

    Raises:
        DataError: lines that cannot be read, or keys of clips that are not in the list.
    """
    file = folder / "keys" / track / "CM" / "trial_metadata.txt"
    if not file.exists():
        return None
    keys = read_protocol(file, FIELDS[track], PurePosixPath(), EXPECTS)
    trials = set(_trials(folder, track)["id"])
    refuse(file, keys["id"], lambda clip: clip not in trials, "a clip that is not in the list of the evaluation")
    columns = ["id", "label", "subset", "attack", "codec", "source", "speaker"]
    return keys[columns + (["vocoder"] if track == "DF" else [])].reset_index(drop=True)


def _trials(folder: Path, track: str) -> pd.DataFrame:
    home = PurePosixPath(f"ASVspoof2021_{track}_eval")
    file = folder / home / f"ASVspoof2021.{track}.cm.eval.trl.txt"
    table = read_fields(file, ("id",), EXPECTS)
    refuse(file, table["id"], lambda clip: "/" in clip, "a clip that is no name")
    refuse_repeated(file, table["id"])
    return table.assign(path=[(home / "flac" / f"{clip}.flac").as_posix() for clip in table["id"]])
