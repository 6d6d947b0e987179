"""Find audio: files below a folder, and the part of a file that a path may name."""

import codecs
import os
import re
from dataclasses import dataclass
from pathlib import Path

import soundfile

from fakevoice.audio import ffmpeg
from fakevoice.audio.containers import is_mp3_frame
from fakevoice.audio.messages import HIDDEN, NOT_AUDIO, UNKNOWN
from fakevoice.core import artifacts
from fakevoice.core.errors import DataError

# fmt: off
EXTENSIONS = ffmpeg.EXTENSIONS | {
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist",
}
DOCUMENTS = frozenset({".csv", ".txt", ".json", ".pdf", ".png", ".jpg", ".jpeg", ".zip", ".gz", ".npy", ".db"})
HEAD = 1024  # bytes that tell a format
# First bytes (offset, value) of formats that libsndfile reads.
MAGIC = (
    (8, b"WAVE"), (0, b"fLaC"), (0, b"OggS"), (0, b"ID3"), (8, b"AIFF"), (8, b"AIFC"), (0, b".snd"), (0, b"caff"),
    (0, b"riff\x2e\x91"), (0, b"Creative Voice"), (0, b"NIST_1A"),
)
# fmt: on
PART = re.compile(r"#t=([0-9]{1,9}(?:\.[0-9]*)?),([0-9]{1,9}(?:\.[0-9]*)?)$")


def split_part(path: str | Path) -> tuple[Path, tuple[float, float] | None]:
    """The file of a clip, and which part of it: ``a.wav#t=12,13.5`` lasts from second 12 to second 13.5.

    Returns:
        The path without the fragment, and start and end in seconds; None for a whole file, as is every
        path without a fragment and every file that really has such a name.

    Source: W3C, Media Fragments URI 1.0, section 4.2.1 (temporal dimension, normal play time in seconds).
    """
    found = PART.search(str(path))
    if found is None or os.path.exists(path):
        return Path(path), None
    return Path(str(path)[: found.start()]), (float(found[1]), float(found[2]))


@dataclass(frozen=True)
class Found:
    """The files below a folder.

    Attributes:
        audio: recordings, sorted by path; also those that only ffmpeg reads, or that turn out to be damaged.
        skipped: all other files by path, with what `messages.count_reasons` counts them as.
    """

    audio: list[Path]
    skipped: dict[Path, str]


def scan_folder(folder: str | Path) -> Found:
    """Sort the files below a folder into recordings and others.

    A known extension, in any case, is taken at its word; all other files are recordings if their first bytes are those
    of an audio format. Hidden files (``._a.wav``) and folders, and ``__MACOSX``, are skipped. Links are followed as in
    `artifacts.walk`.

    Raises:
        DataError: the folder or one below it is missing or unreadable, or the name of a recording is not UTF-8.
    """
    folder = Path(folder)
    try:
        paths = sorted(Path(entry.path) for entry in artifacts.walk(folder))
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from error
    audio, skipped = [], {}
    for path in paths:
        if any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts):
            skipped[path] = HIDDEN
        elif why := _why_skipped(path):
            skipped[path] = why
        else:
            check_name(path)
            audio.append(path)
    return Found(audio, skipped)


def find_audio(folder: str | Path) -> list[Path]:
    """The recordings of `scan_folder`."""
    return scan_folder(folder).audio


def _why_skipped(path: Path) -> str:
    """Nothing for a recording; else what `messages.count_reasons` counts the file as."""
    extension = path.suffix.lower()
    if extension in EXTENSIONS:
        return ""
    if extension in DOCUMENTS or not path.is_file():
        return NOT_AUDIO
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return UNKNOWN
    if ffmpeg.is_known(head) or is_mp3_frame(head) or any(head[at : at + len(value)] == value for at, value in MAGIC):
        return ""
    if _is_text(head):
        return NOT_AUDIO
    return "" if _opens(path) else UNKNOWN


def _opens(path: Path) -> bool:
    """Whether libsndfile knows the format, of the many that begin with no certain bytes."""
    try:
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            return sound.frames > 0
    except (soundfile.LibsndfileError, OSError):
        return False


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a character may be cut at the end
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def check_name(path: Path) -> None:
    """Raise if a name cannot be written into a table, as those of an archive that was packed elsewhere.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise DataError(f"{shown}: the name is not UTF-8: unpack with the encoding it was packed with") from error
