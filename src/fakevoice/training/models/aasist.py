"""AASIST: graphs of frequency bands and of moments on the raw waveform, attending to each other (Jung et al. 2022)."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError
from fakevoice.training.sinc_filters import sinc_filters

KEPT_BANDS, KEPT_MOMENTS, KEPT_TOGETHER = 0.5, 0.7, 0.5  # shares of nodes that graph pooling keeps
SHARPNESS, SHARPNESS_TOGETHER = 2.0, 100.0  # temperatures of attention
NODE_DROPOUT, POOL_DROPOUT, BRANCH_DROPOUT = 0.2, 0.3, 0.2


class FrontEnd(nn.Module):
    """Fixed filters, rectified and pooled; while training, some neighbouring filters are silenced in each clip."""

    def __init__(self, filters: np.ndarray, stride: int, max_masked: int):
        super().__init__()
        self.register_buffer("filters", torch.from_numpy(filters)[:, None], persistent=False)  # made, not learned
        self.stride, self.max_masked = stride, max_masked
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):  # bfloat16 is too coarse for samples
            bands = F.conv1d(x.float(), self.filters, stride=self.stride, padding=self.filters.shape[2] // 2)
        if self.training and self.max_masked:
            bands = bands * self._mask(len(bands), x.device)
        return F.selu(self.norm(F.max_pool2d(bands[:, None].abs(), 3)))  # (batch, 1, n_filters / 3, n_moments)

    def _mask(self, n_clips: int, device: torch.device) -> torch.Tensor:
        n_filters = len(self.filters)
        n_masked = torch.randint(self.max_masked + 1, (n_clips, 1), device=device)
        start = (torch.rand(n_clips, 1, device=device) * (n_filters - n_masked + 1)).long()
        place = torch.arange(n_filters, device=device) - start
        return ((place < 0) | (place >= n_masked))[:, :, None]


class EncoderBlock(nn.Module):
    """Two convolutions around a shortcut, then a third of the moments (RawNet2's block in two dimensions)."""

    def __init__(self, n_in: int, n_out: int, first: bool):
        super().__init__()
        self.norm1 = nn.Identity() if first else nn.Sequential(nn.BatchNorm2d(n_in), nn.SELU())
        self.conv1 = nn.Conv2d(n_in, n_out, (2, 3), padding=(1, 1))
        self.norm2 = nn.Sequential(nn.BatchNorm2d(n_out), nn.SELU())
        self.conv2 = nn.Conv2d(n_out, n_out, (2, 3), padding=(0, 1))
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, (1, 3), padding=(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(self.norm2(self.conv1(self.norm1(x)))) + self.shortcut(x)
        return F.max_pool2d(y, (1, 3), ceil_mode=True)  # a short clip keeps one moment


class NodeNorm(nn.Module):
    """Batch normalisation over all nodes (batch, n_nodes, width), then SELU."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return F.selu(self.norm(nodes.transpose(1, 2)).transpose(1, 2))


class GraphAttention(nn.Module):
    """Each node hears all others, by how alike they are (Jung et al. 2022, section 2.2)."""

    def __init__(self, width: int):
        super().__init__()
        self.pair, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)
        self.heard, self.own = nn.Linear(width, width), nn.Linear(width, width)
        self.norm, self.dropout = NodeNorm(width), nn.Dropout(NODE_DROPOUT)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        nodes = self.dropout(nodes)
        score = self.score(self.pair(nodes[:, :, None] * nodes[:, None]).tanh())[..., 0]
        weight = (score.float() / SHARPNESS).softmax(dim=2)  # (batch, n_nodes, n_nodes)
        return self.norm(self.heard(weight @ nodes.float()) + self.own(nodes))


class HeterogeneousAttention(nn.Module):
    """Attention over moments and bands together, scored apart within and across kinds, and a stack node that hears all.

    Source: Jung et al. 2022, section 3.2.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.from_moments, self.from_bands = nn.Linear(n_in, n_in), nn.Linear(n_in, n_in)
        self.pair, self.score = nn.Linear(n_in, n_out), nn.Linear(n_out, 3, bias=False)
        self.heard, self.own = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        self.stack_pair, self.stack_score = nn.Linear(n_in, n_out), nn.Linear(n_out, 1, bias=False)
        self.stack_heard, self.stack_own = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        self.norm, self.dropout = NodeNorm(n_out), nn.Dropout(NODE_DROPOUT)

    def forward(self, moments: torch.Tensor, bands: torch.Tensor, stack: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n_moments = moments.shape[1]
        nodes = self.dropout(torch.cat([self.from_moments(moments), self.from_bands(bands)], dim=1))
        is_band = (torch.arange(nodes.shape[1], device=nodes.device) >= n_moments).long()
        kind = F.one_hot(is_band[:, None] + is_band, 3)  # moments, across, bands
        score = (self.score(self.pair(nodes[:, :, None] * nodes[:, None]).tanh()).float() * kind).sum(dim=3)
        weight = (score / SHARPNESS_TOGETHER).softmax(dim=2)
        stack = self._hear_all(stack, nodes)
        nodes = self.norm(self.heard(weight @ nodes.float()) + self.own(nodes))
        return nodes[:, :n_moments], nodes[:, n_moments:], stack

    def _hear_all(self, stack: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        score = self.stack_score(self.stack_pair(nodes * stack).tanh()).float()
        weight = (score / SHARPNESS_TOGETHER).softmax(dim=1)  # (batch, n_nodes, 1)
        heard = (weight * nodes).sum(dim=1, keepdim=True)
        return self.stack_heard(heard) + self.stack_own(stack)


class GraphPool(nn.Module):
    """Keeps the share of the nodes with the highest learned scores, each times its score (Gao & Ji 2019)."""

    def __init__(self, width: int, share: float):
        super().__init__()
        self.share, self.score, self.dropout = share, nn.Linear(width, 1), nn.Dropout(POOL_DROPOUT)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        score = self.score(self.dropout(nodes)).float().sigmoid()
        kept = score.topk(max(1, int(self.share * nodes.shape[1])), dim=1).indices
        return (nodes * score).gather(1, kept.expand(-1, -1, nodes.shape[2]))


class Branch(nn.Module):
    """Two heterogeneous layers with a stack node of their own, the second one added to the first."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.stack = nn.Parameter(torch.randn(1, 1, n_in))
        self.first, self.second = HeterogeneousAttention(n_in, n_out), HeterogeneousAttention(n_out, n_out)
        self.pool_moments, self.pool_bands = GraphPool(n_out, KEPT_TOGETHER), GraphPool(n_out, KEPT_TOGETHER)

    def forward(self, moments: torch.Tensor, bands: torch.Tensor) -> list[torch.Tensor]:
        moments, bands, stack = self.first(moments, bands, self.stack)
        nodes = self.pool_moments(moments), self.pool_bands(bands), stack
        sums = [before + more for before, more in zip(nodes, self.second(*nodes), strict=True)]
        return [F.dropout(kind, BRANCH_DROPOUT, self.training) for kind in sums]


class Aasist(nn.Module):
    """Front end, encoder, a graph of each axis, two competing branches over both, and the readout."""

    def __init__(self, front: FrontEnd, n_outputs: int, widths: tuple[Width, Width], graph_width: int, dropout: float):
        super().__init__()
        narrow, wide = widths
        n_in = [1, narrow, narrow, wide, wide, wide]
        n_out = [narrow, narrow, wide, wide, wide, wide]
        self.front = front
        self.encoder = nn.Sequential(
            *(EncoderBlock(*sizes, first=not i) for i, sizes in enumerate(zip(n_in, n_out, strict=True)))
        )
        self.position = nn.Parameter(torch.randn(1, len(front.filters) // 3, wide))
        self.bands = nn.Sequential(GraphAttention(wide), GraphPool(wide, KEPT_BANDS))
        self.moments = nn.Sequential(GraphAttention(wide), GraphPool(wide, KEPT_MOMENTS))
        self.branches = nn.ModuleList([Branch(wide, graph_width), Branch(wide, graph_width)])
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(5 * graph_width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised waveforms (batch, 1, 1, n_samples).

        Raises:
            ConfigError: anything of more than one band.
        """
        if x.shape[2] != 1:
            raise ConfigError(f"aasist hears samples, not {x.shape[2]} bands: give its network the feature waveform")
        picture = self.encoder(self.front(x[:, 0])).abs()  # (batch, wide, n_filters / 3, n_moments / 729)
        bands = self.bands(picture.amax(dim=3).transpose(1, 2) + self.position)
        moments = self.moments(picture.amax(dim=2).transpose(1, 2))
        pairs = zip(*(branch(moments, bands) for branch in self.branches), strict=True)
        moments, bands, stack = (torch.maximum(*pair) for pair in pairs)  # the max graph operation
        kinds = (moments.abs().amax(dim=1), moments.mean(dim=1), bands.abs().amax(dim=1), bands.mean(dim=1))
        return self.head(self.dropout(torch.cat([*kinds, stack[:, 0]], dim=1)))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    sample_rate_hz: Annotated[int, Field(ge=1000, le=192000)] = 16000,
    n_filters: Annotated[int, Field(ge=3, le=16384)] = 70,
    filter_length: Annotated[int, Field(ge=3, le=65536)] = 129,
    sinc_stride: Width = 1,
    max_masked: Annotated[int, Field(ge=0, le=16384)] = 20,
    widths: tuple[Width, Width] = (32, 64),
    graph_width: Width = 32,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> nn.Module:
    """The published network: 297,866 parameters with 2 outputs; with widths (32, 24) the light one, 85,306.

    Args:
        shape: (1, n_samples); clips of any length.
        sample_rate_hz: places the filters on the mel scale.
        n_filters: of the front end, three to a band of the graph.
        filter_length: samples of each filter.
        sinc_stride: samples between two outputs of the front end; all that follows gets faster by it.
        max_masked: neighbouring filters silenced at most in a training clip.
        widths: channels of the first two blocks of the encoder, and of the other four.
        graph_width: of the nodes of the branches.

    Raises:
        ConfigError: as many filters may be masked as there are.
    """
    if max_masked >= n_filters:
        raise ConfigError(f"aasist: max_masked {max_masked} must be less than n_filters {n_filters}")
    front = FrontEnd(sinc_filters(n_filters, filter_length, sample_rate_hz), sinc_stride, max_masked)
    return Aasist(front, n_outputs, widths, graph_width, dropout)
