"""mixup: each clip and its label as a weighted mean with those of another clip (Zhang et al. 2018)."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from fakevoice.core.config_sections import Share

INPUT = "batch"


def build(*, alpha: Annotated[float, Field(gt=0, le=1000)] = 0.2, probability: Share = 1.0) -> Callable:
    """Mix with weights of Beta(alpha, alpha), drawn for each clip.

    Args:
        alpha: near 0 one of the two clips is nearly alone, at 1 all weights are as likely.
        probability: that a clip is mixed.

    Source: Zhang, Cissé, Dauphin & Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, section 2;
    alpha from 0.1 to 0.4 in section 3.1.
    """

    def augment(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        other = rng.permutation(len(x))
        weight = rng.beta(alpha, alpha, len(x))
        own = np.where(rng.random(len(x)) < probability, weight, 1.0).astype(np.float32)
        own_x, own_y = own[:, None, None, None], own[:, None]
        return own_x * x + (1 - own_x) * x[other], own_y * y + (1 - own_y) * y[other]

    return augment
