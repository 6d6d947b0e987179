"""RawNet2: fixed filters on the raw waveform, residual blocks that rescale their features, a GRU (Tak et al. 2021)."""

from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Depth, Width
from fakevoice.core.errors import ConfigError
from fakevoice.training.sinc_filters import sinc_filters

SLOPE = 0.3  # of the leaky rectifiers


class FrontEnd(nn.Module):
    """Fixed filters, rectified, a third of the moments."""

    def __init__(self, filters: np.ndarray):
        super().__init__()
        self.register_buffer("filters", torch.from_numpy(filters)[:, None], persistent=False)  # made, not learned
        self.norm = nn.BatchNorm1d(len(filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):  # bfloat16 is too coarse for samples
            bands = F.conv1d(x.float(), self.filters, padding=self.filters.shape[2] // 2)
        return F.selu(self.norm(F.max_pool1d(bands.abs(), 3, ceil_mode=True)))  # (batch, n_filters, n_moments)


class FeatureMapScaling(nn.Module):
    """Each channel times one weight, and plus it, by its mean over time (Jung et al. 2020, section 2.3)."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.score = nn.Linear(n_channels, n_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.score(x.mean(dim=2)).sigmoid()[:, :, None]
        return x * weight + weight


class Block(nn.Module):
    """Two convolutions around a shortcut, a third of the moments, rescaled features."""

    def __init__(self, n_in: int, n_out: int, first: bool):
        super().__init__()
        self.norm1 = nn.Identity() if first else nn.Sequential(nn.BatchNorm1d(n_in), nn.LeakyReLU(SLOPE))
        self.conv1 = nn.Conv1d(n_in, n_out, 3, padding=1)
        self.norm2 = nn.Sequential(nn.BatchNorm1d(n_out), nn.LeakyReLU(SLOPE))
        self.conv2 = nn.Conv1d(n_out, n_out, 3, padding=1)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv1d(n_in, n_out, 1)
        self.scaling = FeatureMapScaling(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(self.norm2(self.conv1(self.norm1(x)))) + self.shortcut(x)
        return self.scaling(F.max_pool1d(y, 3, ceil_mode=True))  # a short clip keeps one moment


class RawNet(nn.Module):
    """Front end, six blocks, the last state of a GRU, one dense layer, linear head."""

    def __init__(self, front: FrontEnd, n_outputs: int, widths: tuple[Width, Width], n_gru: int, n_layers: int):
        super().__init__()
        narrow, wide = widths
        channels = [len(front.filters), narrow, narrow, *[wide] * 4]
        self.front = front
        self.blocks = nn.Sequential(*(Block(*sizes, first=not i) for i, sizes in enumerate(pairwise(channels))))
        self.norm = nn.Sequential(nn.BatchNorm1d(wide), nn.SELU())
        self.gru = nn.GRU(wide, n_gru, n_layers, batch_first=True)
        self.dense, self.head = nn.Linear(n_gru, n_gru), nn.Linear(n_gru, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised waveforms (batch, 1, 1, n_samples).

        Raises:
            ConfigError: anything of more than one band.
        """
        if x.shape[2] != 1:
            raise ConfigError(f"rawnet hears samples, not {x.shape[2]} bands: give its network the feature waveform")
        moments = self.norm(self.blocks(self.front(x[:, 0]))).transpose(1, 2)  # (batch, n_moments / 2187, wide)
        _, last = self.gru(moments)  # (n_layers, batch, n_gru)
        return self.head(self.dense(last[-1]))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    sample_rate_hz: Annotated[int, Field(ge=1000, le=192000)] = 16000,
    n_filters: Width = 20,
    filter_length: Annotated[int, Field(ge=3, le=65536)] = 1025,
    widths: tuple[Width, Width] = (20, 128),
    n_gru: Width = 1024,
    n_gru_layers: Depth = 3,
) -> nn.Module:
    """The baseline of ASVspoof 2021; the defaults with 2 outputs have 17,621,410 parameters.

    Args:
        shape: (1, n_samples); clips of any length.
        sample_rate_hz: places the filters on the mel scale.
        n_filters: of the front end.
        filter_length: samples of each filter.
        widths: channels of the first two blocks, and of the other four.
        n_gru: width of the recurrent layers and of the dense one.
    """
    front = FrontEnd(sinc_filters(n_filters, filter_length, sample_rate_hz))
    return RawNet(front, n_outputs, widths, n_gru, n_gru_layers)
