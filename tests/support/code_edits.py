"""Pretends that a module was edited, as the cache keys see it."""

from dataclasses import replace

import pytest

from fakevoice.core import code_hash, plugins


def edit(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Give one file of the package another hash.

    Args:
        file: path below the package, e.g. ``"audio/read.py"``.
    """
    path, original = plugins.PACKAGE / file, code_hash.read_code
    assert path.is_file(), path

    def read(other):
        code = original(other)
        return replace(code, digest="edited") if other == path else code

    monkeypatch.setattr(code_hash, "read_code", read)
