"""Cache keys contain the code that an artifact depends on, found by following imports."""

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


def test_imports_for_type_checkers_do_not_count(package):
    write(package, a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fakevoice import b\n", b="")
    assert set(code_hash.hashes(["a"], {})) == {"a.py"}


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
