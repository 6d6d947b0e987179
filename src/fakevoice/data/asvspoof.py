"""Protocols of the ASVspoof challenges: text files with fields between blanks, one clip a line.

In the terms of this project bona fide is real and spoof is fake. Clips of dev and eval are the test and are never used
for training.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fakevoice.core.errors import DataError
from fakevoice.data.clip_tables import clip_table, find_root, refuse, refuse_no_numbers, refuse_repeated, unreadable

CLASSES = ["fake", "real"]
LABELS = {"bonafide": "real", "spoof": "fake"}
TESTS = ("dev", "eval")
TRUTH = ["id", "label", "subset", "attack", "speaker"]
FIELDS_2019 = ("speaker", "id", "environment", "attack", "key")
ASV_KEYS = ("target", "nontarget", "spoof")


def read_fields(file: Path, fields: tuple[str, ...], expects: str) -> pd.DataFrame:
    """Fields between blanks, as text; the index holds the numbers of the lines.

    Args:
        expects: what the folder must hold, for the message.

    Raises:
        DataError: with the file, the lines and what to do.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, expects) from error
    rows = {number: line.split() for number, line in enumerate(lines, start=1) if line.strip()}
    if not rows:
        raise DataError(f"{file}: no lines; download the file again")
    widths = pd.Series({number: len(row) for number, row in rows.items()})
    refuse(file, widths, lambda width: width != len(fields), f"more or fewer than {len(fields)} fields")
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=list(fields), dtype="str")


def read_protocol(file: Path, fields: tuple[str, ...], clips: PurePosixPath, expects: str) -> pd.DataFrame:
    """The clips of a protocol.

    Args:
        fields: names of the columns, among them speaker, id, attack and key.
        clips: folder of the FLAC files, relative to the dataset.
        expects: as for `read_fields`.

    Returns:
        The fields, path and label (real, fake), all text, by line; the attack of bona fide clips is ``bonafide``.

    Raises:
        DataError: with the file, the lines and what to do.
    """
    table = read_fields(file, fields, expects)
    refuse(file, table["key"], lambda key: key not in LABELS, f"a key not in {list(LABELS)}")
    refuse(file, table["id"], lambda clip: "/" in clip, "a clip that is no name")
    refuse_repeated(file, table["id"])
    return table.assign(
        path=[(clips / f"{clip}.flac").as_posix() for clip in table["id"]],
        label=table["key"].map(LABELS),
        attack=table["attack"].where(table["key"] == "spoof", "bonafide"),
    )


def protocol_clips(train: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """Clips of a training protocol, with speakers as groups, and those of the tests, without labels."""
    rows = [(row.id, row.path, "train", row.label, row.speaker) for row in train.itertuples()]
    return clip_table(rows + [(row.id, row.path, "test", "", "") for row in tests.itertuples()])


@dataclass(frozen=True)
class Corpus2019:
    """One track of ASVspoof 2019.

    Attributes:
        track: LA or PA.
        expects: what the folder must hold, for messages.

    Source: Wang et al., "ASVspoof 2019: a large-scale public database of synthesized, converted and replayed
    speech", Computer Speech & Language 2020.
    """

    track: str
    expects: str

    def protocol(self, folder: Path, subset: str) -> pd.DataFrame:
        """The clips of train, dev or eval, as `read_protocol`, with their subset."""
        clips = self._home(folder).relative_to(folder) / f"ASVspoof2019_{self.track}_{subset}" / "flac"
        file = self._protocol_file(folder, subset)
        return read_protocol(file, FIELDS_2019, PurePosixPath(clips), self.expects).assign(subset=subset)

    def tests(self, folder: Path) -> pd.DataFrame:
        """The clips of dev and eval, where these are there."""
        there = [self.protocol(folder, subset) for subset in TESTS if self._protocol_file(folder, subset).exists()]
        columns = [*TRUTH, "path", "environment"]
        return pd.concat(there, ignore_index=True)[columns] if there else pd.DataFrame(columns=columns, dtype="str")

    def asv_rates(self, folder: Path) -> dict[str, float] | None:
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
        there = [subset for subset in TESTS if self._protocol_file(folder, subset).exists()]
        scores_name = f"ASVspoof2019.{self.track}.asv.{there[-1] if there else TESTS[0]}.gi.trl.scores.txt"
        file = self._home(folder) / f"ASVspoof2019_{self.track}_asv_scores" / scores_name
        if not file.exists():
            return None
        scores = read_fields(file, ("attack", "key", "score"), self.expects)
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
        return {
            "p_miss_asv": float(refused[at_eer]),
            "p_fa_asv": float(accepted[at_eer]),
            "p_miss_spoof_asv": float(_refused(spoofs, thresholds[at_eer])),
        }

    def _home(self, folder: Path) -> Path:
        protocols = f"ASVspoof2019_{self.track}_cm_protocols"
        return find_root(folder, lambda path: (path / protocols).is_dir())

    def _protocol_file(self, folder: Path, subset: str) -> Path:
        ending = "trn" if subset == "train" else "trl"
        name = f"ASVspoof2019.{self.track}.cm.{subset}.{ending}.txt"
        return self._home(folder) / f"ASVspoof2019_{self.track}_cm_protocols" / name


def _refused(ordered: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of scores that are refused at each threshold; one that equals it is accepted."""
    return np.searchsorted(ordered, thresholds, "left") / len(ordered)
