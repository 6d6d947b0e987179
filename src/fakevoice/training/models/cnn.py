"""A plain convolutional network on the spectrogram as a picture (LeCun et al. 1998; Ioffe & Szegedy 2015)."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError


class PictureNet(nn.Module):
    """Blocks that halve both axes, the mean over the picture or all of its pixels, dense layers, linear head."""

    def __init__(
        self,
        picture: tuple[int, int, int],
        n_outputs: int,
        channels: tuple[int, ...],
        kernel: int,
        norm: bool,
        pooling: str,
        widths: tuple[int, ...],
        dropout: float,
    ):
        super().__init__()
        self.picture, self.pooling = picture, pooling
        n_channels, n_rows, n_columns = picture
        blocks = []
        for n_in, n_out in pairwise([n_channels, *channels]):
            conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=not norm)
            normed = [nn.BatchNorm2d(n_out)] if norm else []
            # ceil_mode: a picture of one pixel stays one
            blocks.append(nn.Sequential(conv, *normed, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)))
            n_rows, n_columns = -(-n_rows // 2), -(-n_columns // 2)
        self.blocks = nn.Sequential(*blocks)
        n_features = channels[-1] * (n_rows * n_columns if pooling == "flatten" else 1)
        dense = []
        for n_in, n_out in pairwise([n_features, *widths]):
            dense += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)]
        self.dense = nn.Sequential(*dense)
        self.head = nn.Linear(widths[-1], n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised spectrograms (batch, 1, n_bands, n_frames).

        Raises:
            ConfigError: with ``pooling="flatten"``, pictures of another shape than the network was built for.
        """
        n_channels, n_rows, n_columns = self.picture
        x = x.unflatten(2, (n_channels, -1)).squeeze(1)  # (batch, n_channels, n_rows, n_frames)
        if self.pooling == "mean":
            return self.head(self.dense(self.blocks(x).mean(dim=(2, 3))))
        if x.shape[2:] != (n_rows, n_columns):
            raise ConfigError(
                f"cnn was built for {(n_rows, n_columns)} pixels, not {tuple(x.shape[2:])}: use pooling=mean"
            )
        return self.head(self.dense(self.blocks(x).flatten(1)))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    width: Width = 32,
    n_blocks: Annotated[int, Field(ge=1, le=6)] = 3,
    kernel: Literal[1, 3, 5, 7, 9] = 3,
    norm: bool = True,
    pooling: Literal["mean", "flatten"] = "mean",
    widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (128,),
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
    n_channels: Annotated[int, Field(ge=1, le=8)] = 1,
) -> nn.Module:
    """The network for spectrograms; the defaults with 2 outputs have 109,666 parameters.

    Published variants: with two blocks and a kernel of 5, 60,770. Without normalisation and with all pixels:
    ``n_channels=3, widths=[256]`` on 3 x 128 x 128 pixels with 2 outputs, 8,482,626; ``n_blocks=2, kernel=5,
    widths=[1024, 512, 256]`` on 64 x 188 pixels with 1 output, 49,992,577.

    Args:
        shape: (n_bands, n_frames); needed for ``pooling="flatten"`` only.
        width: channels of the first block, doubled in each one after.
        kernel: both sides of each convolution, in pixels.
        norm: batch normalisation after each convolution, which then has no bias.
        pooling: the mean over the picture, for clips of any length, or all of its pixels.
        widths: of the dense layers.
        n_channels: of the picture; its bands are divided into as many parts, e.g. 3 for `picture`, or for a
            feature with two derivatives.

    Raises:
        ConfigError: the bands cannot be divided into the channels.
    """
    n_bands, n_frames = shape
    if n_bands % n_channels:
        raise ConfigError(f"cnn: {n_bands} bands cannot be divided into n_channels={n_channels}")
    channels = tuple(width * 2**block for block in range(n_blocks))
    picture = (n_channels, n_bands // n_channels, n_frames)
    return PictureNet(picture, n_outputs, channels, kernel, norm, pooling, widths, dropout)
