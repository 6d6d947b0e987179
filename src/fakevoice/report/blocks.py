"""What a report is made of: texts by key, pictures, tables and sounds in sections; how they look is the template's."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from fakevoice.analysis import results
from fakevoice.analysis.finished_run import Run, describe_scenes, load_run
from fakevoice.core.config import Config
from fakevoice.report.tables import ENSEMBLE, judged_scenes


@dataclass(frozen=True)
class Text:
    """A sentence of the texts by its key, and what stands in its gaps; a Text in a gap is in the same language."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "text"


def say(key: str, **values: Any) -> Text:
    """A `Text` with its values as keywords."""
    return Text(key, values)


def captions(key: str, values: dict[str, Any]) -> tuple[Text, Text]:
    """A picture's caption and its alternative, whose key ends in ``_alt``."""
    return Text(key, values), Text(f"{key}_alt", values)


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure; `name` is that of its file, `alt` says what is seen to who cannot see it."""

    name: str
    figure: Figure
    caption: Text
    alt: Text
    is_photo: bool = False  # its colours are kept in the dark
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to sort; `own` is the first cell of the row that is about this run, `folded` hides them at first."""

    caption: Text
    rows: pd.DataFrame
    own: str = ""
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Code:
    """What is typed or written in a config, hidden at first."""

    caption: Text
    content: str
    kind: ClassVar[str] = "code"


Facts = list[tuple[str, Any]]  # a column's name and its value


@dataclass(frozen=True, eq=False)
class Clip:
    """A scene to look at and listen to."""

    title: Text
    facts: Facts
    picture: Picture
    flac: bytes
    kind: ClassVar[str] = "clip"


Block = Text | Picture | Table | Code | Clip


@dataclass(frozen=True, eq=False)
class Section:
    """One section; its heading is the text ``<name>.title``, `finding` is what to do next, if there is anything."""

    name: str
    see: Text
    blocks: list[Block]
    finding: Text | None = None


@dataclass(frozen=True)
class Tile:
    """A number, or a word, to see first."""

    label: Text
    value: float | int | Text
    note: Text


@dataclass(frozen=True)
class Summary:
    """What stands on top of all sections; `findings` are pairs of a section's name and its sentence."""

    tiles: list[Tile]
    assumes: Text
    facts: Facts
    findings: list[tuple[str, Text]]
    title: str = "page.title"  # key of the page's title, with gaps for competition and experiment
    is_synthetic: bool = False  # trained on the demo, which the page says first


@dataclass(frozen=True, eq=False)
class Material:
    """What sections are made of.

    Attributes:
        described: of `describe_scenes`.
        scenes: of `judged_scenes`.
        tables: of `results.collect`.
    """

    run: Run
    described: pd.DataFrame
    scenes: pd.DataFrame
    tables: dict[str, pd.DataFrame]

    @classmethod
    def gather(cls, config: Config) -> "Material":
        """Read a finished run.

        Raises:
            ArtifactError: as `load_run`.
        """
        run = load_run(config)
        described = describe_scenes(run)
        return cls(run, described, judged_scenes(run, described), results.collect(run))

    @property
    def config(self) -> Config:
        """The one that made the run."""
        return self.run.config

    @property
    def members(self) -> list[str]:
        """Names, without the ensemble."""
        return [name for name in self.run.members["member"] if name != ENSEMBLE]
