"""libsndfile, held to what it does not say: headers that lie, ends that are missing, codecs that cannot seek.

The content decides the format, not the extension.
"""

import re
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from fakevoice.core.errors import AudioError

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
BLOCK_SAMPLES = 2**18  # over all channels; memory follows from it, not from what a header claims
LEAD_S = 1.0  # before a block of an MP3, whose frames need bytes of those before them, and are noise without these
UNKNOWN_FORMAT = 7  # libsndfile's code; it says "does not exist" of a file that is open
STREAMED = 2**32 - 1  # written by encoders into a pipe, which could not know the length
UNKNOWN_FRAMES = 2**63 - 1

# libsndfile clips what it reads to the file's end without an error, and tells only its log.
CLAIM = re.compile(r"(?:RIFF|riff|Riff size|FORM|data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)")
CUT_OFF = re.compile(r"Ogg: (?:Last page lacks an end-of-stream bit|Junk after)|Seems to be a truncated file")


@contextmanager
def opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """A file whose header is possible.

    Raises:
        AudioError: missing, unreadable, not audio, or an impossible header; also of what is decoded while it is open.
    """
    try:
        # By descriptor, so that libsndfile sees no extension to be misled by.
        with (
            _open_regular(path) as handle,
            soundfile.SoundFile(handle.fileno(), closefd=False) as file,
        ):
            check_header(path, file)
            yield file
    except soundfile.LibsndfileError as error:
        why = error.error_string or f"libsndfile error {error.code}"
        why = "Format not recognised." if error.code == UNKNOWN_FORMAT else why
        raise AudioError(path, f"cannot be decoded: {why}") from error
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


def check_header(path: str | Path, file: soundfile.SoundFile) -> None:
    """Raise AudioError where the header claims what cannot be."""
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioError(path, f"impossible sample rate of {file.samplerate} Hz")
    if file.frames == UNKNOWN_FRAMES:  # libsndfile decodes such a FLAC, then fails to find its end
        raise AudioError(path, "the header does not say how many samples there are; encode it again into a file")


def frames_of_part(path: str | Path, file: soundfile.SoundFile, part_s: tuple[float, float] | None) -> tuple[int, int]:
    """The first frame of a part and the frame after its last one; the whole file is a part without an end.

    Raises:
        AudioError: the part is empty, or starts after the end of the file.
    """
    if part_s is None:
        return 0, UNKNOWN_FRAMES
    start, end = (round(second * file.samplerate) for second in part_s)
    if end <= start:
        raise AudioError(path, "the part ends where it begins or before that")
    if start and start >= file.frames:
        raise AudioError(path, f"the part begins after the end, which is at {file.frames / file.samplerate:.3f} s")
    return start, end


class ForwardReader:
    """Decodes a file forwards, and keeps what was decoded, so that overlapping parts are decoded once.

    Args:
        max_kept: samples over all channels that are kept; a part that needs older ones is decoded again. 0 keeps only
            the last block.
    """

    def __init__(self, file: soundfile.SoundFile, max_kept: int = 0):
        self.file = file
        self.max_kept = max_kept
        self.kept: deque[tuple[int, np.ndarray]] = deque()  # first frame, block (n, n_channels), without gaps
        self.position = 0

    def can_read(self, start: int) -> bool:
        """Whether frame `start` can be reached; some codecs, such as GSM 6.10, cannot seek back."""
        return self.file.seekable() or start >= (self.kept[0][0] if self.kept else self.position)

    def forget_before(self, start: int) -> None:
        """Drop the blocks that end before frame `start`."""
        while self.kept and self.kept[0][0] + len(self.kept[0][1]) <= start:
            self.kept.popleft()

    def blocks(self, start: int, n_frames: int) -> Iterator[np.ndarray]:
        """Blocks (n, n_channels) float32 from frame `start` until `n_frames` are read or the file ends."""
        while n_frames > 0:
            block = self._block_at(start, n_frames)[:n_frames]
            if len(block) == 0:
                return
            yield block
            start += len(block)
            n_frames -= len(block)

    def _block_at(self, start: int, n_frames: int) -> np.ndarray:
        for first, block in self.kept:
            if first <= start < first + len(block):
                return block[start - first :]
        if start != self.position:
            self.kept.clear()
            self._go_to(start)
        block = _read_on(self.file, min(n_frames, max(1, BLOCK_SAMPLES // self.file.channels)))
        self.position = start + len(block)
        self.kept.append((start, block))
        while len(self.kept) > 1 and sum(kept.size for _, kept in self.kept) > self.max_kept:
            self.kept.popleft()
        return block

    def _go_to(self, frame: int) -> None:
        if self.file.seekable():
            self.file.seek(frame)
        else:
            for _ in blocks(self.file, frame - self.position):
                pass


def reaches(file: soundfile.SoundFile, n_frames: int) -> bool:
    """Whether there are as many frames: what FLAC, MP3 and SDS claim, libsndfile holds against nothing."""
    if n_frames == 0 or not file.seekable():
        return True
    try:
        file.seek(n_frames - 1)
        return len(file.read(1)) == 1
    except (soundfile.LibsndfileError, ValueError):  # the latter where it went further than there are frames
        return False


def count_frames(file: soundfile.SoundFile) -> int:
    """Frames from here up to the end or to where the file is damaged."""
    n_frames = 0
    with suppress(soundfile.LibsndfileError):
        for block in blocks(file, UNKNOWN_FRAMES):
            n_frames += len(block)
    return n_frames


def blocks(file: soundfile.SoundFile, n_frames: int) -> Iterator[np.ndarray]:
    """Blocks (n, n_channels) float32 until `n_frames` are read or the file ends."""
    n_block = max(1, BLOCK_SAMPLES // file.channels)
    while n_frames > 0:
        block = _read_on(file, min(n_block, n_frames))
        if len(block) == 0:
            return
        yield block
        n_frames -= len(block)


def _read_on(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    """The next frames, (n, n_channels) float32.

    soundfile seeks after each read, and an MP3 begins with noise wherever it is sought: what comes before is read too.
    """
    n_lead = min(file.tell(), round(LEAD_S * file.samplerate)) if file.subtype.startswith("MPEG") else 0
    if n_lead:
        file.seek(file.tell() - n_lead)
    return file.read(n_lead + n_frames, dtype="float32", always_2d=True)[n_lead:]


def claims_more(file: soundfile.SoundFile) -> bool:
    """Whether the header speaks of more than the file holds."""
    log = file.extra_info
    claims = [(int(claimed), int(actual)) for claimed, actual in CLAIM.findall(log)]
    return any(actual < claimed != STREAMED for claimed, actual in claims) or CUT_OFF.search(log) is not None
