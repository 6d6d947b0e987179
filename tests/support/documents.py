"""What the tests of the README and of docs/ share: the blocks, commands, links and anchors of a page."""

import re
import shlex
import shutil
from itertools import chain
from pathlib import Path

from fakevoice.cli import command_line
from fakevoice.core.config import CONFIGS, REPOSITORY, load_config

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OF_THE_SCRIPT = ("test", "bench", "install")  # commands that run.sh answers itself


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str, language: str | None = None) -> list[str]:
    """Contents of the fenced blocks; of all languages if None."""
    return [content for found, content in BLOCK.findall(text) if language in (None, found)]


def files(text: str) -> dict[str, str]:
    """Path → content of each block that begins with ``# path`` of a file that the reader is told to write."""
    named = [block.split("\n", 1) for block in blocks(text) if re.match(r"# (src|configs)/\S+\n", block)]
    return {first.removeprefix("# "): content for first, content in named}


def commands(text: str) -> list[str]:
    """Every ``./run.sh ...`` of a fenced block, or of a line in backquotes, from there to the line's end."""
    lines = [line for block in blocks(text) for line in block.splitlines()]
    spoken = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return [line[line.index("./run.sh") :] for line in [*lines, *spoken] if "./run.sh " in line]


def fenced_commands(text: str) -> list[str]:
    """The commands of the blocks that a reader copies into a shell, one after the other."""
    lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("./run.sh ")]


def words(command: str) -> list[str]:
    """What stands after ``./run.sh``, without the comment at the end."""
    return shlex.split(command, comments=True)[1:]


def write_configs(folder: Path, *texts: str) -> Path:
    """The configs of the project, and those that pages have the reader write."""
    shutil.copytree(CONFIGS, folder)
    for path, content in chain.from_iterable(files(text).items() for text in texts):
        if path.startswith("configs/"):
            (folder / path.removeprefix("configs/")).write_text(content)
    return folder


def check_command(command: str) -> None:
    """Hold a command against the parser, its words against the config that it names, and a study against it too."""
    typed = [word for word in words(command) if word not in ("|", "...")]
    if typed[0] in OF_THE_SCRIPT:
        return
    options = command_line.parse(typed)
    given = [first_value(word) for word in getattr(options, "words", [])]
    config = load_config(getattr(options, "config", "") or "demo", [word for word in given if "=" in word])
    if typed[0] == "bakeoff":
        study, *variants = [word for word in given if "=" not in word]
        assert set(variants) <= set(config.studies[study])


def first_value(word: str) -> str:
    """A searched key with one of its values: ``key=1..9:log`` as ``key=1``, ``key=a|b`` as ``key=a``."""
    return re.sub(r"\.\..*|\|.*", "", word) if "=" in word else word


def links(text: str) -> list[str]:
    """Targets of the links of a page, those of code left out."""
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """What a link may name after ``#``, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def copy_project(folder: Path) -> None:
    """The package, the configs and the tests in another place, where files may be added."""
    for name in ("src", "configs", "tests"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (REPOSITORY / "pyproject.toml", REPOSITORY / "requirements.txt"):
        shutil.copy(file, folder)
