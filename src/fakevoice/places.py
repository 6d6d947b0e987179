"""Where things lie: ``FAKEVOICE_HOME`` (default: the repository) holds folds.csv, features_cache/, runs/ and
submissions/; ``FAKEVOICE_DATA`` (default: data/) holds the competitions.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from fakevoice.config import REPOSITORY, Config


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
        """Folder of one stage's artefacts."""
        return self.run / name


def home() -> Path:
    """The folder that holds folds.csv, features_cache/, runs/ and submissions/."""
    return Path(os.environ.get("FAKEVOICE_HOME") or REPOSITORY).resolve()


def data_folder() -> Path:
    """The folder that holds one folder per competition."""
    return Path(os.environ.get("FAKEVOICE_DATA") or home() / "data").resolve()


def paths(config: Config) -> Paths:
    """Folders of a run. What the project makes itself (the demo) lies under home, whatever FAKEVOICE_DATA says."""
    raw = home() / "data" / "demo" if config.dataset.name == "demo" else data_folder() / config.competition
    run = home() / "runs" / config.competition / config.experiment
    return Paths(home(), raw, run, home() / "features_cache" / config.competition)
