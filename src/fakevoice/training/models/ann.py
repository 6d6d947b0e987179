"""A multilayer perceptron on all pixels of a spectrogram (Rosenblatt 1958; Rumelhart, Hinton & Williams 1986)."""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError


class PixelPerceptron(nn.Module):
    """The picture as one vector, hidden layers, linear head."""

    def __init__(self, shape: tuple[int, int], n_outputs: int, widths: tuple[int, ...], norm: bool, dropout: float):
        super().__init__()
        self.shape = tuple(shape)
        layers = []
        for n_in, n_out in pairwise([shape[0] * shape[1], *widths]):
            normed = [nn.BatchNorm1d(n_out)] if norm else []
            layers.append(nn.Sequential(nn.Linear(n_in, n_out), *normed, nn.ReLU(), nn.Dropout(dropout)))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames).

        Raises:
            ConfigError: pictures of another shape than the network was built for.
        """
        if x.shape[2:] != self.shape:
            raise ConfigError(f"ann was built for {self.shape} pixels, not {tuple(x.shape[2:])}: each has its weights")
        return self.head(self.layers(x.flatten(1)))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (1024, 512, 256),
    norm: bool = True,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
) -> nn.Module:
    """The network for clips of one length; the defaults on 64 x 188 pixels with 2 outputs have 12,982,018
    parameters.

    The published one has no normalisation and 1 output: 12,978,177.

    Args:
        shape: (n_bands, n_frames); the first layer grows with both.
        widths: of the hidden layers.
        norm: batch normalisation in each hidden layer.
    """
    return PixelPerceptron(shape, n_outputs, widths, norm, dropout)
