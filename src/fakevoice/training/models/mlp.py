"""A multilayer perceptron on the mean of each band, as in the baseline of DACON 236253 (2024)."""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from fakevoice.core.config_sections import Depth, Width


class MeanPerceptron(nn.Module):
    """Mean over time, hidden layers with batch normalisation, linear head."""

    def __init__(self, n_bands: int, n_outputs: int, width: int, n_layers: int, dropout: float):
        super().__init__()
        widths = [n_bands, *[width] * n_layers]
        layers = [
            nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(), nn.Dropout(dropout))
            for n_in, n_out in pairwise(widths)
        ]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames)."""
        return self.head(self.layers(x.mean(dim=(1, 3))))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 128,
    n_layers: Depth = 2,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> nn.Module:
    """The network for clips of any length; 128 x 2 on 13 bands with 2 outputs has 19,074 parameters.

    Args:
        shape: (n_bands, n_frames).
        width: of each hidden layer.
        n_layers: hidden layers.
    """
    return MeanPerceptron(shape[0], n_outputs, width, n_layers, dropout)
