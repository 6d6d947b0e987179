"""A small residual network with statistics pooling over time (He et al. 2016; Snyder et al. 2018)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Depth, Width


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, pre-pooled where the block strides."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Identity()
        if stride != 1 or n_in != n_out:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class AttentiveStatistics(nn.Module):
    """Weighted mean and standard deviation over time (Okabe et al. 2018): a voice may last one second of five."""

    def __init__(self, n_channels: int, n_hidden: int = 32):
        super().__init__()
        self.score = nn.Sequential(nn.Conv1d(n_channels, n_hidden, 1), nn.Tanh(), nn.Conv1d(n_hidden, n_channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.score(x).float().softmax(dim=2)  # (batch, channels, frames)
        x = x.float()
        mean = (x * weight).sum(dim=2)
        variance = (x**2 * weight).sum(dim=2) - mean**2
        return torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1)


class ResNet(nn.Module):
    """Stem, three stages (the later two halve both axes), bands averaged in halves, statistics over time, head."""

    def __init__(self, n_outputs: int, width: int, n_blocks: int, dropout: float):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = [width, 2 * width, 4 * width]
        blocks, n_in = [], width
        for stage, n_out in enumerate(widths):
            for index in range(n_blocks):
                blocks.append(ResidualBlock(n_in, n_out, stride=2 if stage and not index else 1))
                n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.bands = nn.AdaptiveAvgPool2d((2, None))  # low and high half of the bands keep apart
        self.pooling = AttentiveStatistics(2 * n_in)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * n_in, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        y = self.bands(self.blocks(self.stem(x))).flatten(1, 2)  # (batch, 2 * channels, frames)
        return self.head(self.pooling(y))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 16,
    n_blocks: Depth = 1,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> nn.Module:
    """The network for spectrograms of any shape; 16 x 1 with 2 outputs has 86,226 parameters.

    Args:
        shape: (n_bands, n_frames); the network pools, so that it only has to be known to be positive.
        width: channels of the first stage, doubled twice.
        n_blocks: residual blocks per stage.
    """
    return ResNet(n_outputs, width, n_blocks, dropout)
