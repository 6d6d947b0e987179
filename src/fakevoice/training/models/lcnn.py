"""Light CNN: convolutions whose channels compete in pairs (Wu et al. 2018; Wang & Yamagishi 2021)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn


class MaxFeatureMap(nn.Module):
    """A convolution of twice the channels, of which the larger of each pair is kept (Wu et al. 2018, section 3.1)."""

    def __init__(self, n_in: int, n_out: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(n_in, 2 * n_out, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(*self.conv(x).chunk(2, dim=1))


class AttentionPooling(nn.Module):
    """Weighted mean over time, one learned weight per frame."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.score = nn.Linear(n_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.score(x).float().softmax(dim=1)).sum(dim=1)


class MeanPooling(nn.Module):
    """Mean over time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


class RecurrentPooling(nn.Module):
    """Mean over time of the frames and of what two bidirectional LSTM layers add to them (Wang & Yamagishi 2021)."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.lstm = nn.LSTM(n_channels, n_channels // 2, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.lstm(x)[0]).mean(dim=1)


POOLINGS = {"mean": lambda n_channels: MeanPooling(), "attention": AttentionPooling, "lstm": RecurrentPooling}


class LightCNN(nn.Module):
    """Nine max-feature-map layers and four poolings, then one vector per frame, pooled over time."""

    def __init__(self, n_bands: int, n_outputs: int, width: int, pooling: str, dropout: float):
        super().__init__()
        wide, wider = 3 * width // 2, 2 * width
        self.layers = nn.Sequential(
            *(MaxFeatureMap(1, width, 5), _halve()),
            *(MaxFeatureMap(width, width, 1), _norm(width), MaxFeatureMap(width, wide, 3), _halve(), _norm(wide)),
            *(MaxFeatureMap(wide, wide, 1), _norm(wide), MaxFeatureMap(wide, wider, 3), _halve()),
            *(MaxFeatureMap(wider, wider, 1), _norm(wider), MaxFeatureMap(wider, width, 3), _norm(width)),
            *(MaxFeatureMap(width, width, 1), _norm(width), MaxFeatureMap(width, width, 3), _halve()),
            nn.Dropout(dropout),
        )
        n_channels = width * -(-n_bands // 16)
        self.pooling = POOLINGS[pooling](n_channels)
        self.head = nn.Linear(n_channels, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        frames = self.layers(x).flatten(1, 2).transpose(1, 2)  # (batch, n_frames / 16, width * n_bands / 16)
        return self.head(self.pooling(frames))


def _halve() -> nn.Module:
    return nn.MaxPool2d(2, ceil_mode=True)  # 60 bands become 4, not 3, and a single frame stays one


def _norm(n_channels: int) -> nn.Module:
    return nn.BatchNorm2d(n_channels, affine=False)


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Annotated[int, Field(ge=2, le=16384, multiple_of=2)] = 32,
    pooling: Literal["mean", "attention", "lstm"] = "mean",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.7,
) -> nn.Module:
    """The network for spectrograms of any shape; the defaults on 60 bands with 2 outputs have 157,762 parameters.

    Layers, widths and dropout are those of the LFCC-LCNN of ASVspoof 2021 up to its recurrent layers, which
    give way to pooling over time; pooling=lstm has them too, and 356,418 parameters.

    Args:
        shape: (n_bands, n_frames).
        width: channels of the first layer; the others have 1, 1.5 or 2 times as many.
        pooling: over time: the mean, a mean weighted by learned attention, or the mean behind two bidirectional
            LSTM layers with a skip around them.
    """
    return LightCNN(shape[0], n_outputs, width, pooling, dropout)
