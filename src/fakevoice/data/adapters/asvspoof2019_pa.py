"""ASVspoof 2019, physical access: bona fide speech against recordings of it that were played to the microphone.

An environment (room size, reverberation, distance) has three letters, and a replay attack (distance of the recorder,
quality of the loudspeaker) two. In the terms of this project bona fide is real and spoof is fake.

Source: Wang et al., "ASVspoof 2019: a large-scale public database of synthesized, converted and replayed
speech", Computer Speech & Language 2020.
"""

from pathlib import Path

import pandas as pd

from fakevoice.data.asvspoof import CLASSES, TRUTH, Corpus2019, protocol_clips
from fakevoice.data.clip_tables import even_guess, refuse_classes

EXPECTS = """\
ASVspoof2019_PA_cm_protocols/ASVspoof2019.PA.cm.train.trn.txt             SPEAKER CLIP ENVIRONMENT ATTACK bonafide|spoof
ASVspoof2019_PA_cm_protocols/ASVspoof2019.PA.cm.{dev,eval}.trl.txt        optional; the tests
ASVspoof2019_PA_{train,dev,eval}/flac/                                    the clips
ASVspoof2019_PA_asv_scores/ASVspoof2019.PA.asv.{dev,eval}.gi.trl.scores.txt   optional; for the min t-DCF
All as published (PA.zip), in this folder or up to three levels below, as PA/PA/."""

CORPUS = Corpus2019("PA", EXPECTS)


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
    refuse_classes(classes, CLASSES, "asvspoof2019_pa")
    return protocol_clips(CORPUS.protocol(folder, "train"), CORPUS.tests(folder))


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of dev and eval in the order of the protocols, with an even guess in each column; all text."""
    return even_guess(CORPUS.tests(folder)["id"].tolist(), classes)


def truth(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """What the clips of dev and eval are, for measuring only.

    Args:
        classes: taken as all functions of an adapter take it; the labels are fake and real.

    Returns:
        id, label, subset (dev or eval), attack (bonafide, AA to CC), speaker, environment: text.
    """
    return CORPUS.tests(folder)[[*TRUTH, "environment"]]


def asv_rates(folder: Path) -> dict[str, float] | None:
    """Error rates of the speaker verification, as `asvspoof.Corpus2019.asv_rates`."""
    return CORPUS.asv_rates(folder)
