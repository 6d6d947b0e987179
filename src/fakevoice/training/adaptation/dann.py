"""Domain-adversarial training: an embedding that does not tell scenes from real clips (Ganin et al. 2016)."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Weight, Width


class _Reversal(torch.autograd.Function):
    """The identity on the way forward, a gradient of the other sign on the way back."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradient, None


class DomainAdversary(nn.Module):
    """A classifier of the domain that learns what the embedding unlearns."""

    def __init__(self, n_features: int, strength: float, n_hidden: int):
        super().__init__()
        self.strength = strength
        self.domain = nn.Sequential(nn.Linear(n_features, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 1))

    def forward(
        self,
        scenes: torch.Tensor,
        clips: torch.Tensor,
        student: torch.Tensor,
        teacher: Callable[[], torch.Tensor],
        progress: float,
    ) -> torch.Tensor:
        """Cross-entropy of the domain; both domains count the same, however many rows each has."""
        reversal = self.strength * ramp(progress)
        domain = [self.domain(_Reversal.apply(x, reversal)) for x in (scenes, clips)]
        true = [torch.zeros_like(domain[0]), torch.ones_like(domain[1])]
        losses = [F.binary_cross_entropy_with_logits(d, t) for d, t in zip(domain, true, strict=True)]
        return (losses[0] + losses[1]) / 2


def ramp(progress: float) -> float:
    """From 0 to 1: an embedding that says nothing yet has nothing to unlearn (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def build(
    n_features: int,
    *,
    strength: Weight = 1.0,
    n_hidden: Width = 64,
) -> nn.Module:
    """The adversary for embeddings of `n_features` numbers.

    Args:
        strength: of the reversed gradient, at the end of its ramp.
        n_hidden: units of the domain classifier's one hidden layer.

    Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 17, 2016.
    """
    return DomainAdversary(n_features, strength, n_hidden)
