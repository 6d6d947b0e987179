"""Makes torchvision importable, which libraries of networks import although none of it is used here."""

import sys

import torch

_SCHEMAS = []


def ready_torchvision() -> None:
    """Import torchvision, also where it was built for CUDA and torch was not.

    Such a torchvision dies on import because its own operators are missing (pytorch/vision#9085);
    none of them is used here, so declaring two of them is enough. Where torchvision is whole,
    nothing is done.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.append(library)  # the declarations live as long as this object
