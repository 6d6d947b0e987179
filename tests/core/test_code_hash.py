"""Cache keys contain the code that an artifact depends on, found by following imports."""

import ast

import pytest

from fakevoice.core import code_hash, plugins
from fakevoice.core.config import load_config
from fakevoice.pipeline.runner import STAGES, code_of

CODE = '"""One."""\n\ndef f(x):\n    """Two."""\n    return x + 1  # three\n'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package; write its modules with `write`."""
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    monkeypatch.setattr(code_hash, "CACHE", tmp_path / "code_hashes.json")
    for function in (code_hash._parsed, code_hash._is_module):
        function.cache_clear()
    yield tmp_path
    for function in (code_hash._parsed, code_hash._is_module):
        function.cache_clear()


def write(package, **files: str) -> None:
    for name, text in files.items():
        path = package / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def digest(package, text: str) -> str:
    write(package, module=text)
    return code_hash.read_code(package / "module.py").digest


@pytest.mark.parametrize(("old", "new"), [("One", "1"), ("Two", "2"), ("# three", "# 3"), ("\n\n", "\n\n\n\n")])
def test_comments_docstrings_and_layout_do_not_count(package, old, new):
    assert digest(package, CODE) == digest(package, CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("+ 1", "+ 2"), ("x + 1", "1 + x"), ("(x)", "(x, y=0)")])
def test_code_counts(package, old, new):
    assert digest(package, CODE) != digest(package, CODE.replace(old, new))


def test_strings_that_are_not_docstrings_count(package):
    assert digest(package, "x = 'a'\n") != digest(package, "x = 'b'\n")


def test_imports_are_followed_inside_functions_too(package):
    write(
        package,
        a="from fakevoice import b\ndef f():\n    from fakevoice.c.d import x\n",
        b="import numpy\n",
        c__d="from fakevoice.c import e\nx = 1\n",
        c__e="",
        unrelated="",
    )
    assert set(code_hash.hashes(["a"], {})) == {"a.py", "b.py", "c/d.py", "c/e.py"}


@pytest.mark.parametrize(
    "statement", ["import fakevoice.c.d", "import fakevoice.c.d as d", "from fakevoice.c import d, x"]
)
def test_every_form_of_import_counts(package, statement):
    write(package, a=f"{statement}\n", c__d="", c____init__="x = 1\n")
    assert set(code_hash.hashes(["a"], {})) == {"a.py", "c/d.py"}


def test_imports_for_type_checkers_do_not_count(package):
    write(package, a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fakevoice import b\n", b="")
    assert set(code_hash.hashes(["a"], {})) == {"a.py"}


def test_the_closure_has_all_of_core_and_the_packages_of_its_modules(package):
    write(package, a="from fakevoice.core import paths\n", core__paths="", other="", unrelated__other="")
    for folder in (package, package / "core", package / "unrelated"):
        (folder / "__init__.py").write_text("")
    assert code_hash.closure(["a"], {}) == ["__init__.py", "a.py", "core/__init__.py", "core/paths.py"]


def test_of_core_only_what_shapes_artifacts_counts(package):
    write(package, a="from fakevoice.core import artifacts, paths\n", core__artifacts="", core__paths="")
    assert set(code_hash.hashes(["a"], {})) == {"a.py", "core/artifacts.py"}


@pytest.mark.parametrize(
    ("call", "named", "found"),
    [
        ("plugins.load('noises', 'rain')", {"noises": ["wind"]}, {"rain"}),
        ("plugins.load('noises', name)", {"noises": ["wind"]}, {"wind"}),
        ("plugins.load('noises', name)", {"noises": []}, set()),
        ("plugins.load('noises', name)", {}, {"rain", "wind"}),
        ("plugins.names('noises')", {"noises": ["wind"]}, {"rain", "wind"}),
    ],
)
def test_plugins_that_are_loaded_by_name_count(package, call, named, found):
    noises = {f"audio__synthesis__noises__{name}": "" for name in ("rain", "wind")}
    write(package, a=f"from fakevoice.core import plugins\nx = lambda name: {call}\n", **noises)
    files = code_hash.hashes(["a"], named)
    assert {file.rpartition("/")[2] for file in files} - {"a.py"} == {f"{name}.py" for name in found}


def test_what_a_plugin_loads_by_a_computed_name_counts_whatever_the_config_names(package):
    noises = {f"audio__synthesis__noises__{name}": "" for name in ("rain", "wind")}
    code = "from fakevoice.core import plugins\nx = lambda name: plugins.load('noises', name)\n"
    write(package, training__augment__noise=code, **noises)
    assert len(code_hash.hashes(["training.augment.noise"], {"noises": ["wind"]})) == 3


def test_parsing_is_kept_between_processes_as_long_as_the_bytes_are_the_same(package):
    write(package, a="x = 1\n")
    before = code_hash.hashes(["a"], {})
    code_hash._parsed.cache_clear()
    assert code_hash._parsed().by_source and code_hash.hashes(["a"], {}) == before
    write(package, a="x = 2\n")  # of the same size
    assert code_hash.hashes(["a"], {}) != before


def test_a_damaged_cache_is_ignored(package):
    write(package, a="x = 1\n")
    for text in ("{", "[1]", '{"k": 3}', '{"k": ["d", [], [[1]]]}'):
        code_hash.CACHE.write_text(text)
        code_hash._parsed.cache_clear()
        assert set(code_hash.hashes(["a"], {})) == {"a.py"}


@pytest.mark.parametrize("name", ["voices", "dacon", "demo", "emotion", "deep_voice"])
def test_no_stage_depends_on_what_only_shows_results(name):
    config = load_config(name)
    files = {file for stage in STAGES for file in code_of(stage, config)}
    assert not [file for file in files if file.split("/")[0] in ("cli", "serve", "monitor", "export", "report")]


HIDDEN = {"import_module", "__import__", "exec", "eval", "run_module", "run_path", "spec_from_file_location"}


def unseen_imports(source: str) -> list[int]:
    """Lines whose imports `code_hash` cannot follow."""
    tree = ast.parse(source)
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_of_plugins(node.func):
            n_arguments = {"load": 2, "names": 1, "chosen": 2}[node.func.attr]
            if len(node.args) == n_arguments and isinstance(node.args[0], ast.Constant) and not node.keywords:
                seen.add(node.func)
    return sorted({node.lineno for node in ast.walk(tree) if is_hidden(node) and node not in seen})


def is_of_plugins(node: ast.AST) -> bool:
    """``x.load``, ``x.names`` and ``x.chosen`` where x is the module of plug-ins, by this name or its full one."""
    if not isinstance(node, ast.Attribute) or node.attr not in ("load", "names", "chosen"):
        return False
    return ast.unparse(node.value).split(".")[-1] == "plugins"


def is_hidden(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(module="fakevoice.core.plugins", names=names):
            return bool({alias.name for alias in names} & {"load", "names", "chosen", "*"})
        case ast.ImportFrom(module=module, names=names, level=level):
            own = (module or "").split(".")[0] == "fakevoice"
            renamed = any(alias.name == "plugins" and alias.asname for alias in names)
            return (
                level > 0
                or bool(HIDDEN & {alias.name for alias in names})
                or (own and (renamed or names[0].name == "*"))
            )
        case ast.Import(names=names):
            return any(alias.name in ("runpy", "importlib", "fakevoice.core.plugins") for alias in names)
        case ast.Call(func=ast.Name(id=name)):
            return name in HIDDEN
        case ast.Attribute(attr=name):
            return is_of_plugins(node) or name in HIDDEN - {"eval", "exec"}  # a network has `eval`
    return False


@pytest.mark.parametrize(
    "line",
    [
        "import importlib",
        "from importlib import import_module",
        "x = __import__('fakevoice.a')",
        "exec(text)",
        "import runpy",
        "from . import a",
        "from fakevoice.audio import *",
        "import fakevoice.core.plugins",
        "from fakevoice.core import plugins as p",
        "from fakevoice.core.plugins import load",
        "x = plugins.load(kind, 'a')",
        "x = plugins.names(kind)",
        "x = plugins.chosen(kind, [])",
        "x = plugins.load(kind='noises', name='a')",
        "x = plugins.load(*args)",
        "x = map(plugins.load, kinds, names)",
        "load = plugins.load",
    ],
)
def test_imports_that_cannot_be_followed_are_found(line):
    assert unseen_imports(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "x = plugins.load('noises', name)",
        "from importlib.metadata import version",
        "from fakevoice.core.plugins import PACKAGE",
        "model.eval()",
    ],
)
def test_imports_that_can_be_followed_pass(line):
    assert unseen_imports(line) == []


def test_no_stage_depends_on_code_that_its_key_misses():
    """Every plug-in counts here, named by a config or not."""
    plugin_modules = [
        f"{folder}.{name}".replace("/", ".") for kind, folder in plugins.FOLDERS.items() for name in plugins.names(kind)
    ]
    files = code_hash.hashes(plugin_modules, {})
    found = [f"{file}:{line}" for file in files for line in unseen_imports((plugins.PACKAGE / file).read_text())]
    assert len(files) > 100 and not found, f"cache keys miss what these lines import: {', '.join(found)}"


def test_packages_hold_no_code():
    """An import of a package is not followed into its __init__."""
    for path in plugins.PACKAGE.glob("*/**/__init__.py"):
        assert len(ast.parse(path.read_bytes()).body) <= 1, path
