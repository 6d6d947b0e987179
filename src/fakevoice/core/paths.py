"""Paths of a run.

``FAKEVOICE_HOME`` holds folds.csv, features_cache/, runs/ and submissions/; its default is the repository, or the
current folder where fakevoice is installed without one. ``data.root`` of the config, else ``FAKEVOICE_DATA`` (default:
data/), holds the competitions. Data at a URL is downloaded to data_cache/ of the home folder.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from fakevoice.core import remote
from fakevoice.core.config import IS_CHECKOUT, REPOSITORY, Config
from fakevoice.core.download import local_folder
from fakevoice.core.errors import ConfigError


@dataclass(frozen=True)
class Paths:
    """Where a run finds and leaves things."""

    home: Path
    raw: Path
    run: Path
    cache: Path

    @property
    def folds_csv(self) -> Path:
        return self.home / "folds.csv"

    @property
    def submissions(self) -> Path:
        return self.home / "submissions"

    def stage(self, name: str) -> Path:
        """Folder of one stage's artifacts."""
        return self.run / name


def home() -> Path:
    """The folder that holds folds.csv, features_cache/, runs/ and submissions/."""
    return Path(os.environ.get("FAKEVOICE_HOME") or (REPOSITORY if IS_CHECKOUT else "")).resolve()


def data_root(root: str = "") -> str:
    """The folder or URL that holds one folder per competition: `root` where it is given, else FAKEVOICE_DATA, or data/.

    Raises:
        ConfigError: a password in `root`.
    """
    if remote.password(root):
        raise ConfigError(f"data.root={remote.shown(root)}: no password here, put the whole URL into FAKEVOICE_DATA")
    given = root or os.environ.get("FAKEVOICE_DATA") or str(home() / "data")
    return given.rstrip("/") if remote.is_url(given) else str(Path(given.removeprefix("file://")).resolve())


def data_folder() -> Path:
    """The folder that holds one folder per competition, where nothing else is configured."""
    return Path(data_root())


def data_url(config: Config) -> str:
    """The URL of a competition, with its password; empty where it lies on this machine, as the demo always does."""
    root = data_root(config.data.root)
    return f"{root}/{config.competition}" if remote.is_url(root) and config.dataset.name != "demo" else ""


def paths(config: Config) -> Paths:
    """Folders of a run. What the project makes itself (the demo) lies under home, whatever FAKEVOICE_DATA says."""
    url = data_url(config)
    if url:
        raw = local_folder(home(), url)
    elif config.dataset.name == "demo":
        raw = home() / "data" / "demo"
    else:
        raw = Path(data_root(config.data.root)) / config.competition
    run = home() / "runs" / config.competition / config.experiment
    return Paths(home(), raw, run, home() / "features_cache" / config.competition)
