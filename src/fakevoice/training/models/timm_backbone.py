"""Any image backbone of timm on the spectrogram as a one-channel picture."""

import re
import sys
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core import models
from fakevoice.core.errors import ConfigError
from fakevoice.core.third_party import ready_torchvision

WHOLE_PATCHES = 32  # pixels; a multiple of every usual patch but those of 14, which say so in their names

STARTS_FROM = ("weights", "revision")  # arguments that a trained network is rebuilt without
FILE_TYPES = (".safetensors", ".pth", ".pt", ".bin")
HUB_FILES = ("config.json", models.WEIGHTS)


def import_timm():
    """Import timm, also where torchvision was built for CUDA and torch was not."""
    ready_torchvision()
    import timm

    return timm


class Backbone(nn.Module):
    """A timm model behind whole patches or resized pictures, its first parameters frozen.

    Args:
        rate_decay: of `rate_factors`.
        step: both sides of a picture are padded to multiples of it.
        size: (height, width) to which pictures are resized instead; None keeps theirs.
    """

    def __init__(self, net: nn.Module, step: int, n_frozen: int, rate_decay: float, size: tuple[int, int] | None):
        super().__init__()
        self.net, self.step, self.rate_decay, self.size = net, step, rate_decay, size
        for parameter in list(net.parameters())[:n_frozen]:
            parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """As of any module, but batch normalisation whose parameters are frozen keeps its statistics too."""
        super().train(mode)
        for module in self.modules():
            own = list(module.parameters(recurse=False))
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and not any(p.requires_grad for p in own):
                module.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        if self.size:
            return self.net(F.interpolate(x, self.size, mode="bilinear", align_corners=False))
        n_bands, n_frames = x.shape[2:]
        return self.net(F.pad(x, (0, -n_frames % self.step, 0, -n_bands % self.step)))

    def rate_factors(self) -> dict[nn.Parameter, float]:
        """Learning rates by stage, from the stem to the classifier, as multiples of ``training.learning_rate``."""
        from timm.models import group_parameters

        stages = group_parameters(self.net, self.net.group_matcher(coarse=True), reverse=True)
        last = max(stages.values())
        parameters = self.net.named_parameters()
        return {parameter: self.rate_decay ** (last - stages[name]) for name, parameter in parameters}


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    backbone: str = "resnet18",
    weights: str = "",
    revision: str = "main",
    n_frozen: Annotated[int, Field(ge=0, le=10_000)] = 0,
    rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0,
    resize: bool = False,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> nn.Module:
    """A timm model with one input channel; the default with 2 outputs has 11,171,266 parameters.

    Args:
        shape: (n_bands, n_frames); fully convolutional backbones take any, others are made for this one.
        backbone: a name of ``timm.list_models()``.
        weights: a checkpoint of the same backbone; random if empty. A file, ``.safetensors`` or ``.pth``, or a name on
            the hub such as ``timm/resnet18.a1_in1k``. A classifier of another size is left out; a first layer of
            several channels is summed to one.
        revision: commit, tag or branch that ``./run.sh fetch-models`` downloads.
        n_frozen: so many parameters (tensors, in the order of ``named_parameters()``) are not trained.
        rate_decay: learning rate of each stage as a multiple of that of the next one; that of the classifier is
            ``training.learning_rate``.
        resize: pictures to the size that the backbone was pretrained with, mostly 224 x 224, bilinearly. Without it
            they keep their size, and transformers are built for it.

    Raises:
        ConfigError: timm has no such backbone, its weights are missing or of another network, nothing is left to train.
    """
    timm = import_timm()
    if not timm.is_model(backbone):
        raise ConfigError(f"timm has no backbone {backbone!r}; timm.list_models() lists them")
    step, size = 1, {}
    resized = tuple(timm.get_pretrained_cfg(backbone).input_size[1:]) if resize else None
    if timm.get_pretrained_cfg(backbone).fixed_input_size and not resize:
        step = _patch(backbone)
        size = {"img_size": tuple(-(-n // step) * step for n in shape)}
    try:
        net = timm.create_model(backbone, in_chans=1, num_classes=n_outputs, drop_rate=dropout, **size)
    except (OSError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"timm cannot make {backbone!r}: {error}") from error
    for file in weight_files(weights=weights):
        _load(net, file, backbone)
    n_parameters = len(list(net.parameters()))
    if n_frozen >= n_parameters:
        raise ConfigError(f"n_frozen {n_frozen} must be less than the {n_parameters} parameters of {backbone}")
    return Backbone(net, step, n_frozen, rate_decay, resized)


def weight_files(*, weights: str = "", **args) -> list[Path]:
    """The file that the weights start from; none with random weights.

    Raises:
        ConfigError: a name on the hub that was not downloaded.
    """
    if not weights:
        return []
    return [Path(weights) if weights.endswith(FILE_TYPES) else models.find(weights) / HUB_FILES[-1]]


def fetch(*, weights: str = "", revision: str = "main", **args) -> Path | None:
    """Download the weights from the hub unless they are there; their folder, None where nothing is to download."""
    if not weights or weights.endswith(FILE_TYPES):
        return None
    return models.fetch(weights, revision, HUB_FILES)


def _patch(backbone: str) -> int:
    named = re.search(r"patch(\d+)", backbone)
    return int(named[1]) if named else WHOLE_PATCHES


def _load(net: nn.Module, path: Path, backbone: str) -> None:
    """Give a network the weights of a file, all of them but a classifier of another size."""
    if not path.is_file():
        raise ConfigError(f"weights: there is no file {path}")
    try:
        state = _translated(import_timm().models.load_state_dict(str(path), weights_only=True), net)
    except Exception as error:  # a file of something else fails in as many ways as there are files
        raise ConfigError(
            f"weights: {path} cannot be read as those of {backbone}: "
            "give a .safetensors or .pth of its tensors by name, with nothing else in it"
        ) from error
    own, classifiers = net.state_dict(), _classifiers(net)
    fits = {name for name in state.keys() & own.keys() if state[name].shape == own[name].shape}
    wrong = sorted(
        name for name in (state.keys() | own.keys()) - fits if not name.startswith(classifiers) and _is_learned(name)
    )
    if wrong:
        raise ConfigError(
            f"weights: {path} is no checkpoint of {backbone}: {len(wrong)} tensors are missing, too many or of another "
            f"size, the first of them {wrong[0]}"
        )
    net.load_state_dict({name: state[name] for name in fits}, strict=False)


def _translated(state: dict[str, torch.Tensor], net: nn.Module) -> dict[str, torch.Tensor]:
    """A checkpoint under timm's names, for pictures of the network's size and number of channels."""
    translate = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    state, own = translate(state, net) if translate else state, net.state_dict()
    return {name: _summed(tensor, own[name].shape) if name in own else tensor for name, tensor in state.items()}


def _summed(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A convolution of several channels as the one that gives the same answer where all of them are alike."""
    same_but_channels = len(shape) == 4 and tensor.shape[:1] + tensor.shape[2:] == shape[:1] + shape[2:]
    return tensor.sum(dim=1, keepdim=True) if same_but_channels and shape[1] == 1 else tensor


def _classifiers(net: nn.Module) -> tuple[str, ...]:
    names = net.pretrained_cfg["classifier"]
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _is_learned(name: str) -> bool:
    return not name.endswith("num_batches_tracked")  # which old files lack, and nothing here reads
