"""Plug-ins are found by file name: `features/frames/mel.py` is the feature "mel"; nothing is registered."""

import importlib
import inspect
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fakevoice.core.config_sections import holds_booleans, takes_booleans
from fakevoice.core.errors import ConfigError, nearest, shortened

PACKAGE = Path(__file__).parents[1]
FOLDERS = {  # kind of plug-in → its folder in the package
    "datasets": "data/adapters",
    "features": "features/frames",
    "statistics": "features/statistics",
    "encoders": "features/encoders",
    "augment": "training/augment",
    "adaptation": "training/adaptation",
    "models": "training/models",
    "metrics": "metrics/measures",
    "calibrators": "ensemble/calibrators",
    "vocoders": "audio/synthesis/vocoders",
    "noises": "audio/synthesis/noises",
    "stages": "pipeline/stages",
}


def names(kind: str) -> list[str]:
    """Names of all plug-ins of one kind, e.g. ``names("features")`` → ``["mel", "mfcc"]``."""
    return sorted(file.stem for file in (PACKAGE / FOLDERS[kind]).glob("*.py") if file.stem != "__init__")


def chosen(kind: str, configured: Collection[str]) -> list[str]:
    """The plug-ins that a config names; all of that kind where it names none."""
    return list(configured) or names(kind)


@cache  # called for every clip
def load(kind: str, name: str) -> ModuleType:
    """Import one plug-in.

    Raises:
        ConfigError: there is no such file; the message lists the valid names.
    """
    return importlib.import_module(f"fakevoice.{module_name(kind, name)}")


def module_name(kind: str, name: str) -> str:
    """Dotted name of a plug-in below the package, e.g. ``features.frames.mel``.

    Raises:
        ConfigError: there is no such file; the message lists the valid names.
    """
    if name not in names(kind):
        raise ConfigError(f"no {FOLDERS[kind]}/{name}.py; {nearest(name, names(kind))}")
    return f"{FOLDERS[kind]}/{name}".replace("/", ".")


def check_args(function: Callable, args: dict[str, Any], where: str) -> None:
    """Check a plug-in's arguments from the config against the keyword-only parameters of its function.

    Raises:
        ConfigError: an unknown name (with the nearest valid one) or a value of the wrong type.
    """
    parameters = inspect.signature(function).parameters
    valid = {name: p.annotation for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for name, value in args.items():
        if name not in valid:
            raise ConfigError(f"{where}: unknown key {name!r}; {nearest(name, sorted(valid))}")
        if holds_booleans(value) and not takes_booleans(valid[name]):
            raise ConfigError(f"{where}.{name}: true and false are not a number or text")
        try:
            TypeAdapter(valid[name], config=ConfigDict(allow_inf_nan=False)).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{where}.{name} = {shortened(value)}: {error.errors()[0]['msg']}") from error
