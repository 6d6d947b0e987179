"""From an audio file to a mono waveform; what is wrong with the file is said, never guessed away.

libsndfile decodes (the content decides the format, not the extension), soxr resamples.
"""

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from fakevoice.errors import AudioError, DataError

# fmt: off
EXTENSIONS = frozenset({
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist",
})
# fmt: on
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
BLOCK_SAMPLES = 2**18  # over all channels; memory follows from it, not from what a header claims
SHORT_S = 0.1
SILENT_PEAK = 1e-4  # -80 dBFS
FULL_SCALE, CLIPPED_SHARE = 0.999, 1e-3
MAX_PEAK = 1e4  # no overshoot of a codec comes near; integers stored as floats do
CANCELLED = 0.03  # the mean is 30 dB under the first channel: opposite polarity, not stereo width

# libsndfile clips what it reads to the file's end without an error, and tells only its log.
CLAIM = re.compile(r"(?:RIFF|riff|Riff size|FORM|data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)")
OGG_CUT = re.compile(r"Ogg: (?:Last page lacks an end-of-stream bit|Junk after the last page)")
STREAMED = 2**32 - 1  # written by encoders into a pipe, which could not know the length
UNKNOWN_FRAMES = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Recording:
    """One decoded file.

    Attributes:
        waveform: (n_samples,) float32, mono at the rate that was asked for, at least one sample.
        source_rate_hz: sample rate of the file.
        n_channels: channels of the file.
        source_duration_s: length of the file, also where the waveform is cut.
        flags: any of truncated, cut, short, silent, dc, clipped.
    """

    waveform: np.ndarray
    source_rate_hz: int
    n_channels: int
    source_duration_s: float
    flags: tuple[str, ...]


def read_audio(path: str | Path, sample_rate_hz: int, max_duration_s: float = 30.0) -> Recording:
    """Decode one file to a mono waveform.

    Channels are averaged; where the average cancels (left = -right) the first one is taken.

    Args:
        path: a file in any format that libsndfile reads.
        sample_rate_hz: rate of the result.
        max_duration_s: the rest is not read, and the recording is flagged "cut".

    Raises:
        AudioError: missing, unreadable, not audio, damaged, no samples, an impossible sample rate,
            NaN or infinite samples.
    """
    with _opened(Path(path)) as file:
        rate_hz, n_channels = file.samplerate, file.channels
        n_kept = max(1, int(max_duration_s * rate_hz))
        source = _read_mono(file, n_kept + 1)
        is_cut = len(source) > n_kept
        n_source = file.frames if is_cut else len(source)
        is_truncated = _is_truncated(file, n_source)
        source = source[:n_kept]
        _check_samples(path, source, is_truncated)
    flags = (*("truncated",) * is_truncated, *("cut",) * is_cut, *_flags(source, rate_hz))
    waveform = resample(source, rate_hz, sample_rate_hz)
    return Recording(waveform, rate_hz, n_channels, n_source / rate_hz, flags)


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


def find_audio(folder: str | Path) -> list[Path]:
    """All audio files below a folder, by extension in any case, sorted by path.

    Links to folders are followed, except back into a folder that is being walked.

    Raises:
        DataError: the folder or one below it is missing or unreadable.
    """
    try:
        return sorted(_walk(Path(folder), frozenset()))
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from error


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, above | {here})
        elif path.suffix.lower() in EXTENSIONS:
            yield path


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        _check_file(path)
        # By descriptor, so that libsndfile sees no extension to be misled by.
        with path.open("rb") as handle, soundfile.SoundFile(handle.fileno(), closefd=False) as file:
            _check_header(path, file)
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(
            path, f"cannot be decoded: {error.error_string or f'libsndfile error {error.code}'}"
        ) from error
    except OSError as error:
        raise AudioError(path, error.strerror or type(error).__name__) from error


def _check_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise AudioError(path, "not a regular file")
    if status.st_size == 0:
        raise AudioError(path, "0 bytes")


def _check_header(path: Path, file: soundfile.SoundFile) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioError(path, f"impossible sample rate of {file.samplerate} Hz")
    if file.frames == UNKNOWN_FRAMES:  # libsndfile decodes such a FLAC, then fails to find its end
        raise AudioError(path, "the header does not say how many samples there are; encode it again into a file")


@np.errstate(over="ignore", invalid="ignore")  # samples that are no numbers are refused afterwards
def _read_mono(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    means, firsts = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    n_block = max(1, BLOCK_SAMPLES // file.channels)
    while n_frames > 0:
        block = file.read(min(n_block, n_frames), dtype="float32", always_2d=True)  # (n_frames, n_channels)
        if len(block) == 0:
            break
        firsts.append(block[:, 0].copy())
        means.append(block.mean(axis=1) if file.channels > 1 else firsts[-1])
        n_frames -= len(block)
    mean, first = np.concatenate(means), np.concatenate(firsts)
    return first if np.dot(mean, mean) < CANCELLED**2 * np.dot(first, first) else mean


def _is_truncated(file: soundfile.SoundFile, n_source: int) -> bool:
    log = file.extra_info
    claims = [(int(claimed), int(actual)) for claimed, actual in CLAIM.findall(log)]
    falls_short = any(actual < claimed != STREAMED for claimed, actual in claims)
    return falls_short or n_source < file.frames or OGG_CUT.search(log) is not None


def _check_samples(path: str | Path, source: np.ndarray, is_truncated: bool) -> None:
    if len(source) == 0:
        raise AudioError(path, "0 samples, the file is cut off" if is_truncated else "0 samples")
    peak = float(np.abs(source).max())  # NaN if any sample is
    if not np.isfinite(peak):
        raise AudioError(path, "NaN or infinite samples")
    if peak > MAX_PEAK:
        raise AudioError(path, f"peak of {peak:.3g}, where full scale is 1")


def _flags(source: np.ndarray, rate_hz: int) -> list[str]:
    magnitude = np.abs(source)
    is_silent = magnitude.max() < SILENT_PEAK
    found = {
        "short": len(source) < SHORT_S * rate_hz,
        "silent": is_silent,
        "dc": not is_silent and np.ptp(source) < SILENT_PEAK,
        "clipped": np.mean(magnitude >= FULL_SCALE) > CLIPPED_SHARE,
    }
    return [flag for flag, holds in found.items() if holds]
