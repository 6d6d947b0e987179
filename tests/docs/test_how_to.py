"""What the how-tos have the reader write is written, in a copy of the project, and run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.core.config import REPOSITORY, load_config
from tests.support import documents

OWN_DATA, OWN_NETWORK = (
    documents.read(REPOSITORY / "docs" / "how-to" / f"{name}.md") for name in ("own_data", "own_network")
)
OF_ALL_LINES = """
import json, sys
from fakevoice.cli.command_line import main
for words in json.loads(sys.argv[1]):
    print("$", *words, flush=True)
    if main(words):
        sys.exit(f"failed: {words}")
"""
QUICK = [
    "folds.n_folds=2",
    "networks.mel.training.n_epochs=1",
    "networks.mel.training.batch_size=8",
    "networks.mel.model.args.width=4",
    "stacker.n_rounds=5",
    "stacker.min_rows_per_leaf=3",
    "ensemble.n_bootstrap=10",
]


@pytest.fixture
def project(damageable, tmp_path) -> Path:
    """A copy of the project with the files of all how-tos, whose home has the finished run."""
    folder = tmp_path / "project"
    documents.copy_project(folder)
    for page in (OWN_DATA, OWN_NETWORK):
        for path, content in documents.files(page).items():
            (folder / path).write_text(content)
    return folder


def run_in(project: Path, home: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "FAKEVOICE_HOME": str(home)}
    environment |= {"FAKEVOICE_DATA": str(project / "data"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def write_recordings(folder: Path, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 8_000), 16_000)


@pytest.mark.slow
def test_how_to_use_own_data_comes_true(project, damageable):
    animals = ("bird", "cat", "dog")
    sorted_by_class = [f"{animal}/{index}.wav" for animal in animals for index in range(8)]
    by_name = [
        f"train/{animal}_{who}{index % 4}_{index}.wav" for animal in animals for who in "ab" for index in range(8)
    ]
    write_recordings(project / "data" / "animals", [*sorted_by_class, "test/0.wav"])
    write_recordings(project / "data" / "names", [*by_name, "test/0.wav"])
    typed = [documents.words(command) for command in documents.fenced_commands(OWN_DATA)]
    typed = [[*words, *QUICK] for words in typed if words[0] != "test"]  # what it asks for is not on the page
    shown = run_in(project, damageable.home, "-c", OF_ALL_LINES, json.dumps(typed))
    assert len(typed) == shown.count("$ ") == 6 and "animals" in shown
    for name in ("animals", "names"):
        (submission,) = (damageable.home / "submissions").glob(f"{name}-*.csv")
        assert list(pd.read_csv(submission)) == ["id", *animals]
    folds = pd.read_csv(damageable.home / "folds.csv")
    assert folds[folds["competition"] == "names"].groupby("group")["fold"].nunique().max() == 1


def test_how_to_extend_voices_is_sound(project):
    config = load_config(str(project / "configs" / "calls.yaml"))
    assert config.competition == "calls" and config.scenes.container == "mp3" and "mel" in config.networks


@pytest.mark.slow
def test_how_to_add_a_network_comes_true(project, damageable):
    words = [word for word in damageable.overrides if not word.startswith("networks.")]
    words += ["networks.mel=null", "networks.mfcc=null", "networks.tdnn.training={n_epochs: 1, batch_size: 16}"]
    typed = [documents.words(command) for command in documents.fenced_commands(OWN_NETWORK)]
    (line,) = ([*typed, *words] for typed in typed if typed[-2:] == ["--config", "tries"] and typed[0] == "all")
    assert "absolute_error" in run_in(project, damageable.home, "-c", OF_ALL_LINES, json.dumps([line]))
    members = pd.read_csv(damageable.home / "runs" / "demo" / "tdnn" / "ensemble" / "members.csv")
    assert list(members["member"]) == ["tdnn", "stack", "ensemble"]
    (contracts,) = (words[1:] for words in typed if words[0] == "test")
    passed = run_in(project, damageable.home, "-m", "pytest", *contracts)
    assert int(re.search(r"(\d+) passed", passed)[1]) > 40
