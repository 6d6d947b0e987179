"""ASVspoof 5, track 1: crowdsourced speech of thousands of speakers, attacks with adversarial perturbations, codecs.

In the terms of this project bona fide is real and spoof is fake.

Source: Wang et al., "ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at scale", ASVspoof
Workshop 2024.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.data.asvspoof import CLASSES, TESTS, TRUTH, protocol_clips, read_protocol
from fakevoice.data.clip_tables import even_guess, refuse_classes

EXPECTS = """\
ASVspoof5.train.tsv, flac_T/                    SPEAKER CLIP SEX CODEC QUALITY SEED TAG ATTACK bonafide|spoof -
ASVspoof5.dev.track_1.tsv, flac_D/              optional; a test
ASVspoof5.eval.track_1.tsv, flac_E_eval/        optional; a test
The tables may be in ASVspoof5_protocols/; tables and folders as published."""

FIELDS = ("speaker", "id", "sex", "codec", "codec_quality", "codec_seed", "attack_tag", "attack", "key", "unused")
PROTOCOLS = {"train": "ASVspoof5.train.tsv", "dev": "ASVspoof5.dev.track_1.tsv", "eval": "ASVspoof5.eval.track_1.tsv"}
CLIPS = {"train": "flac_T", "dev": "flac_D", "eval": "flac_E_eval"}


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of the protocols: train, and those of dev and eval that are there as test.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.

    Returns:
        id, path, split (train, test), label (empty in test), group (speaker in train): text.

    Raises:
        DataError: no protocol of train, or lines that cannot be read.
    """
    refuse_classes(classes, CLASSES, "asvspoof5")
    return protocol_clips(_protocol(folder, "train"), _tests(folder))


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of dev and eval in the order of the protocols, with an even guess in each column; all text."""
    return even_guess(_tests(folder)["id"].tolist(), classes)


def truth(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """What the clips of dev and eval are, for measuring only.

    Args:
        classes: taken as all functions of an adapter take it; the labels are fake and real.

    Returns:
        id, label, subset (dev or eval), attack (bonafide, A01 to A32), speaker, codec: text.
    """
    return _tests(folder)[[*TRUTH, "codec"]]


def _protocol_file(folder: Path, subset: str) -> Path:
    below = folder / "ASVspoof5_protocols"
    return (below if below.is_dir() else folder) / PROTOCOLS[subset]


def _protocol(folder: Path, subset: str) -> pd.DataFrame:
    clips = PurePosixPath(CLIPS[subset])
    return read_protocol(_protocol_file(folder, subset), FIELDS, clips, EXPECTS).assign(subset=subset)


def _tests(folder: Path) -> pd.DataFrame:
    there = [_protocol(folder, subset) for subset in TESTS if _protocol_file(folder, subset).exists()]
    return pd.concat(there, ignore_index=True) if there else pd.DataFrame(columns=[*FIELDS, "path", *TRUTH[1:3]])
