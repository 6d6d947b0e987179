"""The README is true: its tree is that of the repository, its commands can be typed, what it tells to add runs."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.cli import command_line
from fakevoice.core import config as config_module
from fakevoice.core.config import REPOSITORY
from tests.support import documents, tiny_whisper

README = documents.read(REPOSITORY / "README.md")
RESULTS = documents.read(REPOSITORY / "RESULTS.md")
BLOCKS, COMMANDS = documents.blocks(README), documents.commands(README)
QUICK = [
    "folds.n_folds=2",
    "scenes.n_scenes=96",
    "scenes.codecs=[vorbis]",
    "statistics=[rhythm]",
    *(f"networks.{name}.training.n_epochs=1" for name in ("mel", "mfcc", "probe", "probe_tiny")),
    *(f"networks.{name}.training.batch_size=16" for name in ("mel", "mfcc", "probe", "probe_tiny")),
    *(f"networks.{name}.model.args.width=4" for name in ("mel", "mfcc")),
    *(f"networks.{name}.training.precision=fp32" for name in ("mel", "mfcc")),
    "stacker.n_rounds=5",
    "stacker.min_rows_per_leaf=5",
    "ensemble.n_bootstrap=10",
]


def tree() -> list[str]:
    """Paths of the block that lists the repository.

    A line is one or more names or patterns, two spaces or more, and what they are; it is indented below its folder.
    """
    (block,) = [block for block in BLOCKS if "src/fakevoice/ " in block]
    parent = ""
    listed = []
    for line in block.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        if line.startswith(" "):
            listed += [parent + name for name in names]
        else:
            parent = names[0]
            listed += names
    return listed


@pytest.mark.parametrize("path", tree())
def test_what_the_tree_names_exists(path):
    found = list(REPOSITORY.glob(path))
    assert found and all(file.is_dir() == path.endswith("/") for file in found)


def test_everything_at_the_top_is_in_the_tree():
    listing = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout: what is tracked is not known")
    tracked = {path.split("/")[0] for path in listing.stdout.splitlines()}
    listed = {file.relative_to(REPOSITORY).parts[0] for path in tree() for file in REPOSITORY.glob(path)}
    assert tracked - listed == set()


def test_every_package_is_in_the_tree():
    packages = {file.parent.name for file in (REPOSITORY / "src" / "fakevoice").glob("*/__init__.py")}
    listed = [path.split("/")[2] for path in tree() if path.startswith("src/fakevoice/") and path.count("/") == 3]
    assert sorted(listed) == sorted(packages)


def test_the_first_commands_are_all_and_test():
    first = documents.fenced_commands(README[: README.index("## Your own data")])
    assert [documents.words(command) for command in first[:2]] == [["all"], ["test"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_typed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(config_module, "CONFIGS", documents.write_configs(tmp_path / "configs", README))
    documents.check_command(command)


def test_the_score_is_in_one_place_and_is_that_of_the_results():
    """The number at the top is the rounded one of RESULTS.md, and the README has it nowhere else."""
    (score,) = re.findall(r"^\*\*Score (\.\d+)\*\*, from `\./run\.sh all --config voices`", README, flags=re.MULTILINE)
    on_test = RESULTS[RESULTS.index("On the test:") : RESULTS.index("Out of fold, each")]
    (measured,) = re.findall(r"^\| \*\*ours: ensemble\*\* \| (\.\d+) ", on_test, flags=re.MULTILINE)
    assert score == f"{float(measured):.3f}".lstrip("0")
    assert README.count(score) == 1


def test_what_the_reader_is_told_to_add_runs(tmp_path):
    """Every block that names a file is that file, in a copy of the project with data; then the commands for it."""
    documents.copy_project(tmp_path)
    files = documents.files(README)
    assert [path.split("/")[-1] for path in files] == ["mine.yaml", "level.py", "level.yaml"]
    for path, content in files.items():
        (tmp_path / path).write_text(content)
    write_competition(tmp_path / "data" / "mine")
    for name in tiny_whisper.NAMES:
        tiny_whisper.write(tmp_path / "models" / "openai" / name)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "LOKY_MAX_CPU_COUNT": "1"}
    environment = {name: value for name, value in environment.items() if not name.startswith("FAKEVOICE_")}
    commands = [command for command in COMMANDS if command.partition("#")[0].split()[-1] in ("mine", "level")]
    typed = [documents.words(command) for command in commands]
    assert [words[0] for words in typed] == ["fetch-models", "doctor", "all", "bakeoff"]
    shown = []
    for words in typed:
        words = [sys.executable, "-m", "fakevoice", *words, *QUICK]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        if words[3] != "doctor":  # which also judges the machine: only what it says of the data counts here
            assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        shown.append(done.stdout)
    assert re.search(r"^ok data +mine", shown[1], flags=re.MULTILINE), shown[1]
    (submission,) = (tmp_path / "submissions").glob("mine-*.csv")
    assert list(pd.read_csv(submission)) == ["id", "fake", "real"]
    assert "without" in shown[3] and "difference" in shown[3]


def write_competition(folder) -> None:
    """Recordings of noise in the layout that the README shows."""
    rng = np.random.default_rng(0)
    rows = {"train": [], "test": []}
    for label, split, loudness in (("real", "train", 0.1), ("fake", "train", 0.01), ("", "test", 0.1)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for index in range(24):
            path = f"{split}/{label}{index:02d}.wav"
            soundfile.write(folder / path, rng.normal(0, loudness, 16_000), 16_000)
            rows[split].append((f"{split}-{label}{index:02d}", path, label))
    pd.DataFrame(rows["train"], columns=["id", "path", "label"]).to_csv(folder / "train.csv", index=False)
    test = pd.DataFrame(rows["test"], columns=["id", "path", "label"])
    test[["id", "path"]].to_csv(folder / "test.csv", index=False)
    test[["id"]].assign(fake=0.5, real=0.5).to_csv(folder / "sample_submission.csv", index=False)


def test_the_table_of_stages_is_the_pipeline():
    rows = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert rows == list(command_line.STAGE_HELP)
