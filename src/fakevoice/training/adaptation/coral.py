"""Correlation alignment: embeddings of both domains get the same covariance (Sun & Saenko 2016)."""

from collections.abc import Callable

import torch
from torch import nn

from fakevoice.core.config_sections import Weight


class CorrelationAlignment(nn.Module):
    """Distance of two covariance matrices."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def forward(
        self,
        scenes: torch.Tensor,
        clips: torch.Tensor,
        student: torch.Tensor,
        teacher: Callable[[], torch.Tensor],
        progress: float,
    ) -> torch.Tensor:
        """Squared Frobenius norm of the difference, divided by four times the squared number of features."""
        difference = scenes.T.cov() - clips.T.cov()  # (n_features, n_features)
        return self.weight * difference.square().sum() / (4 * scenes.shape[1] ** 2)


def build(n_features: int, *, weight: Weight = 1.0) -> nn.Module:
    """The loss; it has no parameters, and any number of features will do.

    Source: Sun & Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops 2016.
    """
    return CorrelationAlignment(weight)
