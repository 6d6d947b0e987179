"""Notebooks run on a finished run, define nothing, hold no outputs, and label what they draw."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from fakevoice.cli import notebooks
from fakevoice.cli.notebooks import pair
from fakevoice.core.artifacts import read_array, write_array
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
from tests.support.sealing import seal

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))
MIN_FIGURES = {"01_eda": 6, "02_error_analysis": 12, "03_domain_gap": 13, "04_features": 7}
LOOK = """
import matplotlib.pyplot

drawn, show = [], matplotlib.pyplot.show

def look_and_show():
    for number in matplotlib.pyplot.get_fignums():
        drawn.append(number)
        for axes in matplotlib.pyplot.figure(number).axes:
            has_x = axes.xaxis.get_visible() and axes.get_label() != "<colorbar>"
            assert axes.get_ylabel() and (axes.get_xlabel() or not has_x), "an axis has no label"
    show()

matplotlib.pyplot.show = look_and_show
"""


def named(notebook: Path) -> str:
    return notebook.stem


def code_of(notebook: Path) -> ast.Module:
    return ast.parse(notebook.read_text(encoding="utf-8"))


@pytest.fixture(params=NOTEBOOKS, ids=named)
def notebook(request) -> Path:
    return request.param


def test_all_are_there():
    assert [named(notebook) for notebook in NOTEBOOKS] == sorted(MIN_FIGURES)


def test_nothing_is_defined(notebook):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node.lineno for node in ast.walk(code_of(notebook)) if isinstance(node, kinds)]


def test_text_without_outputs(notebook):
    assert not any(cell.get("outputs") for cell in jupytext.read(notebook).cells)
    assert "*.ipynb" in (REPOSITORY / ".gitignore").read_text()  # where outputs are, and are not kept


def test_every_figure_is_explained(notebook):
    cells = jupytext.read(notebook).cells
    for place, cell in enumerate(cells):
        if "plt.show()" in cell.source:
            texts = [near.source for near in cells[max(0, place - 2) : place] if near.cell_type == "markdown"]
            assert len(" ".join(texts).split()) > 20, cell.source


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """A copy of the notebooks' folder, where they have been paired."""
    folder = tmp_path_factory.mktemp("pairs") / "notebooks"
    shutil.copytree(REPOSITORY / "notebooks", folder, ignore=shutil.ignore_patterns("*.ipynb"))
    assert [path.stem for path in pair(folder)] == [named(notebook) for notebook in NOTEBOOKS]
    return folder


def test_pairing_leaves_the_texts_as_they_are(pairs, notebook):
    assert (pairs / notebook.name).read_bytes() == notebook.read_bytes()
    cells = nbformat.read(pairs / f"{named(notebook)}.ipynb", as_version=4).cells
    assert [cell.source for cell in cells] == [cell.source for cell in jupytext.read(notebook).cells]


def test_what_is_changed_in_one_of_a_pair_is_changed_in_both(pairs, tmp_path):
    pairs = shutil.copytree(pairs, tmp_path / "notebooks")
    text, other = pairs / "01_eda.py", pairs / "01_eda.ipynb"
    other.write_text(other.read_text().replace("# What is in the data", "# Changed in Jupyter"))
    os.utime(other, (time.time() + 5, time.time() + 5))
    pair(pairs)
    assert "# # Changed in Jupyter" in text.read_text()
    text.write_text(text.read_text().replace("Changed in Jupyter", "Changed as text"))
    os.utime(text, (time.time() + 10, time.time() + 10))
    pair(pairs)
    assert "Changed as text" in other.read_text()


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "jupytext.toml").write_text('formats = "ipynb,py:percent"')
    (tmp_path / "broken.py").write_text("# %%\n1")
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(FakevoiceError, match="cannot be paired"):
        pair(tmp_path)


def test_without_jupyterlab_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(notebooks, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"\./run\.sh install notebooks"):
        pair(tmp_path)


def test_jupyterlab_opens_on_them(tmp_path):
    """`./run.sh notebooks` in a copy of the project: the server answers and shows both of each pair."""
    for folder in ("src", "configs", "notebooks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)  # by which a checkout is recognised
    quiet = {"JUPYTER_TOKEN": "word", "BROWSER": "true", "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    environment = os.environ | quiet | {"PYTHONPATH": str(tmp_path / "src")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fakevoice", "notebooks", "--config", "demo", "--port", str(port), "seed=3"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        listing = answer(f"http://127.0.0.1:{port}/api/contents?token=word", tmp_path / "log.txt")
        names = {entry["name"] for entry in listing["content"]}
        assert names >= {f"{named(notebook)}{end}" for notebook in NOTEBOOKS for end in (".py", ".ipynb")}
    finally:
        process.terminate()
        process.wait(20)
    assert (tmp_path / "notebooks" / "01_eda.ipynb").is_file()


def answer(url: str, log: Path) -> dict:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return json.load(reply)
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def executed(notebook: Path, home: Path, overrides: list[str], monkeypatch, folder: Path) -> list:
    """Outputs of a notebook that looks at the demo's run below `home`; the last one is the number of its figures."""
    monkeypatch.setenv("FAKEVOICE_HOME", str(home))
    monkeypatch.setenv("FAKEVOICE_CONFIG", "demo")
    monkeypatch.setenv("FAKEVOICE_OVERRIDES", " ".join(overrides))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    read = jupytext.read(notebook)
    read.cells = [nbformat.v4.new_code_cell(LOOK), *read.cells, nbformat.v4.new_code_cell("print(len(drawn))")]
    client = NotebookClient(read, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    done = client.execute()  # raises on the first cell with an error
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    return outputs


def test_runs(notebook, finished_run, monkeypatch, tmp_path):
    outputs = executed(notebook, finished_run.home, finished_run.overrides, monkeypatch, tmp_path)
    n_pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert n_pictures == int(outputs[-1]["text"]) >= MIN_FIGURES[named(notebook)]
    assert any("audio" in output.get("data", {}).get("text/html", "") for output in outputs)


def forget_unlabeled(run) -> None:
    """Leave a run as if its data had no unlabeled clips."""
    folder = run.paths.stage("prepare")
    is_kept = (read_table(folder / "clips.csv", CLIP_TEXT)["split"] != "unlabeled").to_numpy()
    write_array(folder / "fingerprints.npy", read_array(folder / "fingerprints.npy")[is_kept])
    for name in ("clips", "audit"):
        table = read_table(folder / f"{name}.csv", CLIP_TEXT)
        write_table(folder / f"{name}.csv", table[table["split"] != "unlabeled"])


@pytest.mark.slow
def test_domain_gap_without_unlabeled_clips(damageable, monkeypatch, tmp_path):
    forget_unlabeled(damageable)
    seal(damageable.paths, "prepare", "scenes")
    notebook = REPOSITORY / "notebooks" / "03_domain_gap.py"
    outputs = executed(notebook, damageable.home, damageable.overrides, monkeypatch, tmp_path)
    assert int(outputs[-1]["text"]) == 6
    assert any("no unlabeled clips to compare with" in output.get("text", "") for output in outputs)
