"""Notebooks run on a finished run, define nothing, hold no outputs, and label what they draw."""

import ast
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from fakevoice.storage import read_array, write_array
from fakevoice.tables import CLIP_TEXT, read_table, write_table

REPOSITORY = Path(__file__).parents[1]
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


def match(run) -> None:
    """Leave in a run what matching would have left."""
    folder = run.paths.stage("scenes")
    rows = {"round": [1, 1, 2], "condition": ["codec=", "noise=rain", "codec="], "log_weight": [0.5, -0.3, 0.1]}
    write_table(folder / "matching.csv", pd.DataFrame(rows))
    pilots = {"pilot": ["as configured", "matched once"], "n_scenes": [96, 96], "auc": [0.9, 0.8]}
    write_table(folder / "pilots.csv", pd.DataFrame(pilots))


def forget_unlabeled(run) -> None:
    """Leave a run as if its data had no unlabeled clips."""
    folder = run.paths.stage("prepare")
    is_kept = (read_table(folder / "clips.csv", CLIP_TEXT)["split"] != "unlabeled").to_numpy()
    write_array(folder / "fingerprints.npy", read_array(folder / "fingerprints.npy")[is_kept])
    for name in ("clips", "audit"):
        table = read_table(folder / f"{name}.csv", CLIP_TEXT)
        write_table(folder / f"{name}.csv", table[table["split"] != "unlabeled"])


@pytest.mark.parametrize(
    ("change", "words", "n_figures"),
    [(match, "scenes were matched", 14), (forget_unlabeled, "no unlabeled clips to compare with", 6)],
)
def test_domain_gap_of_other_runs(change, words, n_figures, damageable, monkeypatch, tmp_path):
    change(damageable)
    notebook = REPOSITORY / "notebooks" / "03_domain_gap.py"
    outputs = executed(notebook, damageable.home, damageable.overrides, monkeypatch, tmp_path)
    assert int(outputs[-1]["text"]) == n_figures
    assert any(words in output.get("text", "") for output in outputs)
