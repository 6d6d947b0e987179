"""Plug-ins are found by file name, their arguments are checked."""

import pytest

from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError


def plugin(x, plain=0, *, n_bands: int = 3, fmax_hz: float | None = None, kind: str = "a"):
    return x, plain, n_bands, fmax_hz, kind


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    return tmp_path


def test_a_file_is_a_plugin(package):
    (package / "features" / "frames").mkdir(parents=True)
    for name in ("zebra", "mel", "__init__"):
        (package / "features" / "frames" / f"{name}.py").touch()
    assert plugins.names("features") == ["mel", "zebra"]


def test_load_gives_the_module():
    assert plugins.load("features", "mel").__name__ == "fakevoice.features.frames.mel"


def test_an_unknown_plugin_is_told_what_exists():
    with pytest.raises(ConfigError, match=r"no features/frames/mell\.py; did you mean 'mel'\? valid: .*mfcc") as caught:
        plugins.load("features", "mell")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("args", [{}, {"n_bands": 5}, {"fmax_hz": None}, {"fmax_hz": 1}, {"kind": "b"}])
def test_fitting_arguments_pass(args):
    plugins.check_args(plugin, args, "here")


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
        plugins.check_args(plugin, args, "here")
