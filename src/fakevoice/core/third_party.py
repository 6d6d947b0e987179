"""Imports of libraries that need preparation: torchvision next to a CPU build of torch, and transformers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch

_SCHEMAS = []


def ready_torchvision() -> None:
    """Import torchvision, also where it was built for CUDA and torch was not.

    Such a torchvision dies on import because its own operators are missing (pytorch/vision#9085);
    none of them is used here, so declaring two of them is enough. Where torchvision is complete or not
    installed, nothing is done: transformers works without it.
    """
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")  # no import statement: a package of a code competition need not install it
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.append(library)  # the declarations live as long as this object


def import_transformers() -> ModuleType:
    """Import transformers, which imports torchvision if it is installed."""
    ready_torchvision()
    import transformers

    return transformers


@contextmanager
def quiet(transformers: ModuleType) -> Iterator[None]:
    """Keep transformers from printing progress bars, and reports about parts of a checkpoint that are not used."""
    logging = transformers.utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
