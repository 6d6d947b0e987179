"""Decodes every clip once and writes down what it is: length, level, bandwidth, content hash, and what is wrong.

The table finds damaged files before any training, shortcuts (a label that follows the loudness), and
recordings that occur twice.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fakevoice.audio.files import split_part
from fakevoice.audio.messages import count_notes, count_reasons
from fakevoice.audio.read import Recording, read_audio
from fakevoice.audio.spectrum import decibels, mel_filter_bank, power_spectrogram
from fakevoice.core import artifacts
from fakevoice.core.errors import ArtifactError, AudioError, DataError
from fakevoice.core.progress import track
from fakevoice.core.tables import write_table
from fakevoice.parallel.pool import run_parallel

CHUNK_CLIPS = 64
TABLES = (".csv", ".txt")
FRAME_S = 0.020
SILENCE_DB = 40.0  # under the loudest frame
BANDWIDTH_DB = 60.0  # low-passed recordings show their edge within 8 %, and 16-bit noise stays below
N_MELS = 40
FINGERPRINT_DB = 80.0  # range that a fingerprint sees, so that it does not depend on the gain
LISTED = 10

UNREADABLE = {
    "source_rate_hz": 0,
    "n_channels": 0,
    "duration_s": np.nan,
    "level_dbfs": np.nan,
    "peak": np.nan,
    "silence_fraction": np.nan,
    "leading_silence_s": np.nan,
    "bandwidth_hz": np.nan,
    "noise_floor_db": np.nan,
    "sha256": "",
    "flags": "",
    "note": "",
    "error": "",
}


def find_missing(clips: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows whose file does not exist, found without opening any: id, split, path, error."""
    is_missing = [not os.path.exists(split_part(folder / path)[0]) for path in clips["path"]]
    return clips.loc[is_missing, ["id", "split", "path"]].assign(error="no such file").reset_index(drop=True)


