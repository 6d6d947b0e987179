"""The layers of the package, and imports that stay fast."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from fakevoice.core import plugins
from fakevoice.core.config import REPOSITORY

PACKAGE = Path(__file__).parents[1] / "src" / "fakevoice"
PLUGIN_FOLDERS = {*plugins.FOLDERS.values(), "export/example", "packaging/scripts"}
MODULES = sorted(file.relative_to(PACKAGE).with_suffix("").as_posix() for file in PACKAGE.rglob("*.py"))
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "librosa",
    "lightgbm",
    "albumentations",
    "cv2",
    "sklearn",
    "dask",
    "distributed",
}
OUTSIDE = re.compile(r"(?:^|[\s'\"=:])(?:\.\./|~/|/(?:home|work|tmp|root|mnt|opt|usr|var|etc|Users)\b)")


def tree_of(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def test_a_package_imports_only_packages_below_it(capsys):
    """The layers are listed in pyproject.toml."""
    code = lint_imports(str(REPOSITORY / "pyproject.toml"), cache_dir=None)
    assert code == 0, capsys.readouterr().out


def test_every_package_says_what_is_in_it():
    """The docstring of a package names each of its files and folders, in the order in which data passes through."""
    for folder in [PACKAGE, *(path for path in PACKAGE.rglob("*") if (path / "__init__.py").is_file())]:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        if folder.relative_to(PACKAGE).as_posix() in PLUGIN_FOLDERS:
            continue
        names = [file.stem for file in folder.glob("*.py")] + [path.name for path in folder.iterdir() if path.is_dir()]
        for name in set(names) - {"__init__", "__main__", "__pycache__", "templates"}:
            assert re.search(rf"\b{name}\b", text), f"{folder.name}/__init__.py does not mention {name}"


def test_packages_run_nothing_on_import():
    for module in MODULES:
        if module.endswith("__init__"):
            kinds = {type(node) for node in tree_of(module).body}
            assert kinds <= {ast.Expr, ast.Assign}, module


@pytest.mark.parametrize("module", MODULES)
def test_no_path_outside_the_project(module):
    texts = [node.value for node in ast.walk(tree_of(module)) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if isinstance(text, str) and OUTSIDE.search(text)]


def heavy_after(code: str, **environment: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has loaded after running some code."""
    report = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}; {report}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return HEAVY & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["fakevoice.cli.command_line", "fakevoice.pipeline.runner", "fakevoice.core.config"])
def test_light_to_import(module):
    assert not heavy_after(f"import {module}")


def test_every_stage_is_light_to_import():
    assert not heavy_after(
        "from fakevoice.core import plugins; from fakevoice.pipeline.runner import STAGES; "
        "[plugins.load('stages', s) for s in STAGES]"
    )


def test_status_of_a_finished_run_is_light(finished_run):
    words = ["status", "--config", "demo", *finished_run.overrides]
    assert not heavy_after(
        f"from fakevoice.cli.command_line import main; main({words!r})", FAKEVOICE_HOME=str(finished_run.home)
    )
