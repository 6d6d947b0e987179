"""Plug-ins are found by file name, their arguments are checked, their code is hashed."""

import pytest

from fakevoice import lookup
from fakevoice.errors import ConfigError


def plugin(x, plain=0, *, n_bands: int = 3, fmax_hz: float | None = None, kind: str = "a"):
    return x, plain, n_bands, fmax_hz, kind


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "PACKAGE", tmp_path)
    lookup.source_hash.cache_clear()
    yield tmp_path
    lookup.source_hash.cache_clear()


def test_a_file_is_a_plugin(package):
    (package / "features").mkdir()
    for name in ("zebra", "mel", "__init__"):
        (package / "features" / f"{name}.py").touch()
    assert lookup.names("features") == ["mel", "zebra"]


def test_load_gives_the_module():
    assert lookup.load("features", "mel").__name__ == "fakevoice.features.mel"


def test_an_unknown_plugin_is_told_what_exists():
    with pytest.raises(ConfigError, match=r"no features/mell\.py; did you mean 'mel'\? valid: .*mfcc") as caught:
        lookup.load("features", "mell")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("args", [{}, {"n_bands": 5}, {"fmax_hz": None}, {"fmax_hz": 1}, {"kind": "b"}])
def test_fitting_arguments_pass(args):
    lookup.check_args(plugin, args, "here")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"n_band": 5}, "here: unknown key 'n_band'; did you mean 'n_bands'"),
        ({"plain": 5}, "here: unknown key 'plain'"),  # only what stands behind the star is the config's
        ({"n_bands": "many"}, "here.n_bands = 'many'"),
        ({"n_bands": 2.5}, r"here.n_bands = 2\.5"),
        ({"kind": 3}, "here.kind = 3"),
    ],
)
def test_wrong_arguments_are_named(args, message):
    with pytest.raises(ConfigError, match=message):
        lookup.check_args(plugin, args, "here")


CODE = '"""One."""\n\ndef f(x):\n    """Two."""\n    return x + 1  # three\n'


def hash_of(package, text: str) -> str:
    (package / "module.py").write_text(text, encoding="utf-8")
    lookup.source_hash.cache_clear()
    return lookup.source_hash("module")


@pytest.mark.parametrize(("old", "new"), [("One", "1"), ("Two", "2"), ("# three", "# 3"), ("\n\n", "\n\n\n\n")])
def test_hash_is_blind_to_comments_docstrings_and_layout(package, old, new):
    assert hash_of(package, CODE) == hash_of(package, CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("+ 1", "+ 2"), ("x + 1", "1 + x"), ("(x)", "(x, y=0)")])
def test_hash_sees_code(package, old, new):
    assert hash_of(package, CODE) != hash_of(package, CODE.replace(old, new))


def test_hash_sees_strings_that_are_not_docstrings(package):
    assert hash_of(package, "x = 'a'\n") != hash_of(package, "x = 'b'\n")
