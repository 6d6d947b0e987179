"""The steps of one training: the loss of each batch, the optimiser, and the moving average of the model."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fakevoice.core.config_sections import Training
from fakevoice.core.errors import FakevoiceError
from fakevoice.parallel import torchrun
from fakevoice.training.loss import Objective
from fakevoice.training.schedule import learning_rate_factor

MAX_BAD_BATCHES = 20


class TrainingLoop:
    """Model, its moving average and its optimiser through the epochs."""

    def __init__(self, objective: Objective, average: AveragedModel, settings: Training, steps_per_epoch: int):
        self.objective, self.average, self.settings = objective, average, settings
        self.loss = objective
        if steps_per_epoch < 1:
            raise FakevoiceError("fewer training scenes than one batch: lower training.batch_size")
        self.optimizer = torch.optim.AdamW(
            parameter_groups(objective), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.steps_per_epoch, self.bad_batches = steps_per_epoch, 0
        self.n_pieces = 1  # of a batch
        self.n_steps = settings.n_epochs * steps_per_epoch

    @property
    def learning_rate(self) -> float:
        """Of parameters that a model gives no factor of their own."""
        group = self.optimizer.param_groups[0]
        return group["lr"] / group["factor"]

    def share_gradients(self) -> None:
        """Use the mean gradient of all ranks in each step; all start with the parameters of rank 0."""
        self.loss = torchrun.data_parallel(self.objective)

    def epoch(self, batches: Iterator[tuple[np.ndarray, np.ndarray]], epoch: int) -> float:
        """One pass over this rank's part of each batch; returns the mean loss of whole batches."""
        self.objective.train()
        total, count = 0.0, 0
        for step, (x, y) in enumerate(batches):
            n_done = epoch * self.steps_per_epoch + step
            self._schedule(n_done)
            of_all = self._gradients(x, y, epoch, step, n_done / self.n_steps)
            if not self._finite(of_all):
                continue
            nn.utils.clip_grad_norm_(self.objective.parameters(), 5.0)
            self.optimizer.step()
            self.average.update_parameters(self.objective.model)
            total, count = total + of_all.item(), count + 1
        return total / max(count, 1)

    def _gradients(self, x: np.ndarray, y: np.ndarray, epoch: int, step: int, progress: float) -> torch.Tensor:
        """The mean loss over all ranks; gradients are left behind. What memory cannot hold is halved from then on."""
        while True:
            try:
                return self._sum_over_pieces(x, y, epoch, step, progress)
            except torch.OutOfMemoryError as error:
                if torchrun.count() > 1 or self.objective.adaptation or len(x) < 4 * self.n_pieces:
                    raise FakevoiceError(f"{str(error).partition('.')[0]}: lower training.batch_size") from error
            self.n_pieces *= 2
            torch.cuda.empty_cache()
            print(f"train: out of GPU memory; a batch goes through in {self.n_pieces} pieces from here on", flush=True)

    def _sum_over_pieces(self, x: np.ndarray, y: np.ndarray, epoch: int, step: int, progress: float) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        for own_x, own_y in zip(np.array_split(x, self.n_pieces), np.array_split(y, self.n_pieces), strict=True):
            loss = self.loss(own_x, own_y, self.average, epoch, step, progress)
            of_all = torchrun.mean(loss)
            if torch.isfinite(of_all):  # the same on all ranks, which must all call backward
                (loss * (len(own_x) / len(x))).backward()
            total = total + of_all.cpu() * (len(own_x) / len(x))
        return total

    def _finite(self, loss: torch.Tensor) -> bool:
        if torch.isfinite(loss):
            return True
        self.bad_batches += 1
        if self.bad_batches > MAX_BAD_BATCHES:
            what = f"the loss was not finite in {self.bad_batches} batches"
            raise FakevoiceError(f"{what}: lower training.learning_rate")
        return False

    def _schedule(self, step: int) -> None:
        factor = learning_rate_factor(step, self.n_steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor * group["factor"]

    def state(self) -> dict:
        return {
            "objective": self.objective.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict) -> None:
        self.objective.load_state_dict(state["objective"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def parameter_groups(objective: Objective) -> list[dict[str, Any]]:
    """Parameters by the factor of their learning rate, which a model's ``rate_factors()`` gives; otherwise 1.

    Source: Howard & Ruder, "Universal language model fine-tuning for text classification", ACL 2018, section 3.2
    (discriminative fine-tuning).
    """
    factors = getattr(objective.model, "rate_factors", dict)()
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in objective.parameters():
        groups.setdefault(factors.get(parameter, 1.0), []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


def running_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model that follows it, buffers included."""
    return AveragedModel(model, multi_avg_fn=partial(_moving_average, decay), use_buffers=True)


@torch.no_grad()
def _moving_average(decay: float, averaged: list[torch.Tensor], current: list[torch.Tensor], n: torch.Tensor) -> None:
    """Exponential moving average whose memory grows with the steps: a short training is not mostly its start."""
    weight = 1 - min(decay, (1 + int(n)) / (10 + int(n)))
    for average, value in zip(averaged, current, strict=True):
        if average.is_floating_point():
            average.lerp_(value, weight)
        else:
            average.copy_(value)
