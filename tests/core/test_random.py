"""Random streams are named, independent of each other and the same in every process."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest

from fakevoice.core import plugins
from fakevoice.core.random import MAX_INTEGER, Stream, generator, integer

OUTSIDE = ("core/random.py",)


def first(*arguments) -> tuple[int, int]:
    return integer(*arguments), int(generator(*arguments).integers(2**62))


def test_every_stream_has_a_name_and_draws_of_its_own():
    streams = list(Stream.__members__.values())
    assert len({stream.value for stream in streams}) == len(streams)
    assert len({first(stream, 0) for stream in streams}) == len(streams)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0,), (1,)),
        ((0, "mel"), (0, "lem")),  # networks whose names are anagrams
        ((0,), (0, 0)),
        ((0, 1), (0, 1, 0)),
        ((0, 1), (0, "1")),
        ((0, 1, 2), (0, 2, 1)),
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, 2**32), (0, 0, 1)),
        ((1, 0), (0, 1)),
    ],
)
def test_other_seeds_or_keys_give_other_draws(one, other):
    pairs = zip(first(Stream.SCENE, *one), first(Stream.SCENE, *other), strict=True)
    assert all(mine != theirs for mine, theirs in pairs)


def test_integers_of_numpy_are_integers():
    assert first(Stream.SCENE, np.int64(3), np.int32(4)) == first(Stream.SCENE, 3, 4)


def test_a_key_that_is_no_integer_is_refused():
    with pytest.raises(TypeError):
        generator(Stream.SCENE, 0, object())


def test_integers_fit_the_libraries_that_take_them():
    drawn = [integer(Stream.STACKER, 0, index) for index in range(200)]
    assert min(drawn) >= 0 and MAX_INTEGER / 2 < max(drawn) <= MAX_INTEGER and len(set(drawn)) == 200


def test_a_new_process_draws_the_same(tmp_path):
    code = "from fakevoice.core.random import *; print(integer(Stream.NETWORK, 7, 'mél', 3))"
    environment = os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent), "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == integer(Stream.NETWORK, 7, "mél", 3)


def test_the_draws_of_a_stream_stay_what_they_are():
    """Another value here changes every artifact of every run."""
    assert integer(Stream.SCENE, 0) == 1796082889


def test_no_module_seeds_a_generator_itself():
    found = []
    for path in plugins.PACKAGE.rglob("*.py"):
        name = path.relative_to(plugins.PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if name not in OUTSIDE and isinstance(node, ast.Attribute) and _seeds(node):
                found.append(f"{name}:{node.lineno}")
    assert not found, f"draw from a stream of core/random.py: {', '.join(found)}"


def _seeds(node: ast.Attribute) -> bool:
    """``np.random.<anything that makes or uses a generator>``; annotations name ``np.random.Generator``."""
    value = node.value
    return isinstance(value, ast.Attribute) and value.attr == "random" and node.attr != "Generator"


def test_every_stream_is_used():
    sources = [path.read_text() for path in plugins.PACKAGE.rglob("*.py")]
    unused = [name for name in Stream.__members__ if not any(f"Stream.{name}" in source for source in sources)]
    assert not unused
