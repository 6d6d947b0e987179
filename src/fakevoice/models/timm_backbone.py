"""Any image backbone of timm on the spectrogram as a one-channel picture."""

import sys

import torch
from torch import nn

from fakevoice.errors import ConfigError

_SCHEMAS = []


def import_timm():
    """Import timm, also where torchvision was built for CUDA and torch was not.

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
    import timm

    return timm


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    backbone: str = "resnet18",
    pretrained: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """A timm model with one input channel.

    Args:
        shape: (n_bands, n_frames); fully convolutional backbones take any.
        backbone: a name of ``timm.list_models()``.
        pretrained: load weights from the hub; off by default, since the competition forbids it.

    Raises:
        ConfigError: timm has no such backbone, or its weights cannot be had.
    """
    timm = import_timm()
    if not timm.is_model(backbone):
        raise ConfigError(f"timm has no backbone {backbone!r}; timm.list_models() lists them")
    try:
        return timm.create_model(backbone, pretrained, in_chans=1, num_classes=n_outputs, drop_rate=dropout)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"timm cannot make {backbone!r} (pretrained={pretrained}): {error}") from error
