"""The README tells the truth: its tree is what lies here, its commands can be typed."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from fakevoice.cli import command_line
from fakevoice.core import config as config_module
from fakevoice.core.config import REPOSITORY
from tests.support import documents

README = documents.read(REPOSITORY / "README.md")
BLOCKS, COMMANDS = documents.blocks(README), documents.commands(README)
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
def test_a_command_can_be_typed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(config_module, "CONFIGS", documents.write_configs(tmp_path / "configs", README))
    documents.check_command(command)


def test_what_the_reader_is_told_to_add_runs(tmp_path):
    """Every block that names a file is that file, in a copy of the project; then the two commands below them."""
    documents.copy_project(tmp_path)
    files = documents.files(README)
    assert [path.split("/")[-1] for path in files] == ["level.py", "averager.py", "mine.yaml"]
    for path, content in files.items():
        (tmp_path / path).write_text(content)
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
    assert rows == list(command_line.STAGE_HELP)
