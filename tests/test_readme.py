"""The README tells the truth: its tree is what lies here, its commands can be typed."""

import re
import shlex
import subprocess

import pytest

from fakevoice import cli
from fakevoice.config import REPOSITORY, load_config

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w*\n(.*?)```", README, flags=re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [
    line[line.index("./run.sh") :] for line in [*LINES, *re.findall(r"`([^`\n]+)`", README)] if "./run.sh " in line
]


def tree() -> list[str]:
    """Paths of the block that begins with this page: names, two spaces or more, what it is; indented below a folder."""
    (block,) = [block for block in BLOCKS if block.startswith("README.md")]
    parent, found = "", []
    for line in block.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        if not line.startswith(" "):
            parent = names[0]
        found += [parent + name if line.startswith(" ") else name for name in names]
    return found


@pytest.mark.parametrize("path", tree())
def test_what_the_tree_names_exists(path):
    assert (REPOSITORY / path).is_dir() if path.endswith("/") else (REPOSITORY / path).is_file()


def test_everything_at_the_top_is_in_the_tree():
    listing = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout: what is tracked is not known")
    tracked = {path.split("/")[0] for path in listing.stdout.splitlines()}
    assert tracked - {path.split("/")[0] for path in tree()} == set()


def test_there_are_commands():
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_typed(command):
    words = [word for word in shlex.split(command, comments=True)[1:] if word not in ("|", "...")]
    if words[0] == "test":
        return
    options = cli._parser().parse_args(words)
    settings = [word for word in getattr(options, "words", []) if "=" in word]
    load_config(getattr(options, "config", "") or "demo", settings)


def test_the_table_of_stages_is_the_line():
    rows = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert rows == list(cli.STAGE_HELP)
