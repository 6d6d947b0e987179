"""From an audio file to a mono waveform; what is wrong with the file is said, never guessed away.

libsndfile decodes (the content decides the format, not the extension), soxr resamples. Files of a mirror are fetched
when they are opened.
"""

import io
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr

from fakevoice import mirror
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
PART = re.compile(r"#t=([0-9]{1,9}(?:\.[0-9]*)?),([0-9]{1,9}(?:\.[0-9]*)?)$")
Mono = Literal["mean", "first", "loudest"]


@dataclass(frozen=True, eq=False)
class Recording:
    """One decoded file.

    Attributes:
        waveform: (n_samples,) float32, mono at the rate that was asked for, at least one sample.
        source_rate_hz: sample rate of the file.
        n_channels: channels of the file.
        source_duration_s: length of the file or of the part that was asked for, also where the waveform is cut.
        flags: any of truncated, cut, short, silent, dc, clipped.
    """

    waveform: np.ndarray
    source_rate_hz: int
    n_channels: int
    source_duration_s: float
    flags: tuple[str, ...]


def read_audio(
    path: str | Path, sample_rate_hz: int, max_duration_s: float = 30.0, *, mono: Mono = "mean"
) -> Recording:
    """Decode one file, or a part of it, to a mono waveform.

    Args:
        path: a file in any format that libsndfile reads; with a fragment, the part that `split_part` finds.
        sample_rate_hz: rate of the result.
        max_duration_s: the rest is not read, and the recording is flagged "cut".
        mono: "mean" averages the channels, and takes the first one where the average cancels
            (left = -right); "first" takes the first, "loudest" the one of most energy.

    Raises:
        AudioError: missing, unreadable, not audio, damaged, no samples, an impossible sample rate,
            NaN or infinite samples, or a part that begins after the end.
    """
    file_path, part_s = split_part(path)
    with _opened(file_path) as file:
        return _decoded(path, file, part_s, sample_rate_hz, max_duration_s, mono)


def read_pcm(samples: bytes, source_rate_hz: int, n_channels: int, sample_rate_hz: int, *, mono: Mono) -> Recording:
    """Raw 16-bit little-endian samples, channels taking turns, as `read_audio` reads them from a WAV file.

    Raises:
        AudioError: no samples, or an impossible sample rate.
    """
    layout = {"samplerate": source_rate_hz, "channels": n_channels, "subtype": "PCM_16", "endian": "LITTLE"}
    name = f"raw samples at {source_rate_hz} Hz"
    try:
        with soundfile.SoundFile(io.BytesIO(samples), format="RAW", **layout) as file:
            _check_header(name, file)
            return _decoded(name, file, None, sample_rate_hz, len(samples), mono)
    except soundfile.LibsndfileError as error:
        raise AudioError(name, error.error_string) from error


def _decoded(
    path: str | Path,
    file: soundfile.SoundFile,
    part_s: tuple[float, float] | None,
    sample_rate_hz: int,
    max_duration_s: float,
    mono: Mono,
) -> Recording:
    rate_hz, n_channels = file.samplerate, file.channels
    n_asked, n_there = _seek(path, file, part_s)
    n_kept = max(1, int(max_duration_s * rate_hz))
    source = _read_mono(file, min(n_kept + 1, n_asked), mono)
    is_cut = len(source) > n_kept
    n_source = min(n_asked, n_there) if is_cut else len(source)
    is_truncated = n_source < min(n_asked, n_there) or (n_asked > n_there and _claims_more(file))
    source = source[:n_kept]
    magnitude = np.abs(source)
    peak = _checked_peak(path, magnitude, is_truncated)
    flags = (*("truncated",) * is_truncated, *("cut",) * is_cut, *_flags(source, magnitude, peak, rate_hz))
    waveform = resample(source, rate_hz, sample_rate_hz)
    return Recording(waveform, rate_hz, n_channels, n_source / rate_hz, flags)


def split_part(path: str | Path) -> tuple[Path, tuple[float, float] | None]:
    """The file of a clip, and which part of it: ``a.wav#t=12,13.5`` lasts from second 12 to second 13.5.

    Returns:
        The path without the fragment, and start and end in seconds; None for a whole file, as is every
        path without a fragment and every file that really has such a name.

    Source: W3C, Media Fragments URI 1.0, section 4.2.1 (temporal dimension, normal play time in seconds).
    """
    found = PART.search(str(path))
    if found is None or mirror.exists(Path(path)):
        return Path(path), None
    return Path(str(path)[: found.start()]), (float(found[1]), float(found[2]))


