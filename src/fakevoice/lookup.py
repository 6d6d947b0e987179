"""Finds plug-ins by file name: `features/mel.py` is the feature "mel"; nothing is registered."""

import ast
import hashlib
import importlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fakevoice.errors import ConfigError, nearest

PACKAGE = Path(__file__).parent


def names(kind: str) -> list[str]:
    """Names of all plug-ins of one kind, e.g. ``names("features")`` → ``["mel", "mfcc"]``."""
    return sorted(file.stem for file in (PACKAGE / kind).glob("*.py") if file.stem != "__init__")


@cache  # it is asked for every clip
def load(kind: str, name: str) -> ModuleType:
    """Import one plug-in.

    Raises:
        ConfigError: there is no such file; the message lists what exists.
    """
    _refuse_unknown(kind, name)
    return importlib.import_module(f"fakevoice.{kind}.{name}")


def _refuse_unknown(kind: str, name: str) -> None:
    if name not in names(kind):
        raise ConfigError(f"no {kind}/{name}.py; {nearest(name, names(kind))}")


def check_args(function: Callable, args: dict[str, Any], where: str) -> None:
    """Hold a plug-in's arguments from the config against the keyword-only parameters of its function.

    Raises:
        ConfigError: an unknown name (with the nearest valid one) or a value of the wrong type.
    """
    parameters = inspect.signature(function).parameters
    valid = {name: p.annotation for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for name, value in args.items():
        if name not in valid:
            raise ConfigError(f"{where}: unknown key {name!r}; {nearest(name, sorted(valid))}")
        try:
            TypeAdapter(valid[name]).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{where}.{name} = {value!r}: {error.errors()[0]['msg']}") from error


@cache
def source_hash(module: str) -> str:
    """Hash of what a module's code does, blind to comments and docstrings.

    It is part of the artefacts' keys: whoever edits `features/mel.py` and reruns gets new mel
    features, whoever mends its docstring does not.

    Args:
        module: path below the package without ``.py``, e.g. ``"features/mel"``.

    Raises:
        ConfigError: as `load`.
    """
    kind, _, name = module.rpartition("/")
    _refuse_unknown(kind, name)
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
