"""The report of a finished run: one page that needs nothing else, in English and Korean, and its pictures as files.

    ./run.sh report    → runs/<competition>/<experiment>/report/report.html and *.png

The page loads nothing from anywhere: pictures and sounds are inside it. Its texts are in templates/report.yaml.
"""

import base64
import io
import math
import re
from collections import ChainMap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from fakevoice.core.artifacts import write_bytes, write_text
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.paths import paths
from fakevoice.core.progress import track
from fakevoice.pipeline.runner import STAGES
from fakevoice.report import evidence
from fakevoice.report import sections as report_sections
from fakevoice.report.blocks import Material, Picture, Section, Summary, Text, say

TEMPLATES = Path(__file__).parent / "templates"
PAGE, DPI = "report.html", 150
SECTIONS = (
    report_sections.scores,
    report_sections.roc,
    report_sections.calibration,
    report_sections.conditions,
    report_sections.confusion,
    evidence.worst,
    evidence.importance,
    evidence.shortcuts,
    evidence.drift,
    evidence.curves,
    evidence.made,
)


def write_report(config: Config) -> Path:
    """Write the page and its pictures; those of an earlier report that this one has not are removed.

    Args:
        config: names the competition and the experiment; all else is taken from the run itself.

    Returns:
        The page.

    Raises:
        ArtifactError: a stage was never run.
    """
    _check_finished(config)
    material = Material.gather(config)
    built = (build(material) for build in SECTIONS)
    sections = [section for section in track(built, len(SECTIONS), "report", "sections") if section]
    folder = material.run.paths.run / "report"
    files = save_pictures(folder, sections)
    write_text(folder / PAGE, render(report_sections.summary(material, sections), sections, files))
    return folder / PAGE


def save_pictures(folder: Path, sections: list[Section]) -> dict[str, bytes]:
    """Write the pictures of a page as PNG files; those of an earlier page that this one has not are removed.

    Returns:
        Name → PNG.
    """
    pictures = [picture for section in sections for picture in _pictures(section)]
    files = {picture.name: _png(picture) for picture in track(pictures, len(pictures), "report", "pictures")}
    names = file_names(list(files))
    for name, content in files.items():
        write_bytes(folder / names[name], content)
    for left in {path.name for path in folder.glob("*.png")} - {*names.values()}:
        (folder / left).unlink()
    return files


def _check_finished(config: Config) -> None:
    places = paths(config)
    missing = [name for name in STAGES if not (places.stage(name) / "manifest.json").is_file()]
    if missing:
        words = f"--config {config.competition}"
        words += "" if config.experiment == "default" else f" experiment={config.experiment}"
        raise ArtifactError(f"{places.run} has no {missing[0]} yet: ./run.sh all {words}")


def _pictures(section: Section) -> list[Picture]:
    pictures = (block.picture if block.kind == "clip" else block for block in section.blocks)
    return [picture for picture in pictures if picture.kind == "picture"]


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    picture.figure.savefig(file, dpi=DPI, format="png")
    return file.getvalue()


def size_px(picture: Picture) -> tuple[int, int]:
    """Width and height, which the page reserves before the picture is there."""
    return tuple(int(inches * DPI) for inches in picture.figure.get_size_inches())


def file_names(pictures: list[str]) -> dict[str, str]:
    """Picture → name of its file, with a number where two names differ only in case or in special characters."""
    files: dict[str, str] = {}
    for picture in pictures:
        stem = re.sub(r"[\W_]+", "-", picture)
        taken, number, file = {name.lower() for name in files.values()}, 1, f"{stem}.png"
        while file.lower() in taken:
            number += 1
            file = f"{stem}-{number}.png"
        files[picture] = file
    return files


@cache
def texts() -> dict[str, dict[str, str]]:
    """Key → language → text, with gaps in braces; a text may hold markup, what comes into a gap is escaped."""
    return yaml.safe_load((TEMPLATES / "report.yaml").read_text(encoding="utf-8"))


@cache
def monitor_texts() -> dict[str, dict[str, str]]:
    """What the page of `monitor_page` says besides; in the form of `texts`."""
    return yaml.safe_load((TEMPLATES / "monitor.yaml").read_text(encoding="utf-8"))


def _all_texts() -> Mapping[str, dict[str, str]]:
    return ChainMap(texts(), monitor_texts())


def render(summary: Summary, sections: list[Section], files: dict[str, bytes]) -> str:
    """The page.

    Args:
        files: name of a picture → PNG.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"both": both, "plain": plain, "header": header, "cell": cell, "size_px": size_px}
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment.get_template(PAGE).render(summary=summary, sections=sections, files=files, say=say)


def in_language(text: Text, language: str) -> Markup:
    """A text with its gaps filled, e.g. in ``"ko"``."""
    values = {k: in_language(v, language) if isinstance(v, Text) else v for k, v in text.values.items()}
    return Markup(_all_texts()[text.key][language]).format(**values)


def both(text: Text) -> Markup:
    """A text in both languages, of which the page shows one."""
    en, ko = (in_language(text, language) for language in ("en", "ko"))
    return en if en == ko else Markup('<span lang="en">{}</span><span lang="ko">{}</span>').format(en, ko)


def plain(text: Text, language: str) -> str:
    """A text for an attribute, without markup."""
    return in_language(text, language).striptags()


def header(column: Any) -> Markup:
    """The heading of a column: its text, or its name where it is one of data, as a metric's or a class's may be."""
    known, name = _all_texts(), str(column)
    if f"column.{name}" in known:
        return both(say(f"column.{name}"))
    kind, _, of = name.partition("_")
    if of and f"column.{kind}_of" in known:
        return both(say(f"column.{kind}_of", of=say(f"column.{of}") if f"column.{of}" in known else of))
    return Markup.escape(name)


def cell(value: Any) -> Markup:
    """A value as a table shows it."""
    if isinstance(value, Text):
        return both(value)
    return Markup.escape(_number(value) if isinstance(value, float) else value)


def _number(value: float) -> str:
    """Four digits after the point, fewer of what is large; a dash where there is no number."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    return f"{value:.{0 if size >= 1000 else 1 if size >= 10 else 2 if size > 1 else 4}f}"
