"""A plain convolutional network on the spectrogram as a picture (LeCun et al. 1998; Ioffe & Szegedy 2015)."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from fakevoice.core.config_sections import Width


class PictureNet(nn.Module):
    """Blocks that halve both axes, the mean over the picture, one dense layer, linear head."""

    def __init__(self, n_outputs: int, width: int, n_blocks: int, kernel: int, n_dense: int, dropout: float):
        super().__init__()
        widths = [1, *(width * 2**block for block in range(n_blocks))]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
                    nn.BatchNorm2d(n_out),
                    nn.ReLU(),
                    nn.MaxPool2d(2, ceil_mode=True),  # a picture of one pixel stays one
                )
                for n_in, n_out in pairwise(widths)
            )
        )
        self.dense = nn.Sequential(nn.Linear(widths[-1], n_dense), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(n_dense, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        return self.head(self.dense(self.blocks(x).mean(dim=(2, 3))))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 32,
    n_blocks: Annotated[int, Field(ge=1, le=6)] = 3,
    kernel: Literal[1, 3, 5, 7, 9] = 3,
    n_dense: Width = 128,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
) -> nn.Module:
    """The network for spectrograms of any shape; the defaults with 2 outputs have 109,666 parameters.

    With two blocks and a kernel of 5, a small one that is published too, 60,770.

    Args:
        shape: (n_bands, n_frames); the network pools, so that it only has to be known to be positive.
        width: channels of the first block, doubled in each one after.
        kernel: both sides of each convolution, in pixels.
        n_dense: width of the dense layer.
    """
    return PictureNet(n_outputs, width, n_blocks, kernel, n_dense, dropout)
