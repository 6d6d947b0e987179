"""Find the recordings within one file that libsndfile would skip: joined files, and headers that claim too little.

libsndfile reads the first recording of a file as far as its header says, and ignores whatever follows. Nothing is
decoded here, only headers and markers are read.
"""

import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

MAX_PIECES = 200  # each is an open file while it is read
BLOCK = 2**20  # bytes read at once in search of a marker
LEAST_MP3 = 1500  # bytes; fewer before or behind an MP3 are tags, padding or a single frame
LEAST_S = 0.05  # of sound; fewer bytes behind the samples are padding
STREAMED = 2**32 - 1  # size written by encoders into a pipe, which could not know the length
OGG_START = b"OggS\x00\x02"  # page header: version 0, first page of a stream
FLAC_START = b"fLaC\x00\x00\x00\x22"
SUBTYPES = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32", (3, 32): "FLOAT", (3, 64): "DOUBLE",
    (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
EXTENSIBLE = 0xFFFE
MP3_KBIT_S = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
}
AU_SUBTYPES = {
    1: ("ULAW", 1), 2: ("PCM_S8", 1), 3: ("PCM_16", 2), 4: ("PCM_24", 3), 5: ("PCM_32", 4), 6: ("FLOAT", 4),
    7: ("DOUBLE", 8), 27: ("ALAW", 1),
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One recording within a file: its bytes from `start` to before `end`.

    Attributes:
        layout: where the header claims too little, what `soundfile.SoundFile` must know to read the bytes as samples
            without a header.
        claimed_s: what the header claims then.
        prefix: bytes to put in front, where a header is missing without which the length is guessed.
    """

    start: int
    end: int
    layout: dict[str, Any] | None = None
    claimed_s: float = 0.0
    prefix: bytes = b""


def find_pieces(file: BinaryIO, size: int) -> list[Piece]:
    """The recordings in a file of `size` bytes, in order; one of all bytes where nothing would be skipped.

    There are at most `MAX_PIECES` + 1, so that who reads them knows that there are more.
    """
    head = _at(file, 0, 12)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        pieces = list(itertools.islice(_wav_pieces(file, size), MAX_PIECES + 1))
    elif head[:4] == b".snd":
        pieces = [_au_piece(file, size)]
    elif head[:4] == b"OggS":
        pieces = _between(_ogg_starts(file, size), size)
    elif head[:4] == b"fLaC":
        later = (start for start in _find(file, size, FLAC_START) if start)
        pieces = _between([0, *itertools.islice(later, MAX_PIECES)], size)
    elif head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        pieces = [_with_mp3_header(file, piece) for piece in _between(_mp3_starts(file, size), size)]
    else:
        pieces = []
    return pieces[: MAX_PIECES + 1] or [Piece(0, size)]


def _at(file: BinaryIO, position: int, n_bytes: int) -> bytes:
    file.seek(position)
    return file.read(n_bytes)


def _find(file: BinaryIO, size: int, marker: bytes) -> Iterator[int]:
    """Every position of a marker."""
    overlap = len(marker) - 1
    for start in range(0, size, BLOCK):
        block = _at(file, start, BLOCK + overlap)
        at = block.find(marker)
        while at >= 0:
            yield start + at
            at = block.find(marker, at + 1)


def _between(starts: list[int], size: int) -> list[Piece]:
    return [Piece(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]


# Ogg: streams that run at the same time begin with neighbouring pages, chained ones elsewhere.


def _ogg_starts(file: BinaryIO, size: int) -> list[int]:
    """Source: RFC 3533, section 4 (chained and grouped streams) and 6 (the page header)."""
    starts, group_end = [], -1
    for start in _find(file, size, OGG_START):
        header = _at(file, start, 27 + 255)
        if len(header) < 27 or header[18:22] != bytes(4):  # page numbers begin at 0
            continue
        if start != group_end:
            starts.append(start)
            if len(starts) > MAX_PIECES:
                break
        n_segments = header[26]
        group_end = start + 27 + n_segments + sum(header[27 : 27 + n_segments])
    return [0, *starts[1:]]


# MP3: frames follow each other, but a header in the first one says where the recording ends.


def _mp3_starts(file: BinaryIO, size: int) -> list[int]:
    """Where recordings begin: at frames with a header (Xing, Info), and where such a header says that it ends."""
    first = _id3_end(file, 0)
    headers = sorted(itertools.islice(_mp3_headers(file, size), MAX_PIECES))
    starts = [0]
    for number, (frame, n_bytes) in enumerate(headers):
        if frame > first + LEAST_MP3:
            starts.append(frame)
        following = headers[number + 1][0] if number + 1 < len(headers) else size
        end = frame + n_bytes
        if n_bytes and end + LEAST_MP3 < following and is_mp3_frame(_at(file, _id3_end(file, end), 4)):
            starts.append(end)
    return starts


def _mp3_headers(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Position of each frame with a header, and how many bytes it gives the recording; 0 if it does not say.

    Source: Xing's VBR header: behind the side information; flags in 4 bytes, then frames and bytes where flags say so.
    """
    for marker in (b"Xing", b"Info"):
        for at in _find(file, size, marker):
            for distance in (36, 21, 13):  # 4 bytes of header and the side information
                if at >= distance and is_mp3_frame(header := _at(file, at - distance, 4)):
                    if distance != _xing_distance(header):
                        continue
                    (flags,) = struct.unpack(">I", _at(file, at + 4, 4).ljust(4, b"\0"))
                    place = at + 8 + (4 if flags & 1 else 0)
                    (n_bytes,) = struct.unpack(">I", _at(file, place, 4).ljust(4, b"\0")) if flags & 2 else (0,)
                    yield at - distance, n_bytes


def _with_mp3_header(file: BinaryIO, piece: Piece) -> Piece:
    """A recording with a variable bit rate and no header gets one, since its length does not follow from its size."""
    position = _id3_end(file, piece.start)
    if any(abs(frame - position) <= LEAST_MP3 for frame, _ in _mp3_headers(file, piece.end)):
        return piece
    n_frames, largest, rates = 0, b"", set()
    while is_mp3_frame(header := _at(file, position, 4)) and position < piece.end:
        n_frames += 1
        rates.add(header[2] >> 4)
        largest = header if not largest or header[2] >> 4 > largest[2] >> 4 else largest
        position += _mp3_frame_bytes(header)
    if len(rates) < 2 or position + LEAST_MP3 < piece.end:
        return piece
    header = bytes([largest[0], largest[1] | 1, *largest[2:]])  # without a checksum
    frame = header.ljust(_xing_distance(header), b"\0") + b"Xing" + struct.pack(">II", 1, n_frames)
    return replace(piece, prefix=frame.ljust(_mp3_frame_bytes(header), b"\0"))


def _mp3_frame_bytes(header: bytes) -> int:
    """Source: ISO/IEC 11172-3, section 2.4.2.3: samples of a frame / 8 · bit rate / sample rate, and a padding byte."""
    is_mpeg1 = header[1] & 0x18 == 0x18
    divisor = {0x18: 1, 0x10: 2, 0x00: 4}[header[1] & 0x18]
    rate_hz = (44_100, 48_000, 32_000)[header[2] >> 2 & 3] // divisor
    kbit_s = MP3_KBIT_S[is_mpeg1][(header[2] >> 4) - 1]
    return (144 if is_mpeg1 else 72) * 1000 * kbit_s // rate_hz + (header[2] >> 1 & 1)


def is_mp3_frame(header: bytes) -> bool:
    """Whether these 4 bytes begin a frame of layer III."""
    if len(header) < 4:
        return False
    is_sync = header[0] == 0xFF and header[1] & 0xE0 == 0xE0 and header[1] & 0x18 != 0x08
    return is_sync and header[1] & 0x06 == 0x02 and header[2] & 0xF0 not in (0, 0xF0) and header[2] & 0x0C != 0x0C


def _xing_distance(header: bytes) -> int:
    is_mpeg1, is_mono = header[1] & 0x18 == 0x18, header[3] & 0xC0 == 0xC0
    if is_mpeg1:
        return 21 if is_mono else 36
    return 13 if is_mono else 21


def _id3_end(file: BinaryIO, position: int) -> int:
    """Where an ID3v2 tag ends that begins here; `position` if there is none."""
    header = _at(file, position, 10)
    if len(header) < 10 or header[:3] != b"ID3":
        return position
    n_bytes = 0
    for byte in header[6:10]:  # 7 bits each
        n_bytes = n_bytes << 7 | byte & 0x7F
    return position + 10 + n_bytes


# WAV: chunks with their sizes; whoever writes one fills in the sizes at the end.


def _wav_pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    start = 0
    while start < size:
        piece = _wav_piece(file, start, size)
        yield piece
        start = piece.end


def _wav_piece(file: BinaryIO, start: int, size: int) -> Piece:
    """The WAV that begins at `start`; it ends where another one begins."""
    position, form, n_data64 = start + 12, b"", 0
    while position + 8 <= size:
        name, n_bytes = struct.unpack("<4sI", _at(file, position, 8))
        if name in (b"RIFF", b"RF64", b"BW64") and _at(file, position + 8, 4) == b"WAVE":
            return Piece(start, position)
        begin = position + 8
        if name == b"fmt ":
            form = _at(file, begin, min(n_bytes, 40))
        if name == b"ds64":
            n_data64 = int.from_bytes(_at(file, begin + 8, 8), "little")
        if name == b"data":
            n_bytes = n_data64 if n_bytes == STREAMED and n_data64 else n_bytes
            if n_bytes == STREAMED or begin + n_bytes >= size:
                break  # up to the end of the file, or cut off
            is_padded = _is_chunk(file, begin + n_bytes + n_bytes % 2, size)
            if not is_padded and not _is_chunk(file, begin + n_bytes, size):
                return _unclosed(form, start, begin, n_bytes, size)
            position = begin + n_bytes + (n_bytes % 2 if is_padded else 0)
        elif _is_chunk(file, position, size):
            position = begin + n_bytes + n_bytes % 2
        else:
            break
    return Piece(start, size)


def _is_chunk(file: BinaryIO, position: int, size: int) -> bool:
    """Whether a chunk begins here that fits into the file, or another WAV."""
    header = _at(file, position, 8)
    if len(header) < 8 or not re.fullmatch(rb"[A-Za-z0-9 _\-.]{4}", header[:4]):
        return False
    return header[:4] in (b"RIFF", b"RF64", b"BW64") or position + 8 + int.from_bytes(header[4:], "little") <= size + 1


def _unclosed(form: bytes, start: int, begin: int, claimed: int, size: int) -> Piece:
    """A WAV whose samples go on behind what its header claims."""
    if len(form) < 16:
        return Piece(start, size)
    tag, n_channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack("<H", form[24:26])
    subtype = SUBTYPES.get((tag, bits))
    frame = n_channels * bits // 8
    if subtype is None or not frame or size - begin - claimed < LEAST_S * rate_hz * frame:
        return Piece(start, size)
    layout = {"samplerate": rate_hz, "channels": n_channels, "subtype": subtype, "endian": "LITTLE"}
    return Piece(begin, size, layout, claimed / frame / max(1, rate_hz))


def _au_piece(file: BinaryIO, size: int) -> Piece:
    """An AU file; it has no chunks, so all bytes behind its header are samples."""
    header = _at(file, 0, 24)
    if len(header) < 24:
        return Piece(0, size)
    begin, claimed, encoding, rate_hz, n_channels = struct.unpack(">5I", header[4:])
    subtype, n_bytes = AU_SUBTYPES.get(encoding, ("", 0))
    frame = n_channels * n_bytes
    if claimed == STREAMED or not frame or begin >= size or size - begin - claimed < LEAST_S * rate_hz * frame:
        return Piece(0, size)
    layout = {"samplerate": rate_hz, "channels": n_channels, "subtype": subtype, "endian": "BIG"}
    return Piece(begin, size, layout, claimed / frame / max(1, rate_hz))
