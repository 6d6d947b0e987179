"""The README tells the truth: its tree is what lies here, its commands can be typed."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from fakevoice import cli
from fakevoice.config import REPOSITORY, load_config

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w*\n(.*?)```", README, flags=re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [
    line[line.index("./run.sh") :] for line in [*LINES, *re.findall(r"`([^`\n]+)`", README)] if "./run.sh " in line
]
QUICK = ["folds.n_folds=2", "networks.level.training.n_epochs=1", "stacker.n_rounds=5", "ensemble.n_bootstrap=10"]


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
    if words[0] in ("test", "bench"):
        return
    options = cli._parser().parse_args(words)
    settings = [word for word in getattr(options, "words", []) if "=" in word]
    name = getattr(options, "config", "") or "demo"
    assert f"# configs/{name}.yaml" in README or load_config(name, settings)  # what the reader adds is tried below


def test_what_the_reader_is_told_to_add_runs(tmp_path):
    """Every block that names a file is that file, in a copy of the project; then the two commands below them."""
    for folder in ("src", "configs"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = [block.split("\n", 1) for block in BLOCKS if re.match(r"# (src|configs)/", block)]
    assert [first.split("/")[-1] for first, _ in files] == ["level.py", "averager.py", "mine.yaml"]
    for first, content in files:
        (tmp_path / first.removeprefix("# ")).write_text(content)
    rng = np.random.default_rng(0)
    for folder, loudness in (("REAL", 0.1), ("FAKE", 0.01), ("test", 0.1)):
        (tmp_path / "data" / "mine" / folder).mkdir(parents=True)
        for index in range(40):
            sound = rng.normal(0, loudness, 32_000)
            soundfile.write(tmp_path / "data" / "mine" / folder / f"{index:02d}.wav", sound, 16_000)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "LOKY_MAX_CPU_COUNT": "1"}
    environment = {name: value for name, value in environment.items() if not name.startswith("FAKEVOICE_")}
    commands = [command for command in COMMANDS if command.endswith("--config mine")]
    assert [command.split()[1] for command in commands] == ["all", "bakeoff"]
    shown = []
    for command in commands:
        words = [sys.executable, "-m", "fakevoice", *command.split()[1:], *QUICK]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        shown.append(done.stdout)
    assert len(list((tmp_path / "submissions").glob("mine-*.csv"))) == 1 and "wide" in shown[1]


def test_the_table_of_stages_is_the_line():
    rows = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert rows == list(cli.STAGE_HELP)
