"""ASVspoof 2019, logical access: bona fide speech against 19 synthesis and conversion systems.

The attacks of the evaluation (A07 to A19) never occur in training (A01 to A06). In the terms of this
project bona fide is real and spoof is fake.

Source: Wang et al., "ASVspoof 2019: a large-scale public database of synthesized, converted and replayed
speech", Computer Speech & Language 2020.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core.errors import DataError
from fakevoice.data.clip_tables import (
    clip_table,
    even_guess,
    find_root,
    refuse,
    refuse_classes,
    refuse_no_numbers,
    refuse_repeated,
    unreadable,
)

EXPECTS = """\
ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt             SPEAKER CLIP - ATTACK bonafide|spoof
ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{dev,eval}.trl.txt        optional; the tests
ASVspoof2019_LA_{train,dev,eval}/flac/                                    the clips
ASVspoof2019_LA_asv_scores/ASVspoof2019.LA.asv.{dev,eval}.gi.trl.scores.txt   optional; for the min t-DCF
All as published (LA.zip), in this folder or up to three levels below, as LA/LA/."""

CLASSES = ["fake", "real"]
LABELS = {"bonafide": "real", "spoof": "fake"}
TESTS = ("dev", "eval")
ASV_KEYS = ("target", "nontarget", "spoof")
FIELDS = ("speaker", "id", "environment", "attack", "key")


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
    refuse_classes(classes, CLASSES, "asvspoof2019_la")
    train = _protocol(folder, "train")
    rows = [(row.id, row.path, "train", row.label, row.speaker) for row in train.itertuples()]
    rows += [(row.id, row.path, "test", "", "") for row in _tests(folder).itertuples()]
    return clip_table(rows)


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips of dev and eval in the order of the protocols, with an even guess in each column; all text."""
    return even_guess(_tests(folder)["id"].tolist(), classes)


def truth(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """What the clips of dev and eval are, for measuring only.

    Args:
        classes: taken as all functions of an adapter take it; the labels are fake and real.

    Returns:
        id, label, subset (dev or eval), attack (bonafide, A01 to A19), speaker: text.
    """
    return _tests(folder)[["id", "label", "subset", "attack", "speaker"]]


def asv_rates(folder: Path) -> dict[str, float] | None:
    """Error rates of the speaker verification that the countermeasure protects, where its own EER is.

    They are those of eval, or of dev where eval is not there, and arguments of the metric `min_tdcf`.

    Returns:
        p_miss_asv (targets refused), p_fa_asv (nontargets accepted) and p_miss_spoof_asv (spoofs
        refused), each in [0, 1]; None where there are no scores.

    Raises:
        DataError: scores that cannot be read, or none of a key.

    Source: Kinnunen et al., "t-DCF: a detection cost function for the tandem assessment of spoofing
    countermeasures and automatic speaker verification", Odyssey 2018; ASVspoof 2019 evaluation plan.
    """
    subset = next((name for name in reversed(TESTS) if _protocol_file(folder, name).exists()), TESTS[0])
    file = _home(folder) / "ASVspoof2019_LA_asv_scores" / f"ASVspoof2019.LA.asv.{subset}.gi.trl.scores.txt"
    if not file.exists():
        return None
    scores = _read_fields(file, ("attack", "key", "score"))
    refuse_no_numbers(file, scores["score"])
    refuse(file, scores["key"], lambda key: key not in ASV_KEYS, f"a key not in {list(ASV_KEYS)}")
    ordered = [np.sort(scores["score"][scores["key"] == key].astype(np.float64)) for key in ASV_KEYS]
    absent = [key for key, values in zip(ASV_KEYS, ordered, strict=True) if not len(values)]
    if absent:
        raise DataError(f"{file}: no scores of {', '.join(absent)}; download the file again")
    targets, nontargets, spoofs = ordered
    thresholds = np.unique(np.concatenate([targets, nontargets]))
    refused, accepted = _refused(targets, thresholds), 1 - _refused(nontargets, thresholds)
    at_eer = int(np.abs(refused - accepted).argmin())
    rates = refused[at_eer], accepted[at_eer], _refused(spoofs, thresholds[at_eer])
    return {name: float(rate) for name, rate in zip(("p_miss_asv", "p_fa_asv", "p_miss_spoof_asv"), rates, strict=True)}


def _refused(ordered: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of scores that are refused at each threshold; one that equals it is accepted."""
    return np.searchsorted(ordered, thresholds, "left") / len(ordered)


def _home(folder: Path) -> Path:
    return find_root(folder, lambda path: (path / "ASVspoof2019_LA_cm_protocols").is_dir())


def _protocol_file(folder: Path, subset: str) -> Path:
    ending = "trn" if subset == "train" else "trl"
    return _home(folder) / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{subset}.{ending}.txt"


def _tests(folder: Path) -> pd.DataFrame:
    there = [_protocol(folder, subset) for subset in TESTS if _protocol_file(folder, subset).exists()]
    columns = ["id", "path", "label", "subset", "attack", "speaker"]
    return pd.concat(there, ignore_index=True)[columns] if there else pd.DataFrame(columns=columns, dtype="str")


def _protocol(folder: Path, subset: str) -> pd.DataFrame:
    """One row per clip: id, path, label, subset, attack, speaker; text, by line."""
    file = _protocol_file(folder, subset)
    table = _read_fields(file, FIELDS)
    refuse(file, table["key"], lambda key: key not in LABELS, f"a key not in {list(LABELS)}")
    refuse(file, table["id"], lambda clip: "/" in clip, "a clip that is no name")
    refuse_repeated(file, table["id"])
    below = _home(folder).relative_to(folder) / f"ASVspoof2019_LA_{subset}" / "flac"
    return table.assign(
        path=[(below / f"{clip}.flac").as_posix() for clip in table["id"]],
        label=table["key"].map(LABELS),
        subset=subset,
        attack=table["attack"].where(table["key"] == "spoof", "bonafide"),
    )


def _read_fields(file: Path, fields: tuple[str, ...]) -> pd.DataFrame:
    """Fields between blanks, as text; the index holds the lines."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, EXPECTS) from error
    rows = {number: line.split() for number, line in enumerate(lines, start=1) if line.strip()}
    if not rows:
        raise DataError(f"{file}: no lines; download the file again")
    widths = pd.Series({number: len(row) for number, row in rows.items()})
    refuse(file, widths, lambda width: width != len(fields), f"more or fewer than {len(fields)} fields")
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=list(fields), dtype="str")
