"""The learning rate over a training: linear warm-up, then cosine."""

import numpy as np

from fakevoice.core.config_sections import Training


def learning_rate_factor(step: int, n_steps: int, settings: Training) -> float:
    """What the learning rate is multiplied with at a step.

    With W warm-up steps out of N: from `start_factor` s at step 0 in equal parts to 1 at step W - 1, then
    e + (1 - e)·(1 + cos(π·(step - W) / (N - W))) / 2 with `end_factor` e, which is 1 at step W. Where `start_factor`
    is None, s = 1 / W. ``torch.optim.lr_scheduler.LinearLR(start_factor=s, total_iters=W - 1)`` and
    ``CosineAnnealingLR(T_max=N - W, eta_min=e·rate)`` give the same.

    Args:
        step: from 0 to n_steps - 1.
        n_steps: of the whole training.

    Returns:
        In (0, 1]; always 1 where the schedule is constant.

    Source: warm-up, Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2; cosine, Loshchilov & Hutter,
    "SGDR", 2017, eq. 5.
    """
    if settings.schedule == "constant":
        return 1.0
    warmup = max(1, round(settings.warmup_fraction * n_steps))
    if step >= warmup:
        falling = 0.5 * (1 + np.cos(np.pi * (step - warmup) / (n_steps - warmup)))
        return float(settings.end_factor + (1 - settings.end_factor) * falling)
    if settings.start_factor is None or warmup == 1:
        return (step + 1) / warmup
    return settings.start_factor + (1 - settings.start_factor) * step / (warmup - 1)
