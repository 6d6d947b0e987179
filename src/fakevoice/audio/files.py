"""Where audio lies: files below a folder, and the part of a file that a path may name."""

import os
import re
from pathlib import Path

from fakevoice.core import artifacts
from fakevoice.core.errors import DataError

# fmt: off
EXTENSIONS = frozenset({
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist",
})
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


def find_audio(folder: str | Path, extensions: frozenset[str] = EXTENSIONS) -> list[Path]:
    """All audio files below a folder, by extension in any case, sorted by path.

    Links are followed as in `artifacts.walk`.

    Args:
        extensions: in lower case, with the dot.

    Raises:
        DataError: the folder or one below it is missing or unreadable, or a name is not UTF-8.
    """
    folder = Path(folder)
    try:
        found = [Path(entry.path) for entry in artifacts.walk(folder)]
        paths = sorted(path for path in found if path.suffix.lower() in extensions)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from error
    for path in paths:
        check_name(path)
    return paths


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
