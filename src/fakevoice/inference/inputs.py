"""What is asked about: files, folders, lists and tables of recordings, here or at a URL."""

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fakevoice.audio.files import check_name, scan_folder
from fakevoice.audio.messages import count_reasons
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
        is_clip: a clip of a table, of which the pipeline reads the beginning, whatever its length.
        notes: what of it is already known to be missing.
    """

    id: str
    path: Path
    is_clip: bool = False
    notes: tuple[str, ...] = ()


class Sources(list[Source]):
    """Recordings.

    Attributes:
        skipped: for each other file in the folders, what `messages.count_reasons` counts it as.
    """

    def __init__(self, sources: Iterable[Source] = (), skipped: Iterable[str] = ()):
        super().__init__(sources)
        self.skipped = list(skipped)


def list_sources(arguments: list[str], cache_gb: float = 50.0) -> Sources:
    """Everything that was asked for, in the order given.

    A CSV has id and path, relative to its folder; a folder gives all recordings below it. The id of a file is its name
    without folder and extension; files below one folder that share such a name get their paths in there. ``-`` stands
    for paths on standard input, one in a line. Files and folders at a URL are downloaded first.

    Args:
        cache_gb: largest download, in 10⁹ bytes.

    Raises:
        ConfigError: a password in a URL.
        RemoteError: a URL cannot be read, or its files are larger than `cache_gb`.
        DataError: a path that does not exist or is not UTF-8, nothing to score, or an id that stands twice.
    """
    asked = [word for argument in arguments for word in (_listed() if argument == LISTED else [argument])]
    sources = Sources()
    for word in asked:
        found = _expand(_local(word, cache_gb))
        sources += found
        sources.skipped += found.skipped
    refuse_nothing(sources, arguments)
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


def refuse_nothing(sources: Sources, arguments: list[str]) -> None:
    """Raise if there is no recording.

    Raises:
        DataError: with the number of other files.
    """
    if not sources:
        counted = count_reasons(sources.skipped)
        raise DataError(f"no audio files in {', '.join(arguments)}{f' ({counted})' * bool(counted)}")


def folder_sources(folder: Path, named_by_path: bool) -> Sources:
    """The recordings below a folder.

    Args:
        named_by_path: the id is the path in the folder; else the name without extension where that is unique.
    """
    found = scan_folder(folder)
    stems = Counter(file.stem for file in found.audio)
    ids = [
        file.relative_to(folder).as_posix() if named_by_path or stems[file.stem] > 1 else file.stem
        for file in found.audio
    ]
    return Sources(map(Source, ids, found.audio), found.skipped.values())


def _expand(given: Path) -> Sources:
    path = find_path(given)
    if path.suffix.lower() == ".csv":
        table = plugins.load("datasets", "dacon").read_test(path)
        clips = zip(table["id"], table["path"], strict=True)
        return Sources(Source(clip, path.parent / name, is_clip=True) for clip, name in clips)
    if path.is_dir():
        return folder_sources(path, named_by_path=False)
    if os.path.exists(path):
        check_name(path)
        return Sources([Source(path.stem, path)])
    raise DataError(f"{path} does not exist{similar_name(path)}")
