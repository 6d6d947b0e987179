"""Files that a user names as outputs: checked before the work starts, so that it is not lost at its end."""

import os
from collections.abc import Sequence
from pathlib import Path

from fakevoice.core.artifacts import is_device
from fakevoice.core.errors import ConfigError


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Check that files can be written without losing anything.

    Args:
        outputs: files that a command will write.
        inputs: files that it reads; links to one of them are the same file.

    Raises:
        ConfigError: an output is also an input or another output, is a folder, or its folder cannot be written to.
    """
    for index, output in enumerate(outputs):
        for source in inputs:
            if _is_same(output, source):
                raise ConfigError(f"{output} is an input too and would be overwritten: name another output")
        for other in outputs[:index]:
            if _is_same(output, other) and not is_device(output):
                raise ConfigError(f"{output} is named as two outputs: name another one")
        if output.is_dir():
            raise ConfigError(f"{output} is a folder: name a file in it")
        check_writable(output.parent)


def check_writable(folder: Path) -> None:
    """Check that a folder can be written to, or made.

    Raises:
        ConfigError: it is a file, or there is no permission.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"{existing} is not a folder")
    if not is_device(folder) and not os.access(existing, os.W_OK):
        raise ConfigError(f"{existing}: no permission to write there: name another output")


def check_folder(folder: Path, written: Sequence[str], marker: str) -> None:
    """Check a folder that a command fills with several files.

    Args:
        written: names of these files.
        marker: the file by which an earlier output of the same command is known, which may be replaced.

    Raises:
        ConfigError: as `check_writable`, or the folder holds files of these names that are somebody else's.
    """
    check_writable(folder)
    foreign = [name for name in written if (folder / name).exists()]
    if foreign and not (folder / marker).exists():
        raise ConfigError(f"{folder / foreign[0]} is not of this command and would be overwritten: name another folder")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them does not exist
        return os.path.realpath(one) == os.path.realpath(other)
