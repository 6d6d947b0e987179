"""Notebooks run on a finished run, define nothing, hold no outputs, and label what they draw."""

import ast
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))
MIN_FIGURES = {"01_eda": 6, "02_error_analysis": 12}
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


def test_runs(notebook, finished_run, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKEVOICE_HOME", str(finished_run.home))
    monkeypatch.setenv("FAKEVOICE_CONFIG", "demo")
    monkeypatch.setenv("FAKEVOICE_OVERRIDES", " ".join(finished_run.overrides))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    read = jupytext.read(notebook)
    read.cells = [nbformat.v4.new_code_cell(LOOK), *read.cells, nbformat.v4.new_code_cell("print(len(drawn))")]
    client = NotebookClient(read, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute()  # raises on the first cell with an error
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    n_pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert n_pictures == int(outputs[-1]["text"]) >= MIN_FIGURES[named(notebook)]
    assert any("audio" in output.get("data", {}).get("text/html", "") for output in outputs)
