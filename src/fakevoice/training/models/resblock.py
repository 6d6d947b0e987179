"""Residual blocks with max pooling, for small pictures such as spoken digits (He et al. 2016)."""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Width


class PoolingBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, then the larger of each two neighbours on both axes."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()),
            *(nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.layers(x) + self.shortcut(x))
        return F.max_pool2d(y, 2, ceil_mode=True)  # a picture of one pixel stays one


class ResidualPictureNet(nn.Module):
    """Stem, blocks that halve both axes, the mean over the picture, one dense layer, linear head."""

    def __init__(self, n_outputs: int, width: int, n_blocks: int, n_dense: int, dropout: float):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        widths = [width, *(width * 2**block for block in range(n_blocks))]
        self.blocks = nn.Sequential(*(PoolingBlock(*sizes) for sizes in pairwise(widths)))
        self.dense = nn.Sequential(nn.Linear(widths[-1], n_dense), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(n_dense, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        return self.head(self.dense(self.blocks(self.stem(x)).mean(dim=(2, 3))))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 32,
    n_blocks: Annotated[int, Field(ge=1, le=6)] = 3,
    n_dense: Width = 128,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
) -> nn.Module:
    """The network for spectrograms of any shape; the defaults with 2 outputs have 324,642 parameters.

    Args:
        shape: (n_bands, n_frames); the network pools, so that it only has to be known to be positive.
        width: channels of the stem and of the first block, doubled in each block after.
        n_dense: width of the dense layer.
    """
    return ResidualPictureNet(n_outputs, width, n_blocks, n_dense, dropout)
