"""What the words of a command name: a config and its values, recordings, files; as in `commands`, nothing heavy."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fakevoice.core.errors import ConfigError

if TYPE_CHECKING:
    from fakevoice.core.config import Config


def config_of(options: Namespace) -> "Config":
    """The config that is named, or found, with the values of the words on top."""
    from fakevoice.core.config import load_config

    return load_config(options.config or competition_of(options.words), options.words)


def recordings_and_config(options: Namespace) -> tuple[list[str], "Config"]:
    """The words that name recordings, and the config that the others make; a file's name may hold an =."""
    from fakevoice.core import remote
    from fakevoice.core.config import load_config

    asked = [word for word in options.words if "=" not in word or remote.is_url(word) or Path(word).exists()]
    overrides = [word for word in options.words if word not in asked]
    return asked, load_config(options.config or competition_of(overrides), overrides)


def taken(options: Namespace, meant: str, n_most: int) -> list[str]:
    """The words that are no key=value; those stay in the options.

    Args:
        meant: how they are to be typed.
        n_most: of them.

    Raises:
        ConfigError: more than that.
    """
    words = [word for word in options.words if "=" not in word]
    if len(words) > n_most:
        raise ConfigError(f"{' '.join(words)!r}: at most {meant} beside key=value words")
    options.words = [word for word in options.words if "=" in word]
    return words


def competition_of(words: list[str]) -> str:
    """The competition whose data lies there; the demo where there is none.

    Raises:
        ConfigError: several competitions, one that has no config, or data at a URL.
    """
    from fakevoice.core import remote
    from fakevoice.core.config import config_names
    from fakevoice.core.paths import data_root

    roots = [word.removeprefix("data.root=") for word in words if word.startswith("data.root=")]
    root = data_root(*roots[-1:])
    if remote.is_url(root):
        raise ConfigError(f"data at {remote.shown(root)}: choose the competition with --config NAME")
    folder = Path(root)
    found = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "demo") if folder.is_dir() else []
    known = [name for name in found if name in config_names()]
    if len(known) > 1:
        raise ConfigError(f"several competitions in {folder}: choose with --config {' | '.join(known)}")
    if found and not known:
        raise ConfigError(f"{folder} holds {', '.join(found)}, but configs/ has none of them: copy configs/dacon.yaml")
    return known[0] if known else "demo"
