"""The one place that decides how a file is decoded: by libsndfile, else by ffmpeg where it is installed.

libsndfile is checked for what it does not report: wrong headers, further recordings, missing ends, codecs that cannot
seek. What of a file is not read becomes a note.
"""

import itertools
import os
import re
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from fakevoice.audio import ffmpeg
from fakevoice.audio.containers import MAX_PIECES, Piece, find_pieces
from fakevoice.core.errors import AudioError

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
BLOCK_SAMPLES = 2**18  # over all channels; memory follows from it, not from what a header claims
LEAD_S = 1.0  # before a block of an MP3, whose frames need bytes of those before them, and are noise without these
COPIED = 2**20  # bytes
SAMPLE_BYTES = {
    "PCM_U8": 1, "PCM_S8": 1, "ALAW": 1, "ULAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
SET_RAW_START_OFFSET = 0x1090  # SFC_SET_RAW_START_OFFSET of sndfile.h; soundfile has no method for it
UNKNOWN_FORMAT = 7  # libsndfile's code; it says "does not exist" of a file that is open
STREAMED = 2**32 - 1  # written by encoders into a pipe, which could not know the length
UNKNOWN_FRAMES = 2**63 - 1

# libsndfile clips what it reads to the file's end without an error, and tells only its log.
CLAIM = re.compile(r"(?:RIFF|riff|Riff size|FORM|data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)")
CUT_OFF = re.compile(r"Ogg ?: (?:Last page lacks an end-of-stream bit|Junk after)|Seems to be a truncated file")


class Opened(NamedTuple):
    """A file that is being decoded.

    Attributes:
        file: all of its recordings, one after the other.
        notes: what of it is not read, or read although its header does not say so.
        path: the file that libsndfile reads; another one where ffmpeg decoded it.
    """

    file: "soundfile.SoundFile | Joined"
    notes: tuple[str, ...]
    path: Path


@contextmanager
def opened(path: Path, converted: Path | None = None, most_s: float | None = None) -> Iterator[Opened]:
    """A file of any format, by libsndfile or, where that cannot, by ffmpeg. The content decides, not the name.

    Args:
        converted: where ffmpeg writes what it decodes, for a recording that is read several times; removed at the end
            if None.
        most_s: of what ffmpeg decodes, the rest is left out.

    Raises:
        AudioError: missing, unreadable, not audio, or an impossible header; also of what is decoded while it is open.
    """
    with ExitStack() as stack:
        try:
            found = stack.enter_context(_by_libsndfile(path))
        except Undecodable as error:
            if converted is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fakevoice-"))
                converted = Path(folder) / "decoded.wav"
            note = _by_ffmpeg(path, converted, most_s, error)
            found = stack.enter_context(_by_libsndfile(converted))
            found = found._replace(notes=(*filter(None, [note]), *found.notes))
        with _named_errors(path):
            yield found


class Undecodable(AudioError):
    """libsndfile cannot open a file; ffmpeg may."""


def _by_ffmpeg(path: Path, target: Path, most_s: float | None, why: Undecodable) -> str:
    """Decode a file to `target`; what of it is missing, or nothing."""
    with path.open("rb") as handle:
        is_known = ffmpeg.is_known(handle.read(16))
    try:
        if is_known or ffmpeg.has_ffmpeg():
            return ffmpeg.decode_to_wav(path, target, most_s)
    except AudioError as error:
        if is_known:
            raise
        raise AudioError(path, why.reason) from error
    raise AudioError(path, why.reason)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be decoded: {_said(error)}") from error
    except OSError as error:
        raise AudioError(path, error.strerror or type(error).__name__) from error


def _said(error: soundfile.LibsndfileError) -> str:
    if error.code == UNKNOWN_FORMAT:
        return "Format not recognised."
    return error.error_string or f"libsndfile error {error.code}"


@contextmanager
def _by_libsndfile(path: Path) -> Iterator[Opened]:
    with ExitStack() as stack:
        with _named_errors(path):
            handle = stack.enter_context(_open_regular(path))
            status = os.fstat(handle.fileno())
            pieces = _pieces(path, status.st_size, status.st_mtime_ns)
        try:
            found = _open_pieces(path, handle, pieces, stack)
        except soundfile.LibsndfileError as error:
            raise Undecodable(path, f"cannot be decoded: {_said(error)}") from error
        check_header(path, found.file)
        yield found


@lru_cache(maxsize=4096)
def _pieces(path: Path, size: int, modified_ns: int) -> tuple[Piece, ...]:
    """`find_pieces`, once for all parts of a recording; size and time tell whether the file is still the same."""
    with path.open("rb") as file:
        return tuple(find_pieces(file, size))


def _open_pieces(path: Path, handle: BinaryIO, pieces: tuple[Piece, ...], stack: ExitStack) -> Opened:
    """All recordings of a file that can be played one after the other.

    Raises:
        LibsndfileError: the first one cannot be opened.
    """
    if len(pieces) == 1:
        file = stack.enter_context(_open_piece(handle, pieces[0], is_whole=True))
        return Opened(file, _header_notes(pieces[0], file), path)
    files: list[soundfile.SoundFile] = []
    n_frames: list[int] = []
    notes: list[str] = []
    for number, piece in enumerate(pieces, 1):
        if number > MAX_PIECES:
            notes.append(f"only the first {number - 1} recordings in the file were read")
            break
        try:
            file = stack.enter_context(_open_piece(handle, piece, is_whole=False))
            n_read = file.frames
            if not reaches(file, n_read):
                n_read = count_frames(stack.enter_context(_open_piece(handle, piece, is_whole=False)))
                file = stack.enter_context(_open_piece(handle, piece, is_whole=False))
        except soundfile.LibsndfileError as error:
            if not files:
                raise
            why = f"recording {number} of {len(pieces)} in it cannot be decoded ({_said(error).rstrip('.')})"
        else:
            first = files[0] if files else file
            if (file.samplerate, file.channels) == (first.samplerate, first.channels):
                files.append(file)
                n_frames.append(n_read)
                notes += _header_notes(piece, file)
                if n_read < file.frames or (number < len(pieces) and claims_more(file)):
                    notes.append(f"recording {number} of {len(pieces)} in the file is cut off")
                continue
            why = f"recording {number} of {len(pieces)} in it has another sample rate or number of channels"
        read_s = sum(n_frames) / files[0].samplerate
        notes.append(f"only the first {read_s:.1f} s of the file were read: {why}")
        break
    return Opened(Joined(files, n_frames), tuple(notes), path)


def _header_notes(piece: Piece, file: soundfile.SoundFile) -> tuple[str, ...]:
    if not piece.layout:
        return ()
    read_s = file.frames / file.samplerate
    return (f"the header claims {piece.claimed_s:.1f} s, all {read_s:.1f} s up to the end of the file were read",)


def _open_piece(handle: BinaryIO, piece: Piece, *, is_whole: bool) -> soundfile.SoundFile:
    """By descriptor: libsndfile sees no extension to be misled by, and a signal does not reach a Python callback."""
    if piece.layout:
        file = soundfile.SoundFile(os.dup(handle.fileno()), format="RAW", **piece.layout)
        offset = soundfile._ffi.new("sf_count_t*", piece.start)
        soundfile._snd.sf_command(file._file, SET_RAW_START_OFFSET, offset, soundfile._ffi.sizeof("sf_count_t"))
        file._info.frames = (piece.end - piece.start) // (file.channels * SAMPLE_BYTES[file.subtype])
        file.seek(0)
        return file
    if is_whole and not piece.prefix:
        return soundfile.SoundFile(handle.fileno(), closefd=False)
    with tempfile.TemporaryFile() as copy:
        copy.write(piece.prefix)
        handle.seek(piece.start)
        left = piece.end - piece.start
        while block := handle.read(min(left, COPIED)):
            copy.write(block)
            left -= len(block)
        copy.seek(0)
        return soundfile.SoundFile(os.dup(copy.fileno()))


class Joined:
    """Recordings of one rate and number of channels as one file, with the methods of `SoundFile` that are used here."""

    subtype = ""

    def __init__(self, files: list[soundfile.SoundFile], n_frames: list[int]):
        self.files = files
        self.samplerate, self.channels = files[0].samplerate, files[0].channels
        self.starts = [0, *itertools.accumulate(n_frames)]
        self.frames = self.starts[-1]
        self.extra_info = files[-1].extra_info
        self.position = 0

    def seekable(self) -> bool:
        """Whether each of them is."""
        return all(file.seekable() for file in self.files)

    def tell(self) -> int:
        """The frame that is read next."""
        return self.position

    def seek(self, frame: int) -> int:
        """Go to a frame."""
        self.position = frame
        return frame

    def read(self, n_frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next frames, (n, n_channels); fewer at the end."""
        blocks = [np.zeros((0, self.channels), dtype)]
        for file, start, end in zip(self.files, self.starts, self.starts[1:], strict=False):
            if n_frames > 0 and start <= self.position < end:
                if file.tell() != self.position - start:
                    file.seek(self.position - start)
                block = _read_on(file, min(n_frames, end - self.position))
                blocks.append(block)
                self.position += len(block)
                n_frames -= len(block)
        return np.concatenate(blocks)


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
        raise Undecodable(path, "the header does not say how many samples there are; encode it again into a file")


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
        notes: of the opened file.
        max_kept: samples over all channels that are kept; a part that needs older ones is decoded again. 0 keeps only
            the last block.
    """

    def __init__(self, file: "soundfile.SoundFile | Joined", notes: tuple[str, ...], max_kept: int = 0):
        self.file = file
        self.notes = notes
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
