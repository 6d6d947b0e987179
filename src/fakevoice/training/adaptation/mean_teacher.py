"""Mean teacher: what the network says of an augmented clip is drawn to what its running average says of the clip."""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Weight


class Consistency(nn.Module):
    """Squared difference of two probabilities, weighed more and more."""

    def __init__(self, weight: float, ramp_fraction: float):
        super().__init__()
        self.weight, self.ramp_fraction = weight, ramp_fraction

    def forward(
        self,
        scenes: torch.Tensor,
        clips: torch.Tensor,
        student: torch.Tensor,
        teacher: Callable[[], torch.Tensor],
        progress: float,
    ) -> torch.Tensor:
        """Mean over clips and columns, zero where both say the same."""
        return self.weight * ramp(progress / self.ramp_fraction) * F.mse_loss(student, teacher())


def ramp(part: float) -> float:
    """From near 0 to 1, and 1 from then on: a teacher that knows nothing yet would teach just that."""
    return math.exp(-5 * (1 - min(part, 1.0)) ** 2)


def build(
    n_features: int,
    *,
    weight: Weight = 1.0,
    ramp_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3,
) -> nn.Module:
    """The loss; it looks at probabilities and not at the embedding.

    Args:
        weight: at the end of the ramp.
        ramp_fraction: of the training, during which the weight grows.

    Source: Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017; the ramp is that of
    Laine & Aila, "Temporal ensembling for semi-supervised learning", ICLR 2017.
    """
    return Consistency(weight, ramp_fraction)
