"""Scores the hidden files of a code competition; `script.py` and the notebook of a package run it (see `packaging`).

Each file is scored by itself, in a batch with no other file, so that its answer depends on that file alone. Whatever
makes the answers worthless ends the run with a message before the submission is written: missing or damaged files of
the model, logits of the canned input that differ from those at packaging, unreadable files, constant answers.
"""

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fakevoice.core import artifacts, library_caches
from fakevoice.core.errors import ArtifactError, DataError, FakevoiceError, SubmissionError
from fakevoice.core.tables import csv_text

if TYPE_CHECKING:
    from fakevoice.core.paths import Paths
    from fakevoice.inference.inputs import Source
    from fakevoice.inference.predictor import Predictor

FACTS, CANNED, RUN, ENCODERS = "package.json", "fingerprint.wav", "run", "encoders"  # in the folder of the model
SAMPLE = "sample_submission.csv"
N_CANNED = 3  # clips in the canned input
LARGEST_DIFFERENCE = (0.05, 0.02)  # of a logit of the canned input: absolute, and relative to its value
MAX_UNREADABLE = 0.01  # share of the files
SMALLEST_SPREAD = 1e-9  # between the answers for all files
N_SHOWN = 5
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def main(model: Path, data: Path, out: Path) -> int:
    """Score the files that the sample submission lists.

    Args:
        model: folder ``model/`` of the package.
        data: folder that holds ``sample_submission.csv`` and, at any depth, the files.
        out: the CSV to write; one from before is removed first.

    Returns:
        Exit code: 0, or 1 after a message on standard error.
    """
    try:
        run(model, data, out)
    except FakevoiceError as error:
        print(f"fakevoice: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def run(model: Path, data: Path, out: Path) -> None:
    """As `main`.

    Raises:
        ArtifactError: a file of the model is missing or damaged, or its fingerprint differs.
        DataError: the sample submission is missing or has other columns, or two files have the name of one id.
        SubmissionError: too many unreadable files, or constant answers.
    """
    out.unlink(missing_ok=True)
    set_environment(model)
    facts = checked_facts(model)
    sample = read_sample(data, facts["outputs"])
    _tell(f"{len(sample)} files to score; {len(facts['files'])} files of the model are intact")
    predictor = load(model)
    check_fingerprint(predictor, model, facts)
    _tell("the canned input gets the logits that it got at packaging")
    start = time.monotonic()
    sources = find_sources(data, sample.iloc[:, 0].tolist())
    probability, reasons = score(predictor, sources)
    scoring_s = time.monotonic() - start
    _tell_unreadable(sources, reasons)
    check_answers(probability, reasons)
    columns = [facts["outputs"].index(name) for name in sample.columns[1:]]
    table = pd.DataFrame(probability[:, columns], columns=sample.columns[1:])
    table.insert(0, sample.columns[0], sample.iloc[:, 0].to_numpy())
    artifacts.write_text(out, csv_text(table))
    _tell(f"{out}: {len(table)} rows, scored in {scoring_s:.2f} s")


def set_environment(model: Path) -> None:
    """Have encoders read from the package, and no library open a connection."""
    os.environ |= {"FAKEVOICE_MODELS": str(model / ENCODERS), **OFFLINE}
    library_caches.use_writable_folders()


def checked_facts(model: Path) -> dict[str, Any]:
    """What `package.json` says, after every file that it lists was compared with its checksum.

    This is done before the libraries are imported that read these files, which takes seconds.

    Raises:
        ArtifactError: a file is missing or damaged; it is named.
    """
    facts = artifacts.read_json(model / FACTS)
    bad = artifacts.damaged(facts["files"], model, verify=True)
    if not bad:
        return facts
    expected = facts["files"][bad[0].relative_to(model).as_posix()]["size"]
    size = f"{bad[0].stat().st_size} bytes instead of {expected}, or" if bad[0].is_file() else "missing or"
    raise ArtifactError(f"{bad[0]} is {size} damaged ({len(bad)} such files): unpack or build the package again")


def run_paths(model: Path) -> "Paths":
    """Folders of the run inside a package."""
    from fakevoice.core.paths import Paths

    return Paths(model, model, model / RUN, model / "cache")


def load(model: Path) -> "Predictor":
    """The models of a package, loaded once in each process."""
    from fakevoice.inference.predictor import loaded

    paths = run_paths(model)
    return loaded(paths, artifacts.checksum(paths.stage("ensemble") / "ensemble.json"))


def canned_logits(predictor: "Predictor", path: Path) -> np.ndarray:
    """Logits (n_folds, N_CANNED, n_members, n_outputs) float64 of the canned input."""
    from fakevoice.inference.predictor import extract_files

    length_s = predictor.config.clip_duration_s
    parts = [Path(f"{path}#t={k * length_s:.9f},{(k + 1) * length_s:.9f}") for k in range(N_CANNED)]
    arrays, reasons = extract_files(predictor.config, parts)
    if any(reasons):
        raise ArtifactError(f"{path} cannot be read: {reasons[0]}")
    return predictor.member_logits(arrays)


def check_fingerprint(predictor: "Predictor", model: Path, facts: dict[str, Any]) -> None:
    """Compare the logits of the canned input, of every member and fold, with those at packaging.

    Raises:
        ArtifactError: they differ by more than `LARGEST_DIFFERENCE`.
    """
    logits, expected = canned_logits(predictor, model / CANNED), np.array(facts["logits"])
    if logits.shape == expected.shape:
        difference = np.abs(logits - expected)
        absolute, relative = LARGEST_DIFFERENCE
        if (difference <= absolute + relative * np.abs(expected)).all():  # False for NaN
            return
        where = f"by up to {difference.max():.3g}"
    else:
        where = f"in shape, {logits.shape} instead of {expected.shape}"
    raise ArtifactError(
        f"the fingerprint differs: the logits of {CANNED} differ {where} from those at packaging; weights were "
        "exchanged, or a library of this machine computes something else"
    )


def read_sample(data: Path, outputs: list[str]) -> pd.DataFrame:
    """The sample submission: an id, then outputs of the model in any order; all text.

    Raises:
        DataError: it is missing or empty, an id is empty or repeated, or a column is no output.
    """
    path = data / SAMPLE
    try:
        sample = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if sample.empty:
        raise DataError(f"{path} has no rows")
    unknown = [name for name in sample.columns[1:] if name not in outputs]
    if unknown or sample.shape[1] < 2:
        raise DataError(f"{path} has the columns {list(sample.columns)}, the model predicts {outputs}")
    ids = sample.iloc[:, 0]
    if ids.duplicated().any() or (ids == "").any():
        raise DataError(f"{path}: id {ids[ids.duplicated() | (ids == '')].iloc[0]!r} is repeated or empty")
    return sample


def find_sources(data: Path, ids: Sequence[str]) -> list["Source"]:
    """The file of each id below `data/test/`, or below `data/` without such a folder, whatever its extension.

    An id is a path relative to `data`, or a file name with or without extension. One without a file gets a path that
    does not exist, and so the prior.

    Raises:
        DataError: several files have the name of one id.
    """
    from fakevoice.inference.inputs import Source

    folder = data / "test" if (data / "test").is_dir() else data
    files: dict[str, list[Path]] = {}
    for entry in artifacts.walk(folder):
        path = Path(entry.path)
        for name in {path.name, path.stem}:
            files.setdefault(unicodedata.normalize("NFC", name), []).append(path)
    return [Source(id, _file_of(id, data, folder, files)) for id in ids]


def _file_of(id: str, data: Path, folder: Path, files: dict[str, list[Path]]) -> Path:
    if (data / id).is_file():
        return data / id
    for name in (Path(id).name, Path(id).stem):
        found = files.get(unicodedata.normalize("NFC", name), [])
        if len(found) > 1:
            raise DataError(f"id {id!r} could be {found[0]} or {found[1]}")
        if found:
            return found[0]
    return folder / id


def score(predictor: "Predictor", sources: list["Source"]) -> tuple[np.ndarray, list[str]]:
    """Probabilities (n_files, n_outputs) float64, and per file '' or why it could not be read."""
    from fakevoice.parallel.pool import run_parallel
    from fakevoice.training.networks import choose_device

    n_jobs = 1 if choose_device(predictor.config.device).type == "cuda" else None
    answer_file = partial(score_file, predictor.paths, predictor.version)
    answers = list(run_parallel(answer_file, sources, "scoring", "files", n_jobs))
    return np.array([values for values, _ in answers], np.float64), [reason for _, reason in answers]


def score_file(paths: "Paths", version: str, source: "Source") -> tuple[list[float], str]:
    """Answer for one file, as `predict` gives it, and '' or why it cannot be read; in this process alone."""
    from fakevoice.inference.predictor import loaded
    from fakevoice.inference.recordings import answer
    from fakevoice.parallel import pool

    predictor = loaded(paths, version)
    with pool.use(_in_this_process):
        answers = answer(predictor, [source])
    reason = "".join(answers.unreadable["reason"])
    return answers.table[predictor.config.outputs].to_numpy()[0].tolist(), reason


def _in_this_process(function: Callable[[Any], Any], items: Sequence[Any], n_jobs: int) -> Iterator[Any]:
    from fakevoice.parallel.pool import local

    return local(function, items, 1)


def check_answers(probability: np.ndarray, reasons: list[str]) -> None:
    """Refuse answers that would waste a submission.

    Raises:
        SubmissionError: too many unreadable files, an output with one value for all files, or a value that is not
            finite.
    """
    is_bad = np.array([bool(reason) for reason in reasons])
    if is_bad.mean() > MAX_UNREADABLE:
        raise SubmissionError(
            f"{is_bad.sum()} of {len(is_bad)} files could not be read, more than {MAX_UNREADABLE:.0%}: no submission"
        )
    if not np.isfinite(probability).all():
        raise SubmissionError("an answer is not finite: no submission")
    read = probability[~is_bad]
    if len(read) > 1 and (np.ptp(read, axis=0) < SMALLEST_SPREAD).any():
        raise SubmissionError(f"constant answers: all {len(read)} files got {read[0].tolist()}: no submission")


def _tell_unreadable(sources: list["Source"], reasons: list[str]) -> None:
    bad = [(source, reason) for source, reason in zip(sources, reasons, strict=True) if reason]
    _tell(f"{len(bad)} of {len(sources)} files could not be read and get the prior")
    for source, reason in bad[:N_SHOWN]:
        _tell(f"  {source.path}: {reason}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