def measure_length(path: str | Path) -> tuple[int, int]:
    """Frames of a whole file by its header, as far as the file goes, and their rate in Hz; nothing is decoded.

    Raises:
        AudioError: missing, unreadable, not audio, or an impossible header.
    """
    with _opened(Path(path)) as file:
        return file.frames, file.samplerate


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


def find_audio(folder: str | Path, extensions: frozenset[str] = EXTENSIONS) -> list[Path]:
    """All audio files below a folder, by extension in any case, sorted by path.

    Links to folders are followed, except back into a folder that is being walked.

    Args:
        extensions: in lower case, with the dot.

    Raises:
        DataError: the folder or one below it is missing or unreadable.
    """
    folder = Path(folder)
    try:
        found = mirror.files_below(folder) or _walk(folder, frozenset())
        return sorted(path for path in found if path.suffix.lower() in extensions)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from error


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, above | {here})
        else:
            yield path


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        # By descriptor, so that libsndfile sees no extension to be misled by.
        with (
            mirror.opening(path, _open_regular) as handle,
            soundfile.SoundFile(handle.fileno(), closefd=False) as file,
        ):
            _check_header(path, file)
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(
            path, f"cannot be decoded: {error.error_string or f'libsndfile error {error.code}'}"
        ) from error
    except OSError as error:
        raise AudioError(path, error.strerror or type(error).__name__) from error


def _open_regular(path: Path) -> BinaryIO:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise AudioError(path, "not a regular file")
    if status.st_size == 0:
        raise AudioError(path, "0 bytes")
    return path.open("rb")


def _check_header(path: str | Path, file: soundfile.SoundFile) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioError(path, f"impossible sample rate of {file.samplerate} Hz")
    if file.frames == UNKNOWN_FRAMES:  # libsndfile decodes such a FLAC, then fails to find its end
        raise AudioError(path, "the header does not say how many samples there are; encode it again into a file")


def _seek(path: str | Path, file: soundfile.SoundFile, part_s: tuple[float, float] | None) -> tuple[int, int]:
    """Go to the start of a part; how many frames it asks for, and how many there are from there to the end."""
    if part_s is None:
        return UNKNOWN_FRAMES, file.frames
    start, end = (round(second * file.samplerate) for second in part_s)
    if end <= start:
        raise AudioError(path, "the part ends where it begins or before that")
    if start and start >= file.frames:
        raise AudioError(path, f"the part begins after the end, which is at {file.frames / file.samplerate:.3f} s")
    file.seek(start)
    return end - start, file.frames - start


@np.errstate(over="ignore", invalid="ignore")  # samples that are no numbers are refused afterwards
def _read_mono(file: soundfile.SoundFile, n_frames: int, mono: Mono) -> np.ndarray:
    channel = _loudest(file, n_frames) if mono == "loudest" and file.channels > 1 else 0
    ones, means = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for block in _blocks(file, n_frames):
        ones.append(block[:, channel].copy() if file.channels > 1 else block[:, 0])
        if file.channels > 1 and mono == "mean":
            means.append(block.mean(axis=1))
    one, mean = np.concatenate(ones), np.concatenate(means)
    return one if len(mean) == 0 or np.dot(mean, mean) < CANCELLED**2 * np.dot(one, one) else mean


def _loudest(file: soundfile.SoundFile, n_frames: int) -> int:
    """The channel of most energy; it is read twice, since memory must not grow with the channels."""
    start = file.tell()
    energy = np.zeros(file.channels)
    for block in _blocks(file, n_frames):
        energy += np.square(block, dtype=np.float64).sum(axis=0)
    file.seek(start)
    return int(energy.argmax())


def _blocks(file: soundfile.SoundFile, n_frames: int) -> Iterator[np.ndarray]:
    """Blocks (n, n_channels) float32 until `n_frames` are read or the file ends."""
    n_block = max(1, BLOCK_SAMPLES // file.channels)
    while n_frames > 0:
        block = file.read(min(n_block, n_frames), dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        yield block
        n_frames -= len(block)


def _claims_more(file: soundfile.SoundFile) -> bool:
    """Whether the header speaks of more than the file holds."""
    log = file.extra_info
    claims = [(int(claimed), int(actual)) for claimed, actual in CLAIM.findall(log)]
    return any(actual < claimed != STREAMED for claimed, actual in claims) or OGG_CUT.search(log) is not None


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
