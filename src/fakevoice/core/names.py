"""File names as they are on the disk, where a table or a command spells them in another way.

A folder that was copied from a Mac has names in NFD, where an accent or a part of a Hangul syllable is a character of
its own; tables have them in NFC. Tables from Windows separate folders by backslashes.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


def find_names(folder: Path, names: Iterable[str]) -> list[str]:
    """Names relative to a folder, as the files that exist are spelled there.

    Args:
        names: with ``/`` or ``\\`` between folders, in any Unicode normal form.

    Returns:
        With ``/`` and without a leading ``./``. A name that does not exist keeps its own spelling.
    """
    spellings: dict[str, dict[str, str]] = {}
    return [_find_name(os.fspath(folder), name, spellings) for name in names]


def find_path(path: Path) -> Path:
    """A path as it is spelled on the disk; itself where there is no such file."""
    if os.path.lexists(path):
        return path
    return path.parent / find_names(path.parent, [path.name])[0]


def _find_name(folder: str, name: str, spellings: dict[str, dict[str, str]]) -> str:
    plain = str(PurePosixPath(name))
    if os.path.lexists(os.path.join(folder, plain)):
        return plain
    parts, found = PurePosixPath(name.replace("\\", "/")).parts, []
    for part in parts:
        below = "/".join(found)
        if below not in spellings:
            spellings[below] = {_normal(entry): entry for entry in _entries(os.path.join(folder, below))}
        found.append(spellings[below].get(_normal(part), part))
    return "/".join(found)


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def same_text(one: str, other: str) -> bool:
    """Whether two names look the same: they are equal in the normal form NFC."""
    return _normal(one) == _normal(other)


def similar_name(path: Path) -> str:
    """A sentence about a file whose name looks like that of a missing one; nothing where there is none."""
    for entry in _entries(os.fspath(path.parent)):
        difference = next(_differences(path.name, entry), "")
        if difference:
            return f"; there is {entry!r}, which differs in {difference}"
    return ""


def _differences(name: str, entry: str) -> Iterator[str]:
    if _normal(name) == _normal(entry):
        yield "its Unicode normal form (NFC against NFD)"
    if name.casefold() == entry.casefold():
        yield "upper and lower case"
    if "".join(name.split()) == "".join(entry.split()):
        yield "spaces"
    if _visible(name) == _visible(entry):
        yield "characters that are not visible, or wide forms of Latin characters"


def _visible(name: str) -> str:
    text = unicodedata.normalize("NFKC", name)
    return "".join(
        character for character in text if unicodedata.category(character) != "Cf" and not character.isspace()
    )
