"""What is asked about: files, folders, lists and tables of recordings, here or at a URL."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fakevoice.audio.files import EXTENSIONS, check_name, find_audio
from fakevoice.audio.video import VIDEOS
from fakevoice.core import plugins, remote
from fakevoice.core.download import download
from fakevoice.core.errors import ConfigError, DataError
from fakevoice.core.names import find_path, similar_name
from fakevoice.core.paths import home

LISTED = "-"  # the word for paths on standard input


@dataclass(frozen=True)
class Source:
    """One recording.

    Attributes:
        id: its name in the results.
        is_clip: a clip of a table, of which the line hears its beginning, whatever its length.
    """

    id: str
    path: Path
    is_clip: bool = False


def list_sources(arguments: list[str], cache_gb: float = 50.0) -> list[Source]:
    """Everything that was asked for, in the order given.

    A CSV has id and path, relative to its folder; a folder gives all audio files and videos below it; the id of a
    plain file is its name without folder and extension. ``-`` stands for paths on standard input, one in a line. Files
    and folders at a URL are downloaded first.

    Args:
        cache_gb: largest download, in 10⁹ bytes.

    Raises:
        ConfigError: a password in a URL.
        RemoteError: a URL cannot be read, or its files are larger than `cache_gb`.
        DataError: a path that does not exist or is not UTF-8, nothing to score, or an id that stands twice.
    """
    asked = [word for argument in arguments for word in (_listed() if argument == LISTED else [argument])]
    sources = [source for word in asked for source in _expand(_local(word, cache_gb))]
    if not sources:
        raise DataError(f"no audio files in {', '.join(arguments)}")
    ids = pd.Series([source.id for source in sources])
    if ids.duplicated().any():
        twice = ids[ids.duplicated()].iloc[0]
        raise DataError(f"id {twice!r} stands twice: two files of one name? give a CSV with id,path instead")
    return sources


def _listed() -> list[str]:
    return [line for line in sys.stdin.read().splitlines() if line.strip()]


def _local(argument: str, cache_gb: float) -> Path:
    if not remote.is_url(argument):
        return Path(argument)
    if remote.password(argument):  # it would be in the shell's history
        raise ConfigError(f"{remote.shown(argument)}: no password here; give credentials through the environment")
    return download(home(), argument, cache_gb)


def _expand(given: Path) -> Iterator[Source]:
    path = find_path(given)
    if path.suffix.lower() == ".csv":
        table = plugins.load("datasets", "dacon").read_test(path)
        for clip, name in zip(table["id"], table["path"], strict=True):
            yield Source(clip, path.parent / name, is_clip=True)
    elif path.is_dir():
        yield from (Source(file.stem, file) for file in find_audio(path, EXTENSIONS | VIDEOS))
    elif os.path.exists(path):
        check_name(path)
        yield Source(path.stem, path)
    else:
        raise DataError(f"{path} does not exist{similar_name(path)}")
