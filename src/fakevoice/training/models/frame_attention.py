"""Layers of a pretrained encoder frame by frame: weights for layers, attentive statistics over time, linear head.

Each clip weights the layers by a sigmoid of their means over time, as Sensitive Layer Selection does (Zhang et al.,
"Audio deepfake detection with self-supervised XLS-R and SLS classifier", ACM Multimedia 2024). Their weighted sum is
pooled into a weighted mean and standard deviation over frames (Okabe et al., "Attentive statistics pooling for deep
speaker embedding", 2018).
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError

VARIANCE_FLOOR = 1e-5


class FrameAttention(nn.Module):
    """Weighted layers, a projection, attentive statistics, linear head."""

    def __init__(self, n_layers: int, n_channels: int, n_outputs: int, width: int, dropout: float):
        super().__init__()
        self.n_layers = n_layers
        self.importance = nn.Linear(n_channels, 1)
        self.preference = nn.Parameter(torch.zeros(n_layers))
        self.projection = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_channels, width), nn.GELU())
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from hidden states (batch, 1, n_layers * n_channels, n_frames)."""
        states = x[:, 0].unflatten(1, (self.n_layers, -1))  # (batch, n_layers, n_channels, n_frames)
        importance = self.importance(states.mean(dim=3))[:, :, 0] + self.preference
        weights = 2.0 * importance.sigmoid() / self.n_layers  # the mean of the layers, before training
        mixed = (states * weights[:, :, None, None]).sum(dim=1)  # (batch, n_channels, n_frames)
        frames = self.projection(mixed.transpose(1, 2))  # (batch, n_frames, width)
        attention = self.score(frames).float().softmax(dim=1)
        mean = (attention * frames).sum(dim=1)
        variance = (attention * (frames - mean[:, None]).square()).sum(dim=1)
        return self.head(torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], dim=1))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    n_layers: Annotated[int, Field(ge=1, le=256)] = 1,
    width: Width = 128,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> nn.Module:
    """On one layer of 512 channels, the default with 2 outputs has 99,716 parameters.

    Args:
        shape: (n_layers * n_channels, n_frames) of an encoder whose feature has ``statistics: null``.
        n_layers: of the encoder in the feature.
        width: channels after the projection, over which frames are pooled.
        dropout: of the inputs and of the pooled statistics.

    Raises:
        ConfigError: the feature does not have so many layers.
    """
    if shape[0] % n_layers:
        raise ConfigError(f"frame_attention: {shape[0]} bands are not {n_layers} layers of an equal number of channels")
    return FrameAttention(n_layers, shape[0] // n_layers, n_outputs, width, dropout)