def hash_files(clips: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """SHA-256 of the raw files that were read: those of the clips, and the tables next to them.

    Args:
        clips: path (relative to `folder`).

    Returns:
        file (relative to `folder`, sorted), sha256 ("" for what is no readable file).
    """
    files = {os.path.relpath(split_part(folder / path)[0], folder) for path in clips["path"]}
    files |= {name for name, *_ in artifacts.listing(folder) if name.lower().endswith(TABLES)}
    names = sorted(files)
    return pd.DataFrame({"file": names, "sha256": _hashes(folder, names)}, dtype=str)


def changed_file(hashes: pd.DataFrame, folder: Path) -> str:
    """The first file whose content is no longer the one that `hash_files` found; "" if there is none."""
    is_changed = np.array(_hashes(folder, hashes["file"].tolist())) != hashes["sha256"].to_numpy()
    return str(hashes["file"].to_numpy()[is_changed][0]) if is_changed.any() else ""


def _hashes(folder: Path, names: list[str]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing and reading release the interpreter
        hashed = pool.map(_hash, [folder / name for name in names])
        return list(track(hashed, len(names), "checksums of raw files", "files"))


def _hash(path: Path) -> str:
    try:
        return artifacts.checksum(path) if path.is_file() else ""  # a device has no end
    except ArtifactError:
        return ""


def audit_clips(clips: pd.DataFrame, folder: Path, sample_rate_hz: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Decode and measure all clips, in parallel; files that cannot be used are rows with an `error`.

    Args:
        clips: id, split, path (relative to `folder`).
        sample_rate_hz: rate at which level, bandwidth and fingerprint are measured.

    Returns:
        The audit, one row per clip in the order of `clips`: id, split, path, source_rate_hz, n_channels,
        duration_s, level_dbfs (RMS), peak, silence_fraction (20 ms frames 40 dB under the loudest),
        leading_silence_s, bandwidth_hz (60 dB under the strongest frequency), noise_floor_db (10th
        percentile of the frames), sha256 (of the decoded samples), flags (joined by "|"), note (what of
        the file was not read, or is wrong with its header), error.
        Fingerprints (n_clips, 80) float32: mean and standard deviation over time of 40 mel bands in dB,
        blind to the gain; zeros for clips that cannot be read.
    """
    paths = [folder / path for path in clips["path"]]
    chunks = [paths[start : start + CHUNK_CLIPS] for start in range(0, len(paths), CHUNK_CLIPS)]
    rows: list[dict] = []
    fingerprints = np.zeros((len(paths), 2 * N_MELS), np.float32)
    audit_chunk = partial(_audit_chunk, sample_rate_hz=sample_rate_hz)
    for chunk_rows, chunk_fingerprints in run_parallel(audit_chunk, chunks, "audit", f"blocks of {CHUNK_CLIPS} clips"):
        fingerprints[len(rows) : len(rows) + len(chunk_rows)] = chunk_fingerprints
        rows += chunk_rows
    measured = pd.DataFrame(rows, columns=list(UNREADABLE))
    return pd.concat([clips[["id", "split", "path"]].reset_index(drop=True), measured], axis=1), fingerprints


def audit_given(clips: pd.DataFrame, given: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The audit of a competition that gives statistics instead of sound: content hashes, and facts that nobody knows.

    Args:
        clips: id, split, path.
        given: id and float columns, a row per clip in any order.

    Returns:
        As `audit_clips`.

    Raises:
        DataError: clips without a row.
    """
    values = given.set_index("id").reindex(clips["id"])
    absent = clips["id"][values.isna().any(axis=1).to_numpy()]
    if len(absent):
        raise DataError(f"{len(absent)} clips have no statistics: {_listed(iter(absent))}")
    hashes = [hashlib.sha256(row).hexdigest() for row in np.ascontiguousarray(values.to_numpy(np.float64))]
    facts = pd.DataFrame([UNREADABLE] * len(clips)).assign(sha256=hashes)
    audit = pd.concat([clips[["id", "split", "path"]].reset_index(drop=True), facts], axis=1)
    return audit, np.zeros((len(clips), 2 * N_MELS), np.float32)


def check_audit(audit: pd.DataFrame, on_error: Literal["strict", "mark"], file: Path | None = None) -> pd.DataFrame:
    """The clips that cannot be used.

    Args:
        audit: of `audit_clips` or `find_missing`.
        on_error: "strict" stops if there are any.
        file: where all of them are written down before that; nowhere if None.

    Returns:
        id, split, path, reason.

    Raises:
        DataError: with the count, the first ten, and the file of all.
    """
    errors = audit.loc[audit["error"] != "", ["id", "split", "path", "error"]].reset_index(drop=True)
    errors = errors.rename(columns={"error": "reason"})
    if len(errors) and on_error == "strict":
        if file:
            write_table(file, errors)
        raise DataError(
            f"{len(errors)} of the audio files cannot be used:\n"
            + _listed(f"  {row.path} ({row.split} {row.id}): {row.reason}" for row in errors.itertuples())
            + (f"\nall of them are in {file}" if file else "")
            + "\nmend them, or set on_error=mark to go on: they are left out of training and predicted as the prior"
        )
    return errors


def check_duplicates(clips: pd.DataFrame, audit: pd.DataFrame) -> pd.DataFrame:
    """Pairs of clips with the same samples, at least one of them in train; they must share a group.

    Args:
        clips: id, split, label.
        audit: of `audit_clips`.

    Returns:
        train_id, split, id: the first clip of train with this content, then another clip with the same.

    Raises:
        DataError: the same audio stands in train under two labels.
    """
    hashes = audit.loc[audit["sha256"] != "", ["id", "split", "sha256"]]
    content = clips[["id", "split", "label"]].merge(hashes, on=["id", "split"], validate="1:1")
    first = content[content["split"] == "train"].drop_duplicates("sha256")
    pairs = content.merge(
        first[["id", "label", "sha256"]].rename(columns={"id": "train_id", "label": "train_label"}),
        on="sha256",
        validate="m:1",
    )
    pairs = pairs[(pairs["id"] != pairs["train_id"]) | (pairs["split"] != "train")]
    _refuse_two_labels(pairs)
    return pairs[["train_id", "split", "id"]].reset_index(drop=True)


def summarise(clips: pd.DataFrame, audit: pd.DataFrame) -> str:
    """What a person should know of the files before anything runs: per split and label, then what stands out.

    Args:
        clips: id, split, label.
        audit: of `audit_clips`, in the same order.
    """
    columns = ["duration_s", "level_dbfs", "silence_fraction", "bandwidth_hz"]
    medians = audit.groupby([clips["split"], clips["label"]])[columns].median()
    medians.insert(0, "clips", clips.groupby(["split", "label"]).size())
    flags = audit["flags"].str.split("|").explode()
    notes = [f"{count} {flag}" for flag, count in flags[flags != ""].value_counts().items()]
    rates = [f"{count} at {rate} Hz" for rate, count in audit["source_rate_hz"].value_counts().items()]
    unreadable = f"{(audit['error'] != '').sum()} unreadable"
    lines = [medians.round(2).reset_index().to_string(index=False), ", ".join([*rates, unreadable, *notes])]
    if skipped := count_reasons(audit.loc[audit["error"] != "", "error"]):
        lines.append(skipped)
    if noted := count_notes(audit["note"]):
        lines.append(noted)
    return "\n".join(lines)


def _refuse_two_labels(pairs: pd.DataFrame) -> None:
    clash = pairs[(pairs["split"] == "train") & (pairs["label"] != pairs["train_label"])]
    if len(clash):
        lines = (f"  {row.train_id} ({row.train_label}) = {row.id} ({row.label})" for row in clash.itertuples())
        raise DataError(
            f"{len(clash)} training clips hold the same audio as another one with another label:\n{_listed(lines)}\n"
            "find out which label is right and remove the other rows"
        )


def _listed(lines: Iterator[str]) -> str:
    lines = list(lines)
    more = [f"  and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return "\n".join(lines[:LISTED] + more)


def _audit_chunk(paths: list[Path], sample_rate_hz: int) -> tuple[list[dict], np.ndarray]:
    rows, fingerprints = [], np.zeros((len(paths), 2 * N_MELS), np.float32)
    for index, path in enumerate(paths):
        try:
            recording = read_audio(path, sample_rate_hz)
        except AudioError as error:
            rows.append(UNREADABLE | {"error": error.reason})
            continue
        power = power_spectrogram(recording.waveform, *_spectrum_size(sample_rate_hz))
        rows.append(_facts(recording) | _measures(recording.waveform, power, sample_rate_hz) | {"error": ""})
        fingerprints[index] = _fingerprint(power, sample_rate_hz)
    return rows, fingerprints


def _spectrum_size(sample_rate_hz: int) -> tuple[int, int]:
    n_fft = 1 << round(math.log2(0.032 * sample_rate_hz))
    return n_fft, n_fft // 2


def _facts(recording: Recording) -> dict:
    return {
        "source_rate_hz": recording.source_rate_hz,
        "n_channels": recording.n_channels,
        "duration_s": recording.source_duration_s,
        "sha256": hashlib.sha256(recording.waveform).hexdigest(),
        "flags": "|".join(recording.flags),
        "note": "; ".join(recording.notes),
    }


def _measures(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int) -> dict:
    levels = _frame_levels(waveform, max(1, round(FRAME_S * sample_rate_hz)))
    is_silent = levels < levels.max() - SILENCE_DB
    spectrum = power.mean(axis=1)
    highest_bin = np.flatnonzero(spectrum >= spectrum.max() * 10 ** (-BANDWIDTH_DB / 10))[-1]
    is_digital_silence = spectrum.max() == 0
    return {
        "level_dbfs": float(decibels(np.mean(np.square(waveform)))),
        "peak": float(np.abs(waveform).max()),
        "silence_fraction": float(is_silent.mean()),
        "leading_silence_s": float(np.argmin(is_silent) * FRAME_S),
        "bandwidth_hz": 0.0 if is_digital_silence else highest_bin * sample_rate_hz / 2 / (len(spectrum) - 1),
        "noise_floor_db": float(np.percentile(levels, 10)),
    }


def _frame_levels(waveform: np.ndarray, frame_length: int) -> np.ndarray:
    n_whole = max(1, len(waveform) // frame_length)
    frames = waveform[: n_whole * frame_length].reshape(n_whole, -1)  # a clip below one frame is one short frame
    return decibels(np.einsum("ij,ij->i", frames, frames) / frames.shape[1])  # (n_frames,)


def _fingerprint(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    n_fft = 2 * (len(power) - 1)
    mel = mel_filter_bank(sample_rate_hz, n_fft, N_MELS, 0.0, sample_rate_hz / 2) @ power  # (n_mels, n_frames)
    log_mel = decibels(mel, floor=max(1e-20, float(mel.max()) * 10 ** (-FINGERPRINT_DB / 10)))
    mean, spread = log_mel.mean(axis=1), log_mel.std(axis=1)
    return np.concatenate([mean - mean.mean(), spread])
