"""From an audio file to a mono waveform; what is wrong with the file is said, never guessed away.

libsndfile decodes, soxr resamples.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from fakevoice.audio.decode import (
    ForwardReader,
    check_header,
    claims_more,
    count_frames,
    frames_of_part,
    opened,
    reaches,
)
from fakevoice.audio.files import split_part
from fakevoice.core.errors import AudioError

SHORT_S = 0.1
SILENT_PEAK = 1e-4  # -80 dBFS
FULL_SCALE, CLIPPED_SHARE = 0.999, 1e-3
MAX_PEAK = 1e4  # no overshoot of a codec comes near; integers stored as floats do
MAX_KEPT = 2**24  # samples over all channels that `read_parts` keeps: 64 MB
CANCELLED = 0.03  # the mean is 30 dB under the first channel: opposite polarity, not stereo width

ENDS_EARLY = "the file ends before its stated length"

Part = tuple[float, float]  # start and end in seconds


@dataclass(frozen=True, eq=False)
class Recording:
    """One decoded file.

    Attributes:
        waveform: (n_samples,) float32, mono at the rate that was asked for, at least one sample.
        source_rate_hz: sample rate of the file.
        n_channels: channels of the file.
        source_duration_s: length of the file or of the part that was asked for, also where the waveform is cut.
        flags: any of truncated, cut, short, silent, dc, clipped.
        notes: what of the file is not read, or read although its header does not say so; empty for most.
    """

    waveform: np.ndarray
    source_rate_hz: int
    n_channels: int
    source_duration_s: float
    flags: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Length(NamedTuple):
    """How much of a file there is to read.

    Attributes:
        n_frames: of the whole file, as far as it goes.
        rate_hz: of these frames.
        notes: as of `Recording`.
        path: the file to read it from: itself, or what ffmpeg decoded.
    """

    n_frames: int
    rate_hz: int
    notes: tuple[str, ...]
    path: Path


def read_audio(path: str | Path, sample_rate_hz: int, max_duration_s: float = 30.0) -> Recording:
    """Decode one file, or a part of it, to a mono waveform.

    Channels are averaged; where the average cancels (left = -right), the first channel is taken.

    Args:
        path: a file in any format that libsndfile reads; with a fragment, the part that `split_part` finds.
        sample_rate_hz: rate of the result.
        max_duration_s: the rest is not read, and the recording is flagged "cut".

    Raises:
        AudioError: missing, unreadable, not audio, damaged, no samples, an impossible sample rate,
            NaN or infinite samples, or a part that begins after the end.
    """
    file_path, part_s = split_part(path)
    with opened(file_path) as (file, notes, _):
        return _decoded(path, ForwardReader(file, notes), part_s, sample_rate_hz, max_duration_s)


def read_parts(
    path: Path, parts_s: Iterable[Part | None], sample_rate_hz: int, max_duration_s: float
) -> Iterator[Recording | AudioError]:
    """Decode parts of one file in a single pass, with the values that `read_audio` gives for each.

    The file is opened again only after damage that stops the decoder. Memory is bounded by `MAX_KEPT` samples and the
    longest part; parts are best sorted by their start.

    Args:
        parts_s: start and end of each in seconds, None for the whole file.

    Yields:
        For each part, its recording, or why it cannot be read.
    """
    parts_s = iter(parts_s)
    missing = object()
    part_s = next(parts_s, missing)
    while part_s is not missing:
        try:
            with opened(path) as (file, notes, _):
                reader = ForwardReader(file, notes, MAX_KEPT)
                while part_s is not missing:
                    found = _next_part(path, reader, part_s, sample_rate_hz, max_duration_s)
                    if found is None:
                        break
                    yield found
                    part_s = next(parts_s, missing)
        except AudioError as error:
            yield error
            part_s = next(parts_s, missing)


def read_pcm(samples: bytes, source_rate_hz: int, n_channels: int, sample_rate_hz: int) -> Recording:
    """Raw 16-bit little-endian samples, channels taking turns, as `read_audio` reads them from a WAV file.

    Raises:
        AudioError: no samples, or an impossible sample rate.
    """
    layout = {"samplerate": source_rate_hz, "channels": n_channels, "subtype": "PCM_16", "endian": "LITTLE"}
    name = f"raw samples at {source_rate_hz} Hz"
    try:
        with tempfile.TemporaryFile() as raw:  # by descriptor, as in `encode`
            raw.write(samples)
            raw.seek(0)
            file = soundfile.SoundFile(os.dup(raw.fileno()), format="RAW", **layout)
        with file:
            check_header(name, file)
            return _decoded(name, ForwardReader(file, ()), None, sample_rate_hz, len(samples))
    except soundfile.LibsndfileError as error:
        raise AudioError(name, error.error_string) from error


def _next_part(
    path: Path, reader: ForwardReader, part_s: Part | None, sample_rate_hz: int, max_duration_s: float
) -> Recording | AudioError | None:
    """A part, or what is wrong with its samples; None if the file has to be opened again to get there."""
    try:
        start, _ = frames_of_part(path, reader.file, part_s)
        if not reader.can_read(start):
            return None
        reader.forget_before(start)
        return _decoded(path, reader, part_s, sample_rate_hz, max_duration_s)
    except AudioError as error:
        return error


def _decoded(
    path: str | Path,
    reader: ForwardReader,
    part_s: Part | None,
    sample_rate_hz: int,
    max_duration_s: float,
) -> Recording:
    file = reader.file
    rate_hz, n_channels = file.samplerate, file.channels
    start, end = frames_of_part(path, file, part_s)
    n_asked, n_there = end - start, file.frames - start
    n_kept = max(1, int(max_duration_s * rate_hz))
    source = _read_mono(reader, start, min(n_kept + 1, n_asked))
    is_cut = len(source) > n_kept
    n_source = min(n_asked, n_there) if is_cut else len(source)
    is_truncated = n_source < min(n_asked, n_there) or (n_asked > n_there and claims_more(file))
    source = source[:n_kept]
    magnitude = np.abs(source)
    peak = _checked_peak(path, magnitude, is_truncated)
    flags = (*("truncated",) * is_truncated, *("cut",) * is_cut, *_flags(source, magnitude, peak, rate_hz))
    waveform = resample(source, rate_hz, sample_rate_hz)
    notes = (*reader.notes, *(ENDS_EARLY,) * is_truncated)
    return Recording(waveform, rate_hz, n_channels, n_source / rate_hz, flags, notes)


def measure_length(path: str | Path, converted: Path | None = None, most_s: float | None = None) -> Length:
    """The length of a whole file; frames are counted only where the header is wrong.

    Args:
        converted, most_s: of `opened`.

    Raises:
        AudioError: missing, unreadable, not audio, or an impossible header.
    """
    with opened(Path(path), converted, most_s) as (file, notes, source):
        if reaches(file, file.frames):
            notes = (*notes, *(ENDS_EARLY,) * claims_more(file))
            return Length(file.frames, file.samplerate, notes, source if converted else Path(path))
    with opened(Path(path), converted, most_s) as (file, notes, source):  # a seek that failed leaves libsndfile lost
        return Length(count_frames(file), file.samplerate, (*notes, ENDS_EARLY), source if converted else Path(path))


def resample(waveform: np.ndarray, source_rate_hz: int, sample_rate_hz: int) -> np.ndarray:
    """Change the sample rate with soxr's HQ filter.

    Args:
        waveform: (n_samples,) float32.

    Returns:
        (n_samples · sample_rate_hz / source_rate_hz, rounded, at least 1) float32.
    """
    if source_rate_hz == sample_rate_hz:
        return waveform
    n_samples = max(1, round(len(waveform) * sample_rate_hz / source_rate_hz))
    return fix_length(soxr.resample(waveform, source_rate_hz, sample_rate_hz, quality="HQ"), n_samples)


def fix_length(waveform: np.ndarray, n_samples: int, offset: int = 0) -> np.ndarray:
    """Lay a waveform into exactly `n_samples`: it begins at `offset`, zeros surround it, what sticks out is cut.

    Args:
        waveform: (n,) of any length.
        offset: samples of silence before it, not negative.

    Returns:
        (n_samples,) in the dtype of `waveform`.
    """
    part = waveform[: max(0, n_samples - offset)]
    fixed = np.zeros(n_samples, waveform.dtype)
    fixed[offset : offset + len(part)] = part
    return fixed


@np.errstate(over="ignore", invalid="ignore")  # samples that are no numbers are refused afterwards
def _read_mono(reader: ForwardReader, start: int, n_frames: int) -> np.ndarray:
    empty = np.zeros(0, np.float32)
    if reader.file.channels == 1:
        return np.concatenate([empty, *(block[:, 0] for block in reader.blocks(start, n_frames))])
    firsts, means = [empty], [empty]
    for block in reader.blocks(start, n_frames):
        firsts.append(block[:, 0].copy())  # a view would keep all channels in memory
        means.append(block.mean(axis=1))
    first, mean = np.concatenate(firsts), np.concatenate(means)
    return first if np.dot(mean, mean) < CANCELLED**2 * np.dot(first, first) else mean


def _checked_peak(path: str | Path, magnitude: np.ndarray, is_truncated: bool) -> float:
    if len(magnitude) == 0:
        raise AudioError(path, "0 samples, the file is cut off" if is_truncated else "0 samples")
    peak = float(magnitude.max())  # NaN if any sample is
    if not np.isfinite(peak):
        raise AudioError(path, "NaN or infinite samples")
    if peak > MAX_PEAK:
        raise AudioError(path, f"peak of {peak:.3g}, where full scale is 1")
    return peak


def _flags(source: np.ndarray, magnitude: np.ndarray, peak: float, rate_hz: int) -> list[str]:
    is_silent = peak < SILENT_PEAK
    is_even = magnitude[0] > peak - SILENT_PEAK  # what no usual clip is, so that most are not gone through again
    found = {
        "short": len(source) < SHORT_S * rate_hz,
        "silent": is_silent,
        "dc": not is_silent and is_even and np.ptp(source) < SILENT_PEAK,
        "clipped": peak >= FULL_SCALE and np.mean(magnitude >= FULL_SCALE) > CLIPPED_SHARE,
    }
    return [flag for flag, holds in found.items() if holds]
