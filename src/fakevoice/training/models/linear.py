"""A linear probe, or one hidden layer, on embeddings or other features of few frames."""

from typing import Annotated

from pydantic import Field
from torch import nn


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    hidden: Annotated[int, Field(ge=0, le=65536)] = 0,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> nn.Module:
    """Logits as a linear function of all bands and frames; on 2,560 bands of one frame it has 5,122 parameters.

    Args:
        shape: (n_bands, n_frames).
        hidden: width of a hidden layer before it; none if 0.
        dropout: of the inputs, and of the hidden layer.

    Source: probes of frozen representations, Alain & Bengio, "Understanding intermediate layers using linear
    classifier probes", 2016.
    """
    n_inputs = shape[0] * shape[1]
    layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(dropout)]
    if hidden:
        layers += [nn.Linear(n_inputs, hidden), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden or n_inputs, n_outputs))
