"""A residual network that sees ever further in time, and attends to moments (Yu & Koltun 2016; Okabe et al. 2018)."""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Width


class DilatedBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, whose frames lie `rate` apart; a wider block halves the bands first."""

    def __init__(self, n_in: int, n_out: int, rate: int):
        super().__init__()
        self.pool, self.shortcut = nn.Identity(), nn.Identity()
        if n_in != n_out:
            self.pool = nn.AvgPool2d((2, 1), ceil_mode=True)
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))
        self.layers = nn.Sequential(
            *(_convolution(n_in, n_out, rate), nn.BatchNorm2d(n_out), nn.ReLU()),
            *(_convolution(n_out, n_out, rate), nn.BatchNorm2d(n_out)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x)
        return F.relu(self.layers(x) + self.shortcut(x))


def _convolution(n_in: int, n_out: int, rate: int) -> nn.Module:
    return nn.Conv2d(n_in, n_out, 3, padding=(1, rate), dilation=(1, rate), bias=False)


class TimeAttention(nn.Module):
    """Mean over time (batch, n_channels, n_frames), weighted by one learned weight per frame."""

    def __init__(self, n_channels: int, n_hidden: int = 32):
        super().__init__()
        self.score = nn.Sequential(nn.Conv1d(n_channels, n_hidden, 1), nn.Tanh(), nn.Conv1d(n_hidden, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.score(x).float().softmax(dim=2)).sum(dim=2)


class DilatedResNet(nn.Module):
    """Stem that halves both axes, blocks with all their frames, the mean over bands, attention over time, head."""

    def __init__(self, n_outputs: int, width: int, n_blocks: int, dropout: float):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = [width, *(width * 2 ** (block // 2) for block in range(n_blocks))]
        self.blocks = nn.Sequential(
            *(DilatedBlock(*sizes, rate=2**block) for block, sizes in enumerate(pairwise(widths)))
        )
        self.pooling = TimeAttention(widths[-1])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        return self.head(self.pooling(self.blocks(self.stem(x)).mean(dim=2)))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 16,
    n_blocks: Annotated[int, Field(ge=1, le=8)] = 6,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> nn.Module:
    """The network for spectrograms of any shape; the defaults with 2 outputs have 176,819 parameters.

    Args:
        shape: (n_bands, n_frames); the network pools, so that it only has to be known to be positive.
        width: channels of the first two blocks, doubled in every second one after.
        n_blocks: residual blocks, of dilation 1, 2, 4 ... in time.
    """
    return DilatedResNet(n_outputs, width, n_blocks, dropout)
