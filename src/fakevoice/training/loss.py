"""What a training step minimises: the task's cross-entropy and, where the network adapts, losses on unlabeled clips."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network
from fakevoice.core.tasks import head_states
from fakevoice.training.networks import label_log_odds, state_membership, to_device
from fakevoice.training.unlabeled_clips import Adaptation

Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


def loss_function(
    logits: torch.Tensor, target: torch.Tensor, task: str, smoothing: float, membership: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of the task with label smoothing (Szegedy et al. 2016).

    Args:
        logits, target: (batch, n_outputs) float32, or (batch, n_states) where there are states.
        membership: (n_states, n_outputs) bool; with it the cross-entropy of the states and that of the outputs
            are added, so that taking a state for another one with the same labels costs least.
    """
    if membership is not None:
        of_outputs = loss_function(label_log_odds(logits, membership), target @ membership.float(), task, smoothing)
        return F.cross_entropy(logits, target, label_smoothing=smoothing) + of_outputs
    if task == "multiclass":
        return F.cross_entropy(logits, target, label_smoothing=smoothing)
    return F.binary_cross_entropy_with_logits(logits, target * (1 - smoothing) + 0.5 * smoothing)


class Objective(nn.Module):
    """The loss of one batch; its parameters are the model's and those of the adaptations.

    Args:
        model: in place on its device.
        network: of the config; a precision that is left to choose is float32 here.
        draw: epoch, step → unlabeled clips as they are and augmented, both (n_clips, 1, n_bands, n_frames) float32.
    """

    def __init__(self, model: nn.Module, network: Network, config: Config, device: torch.device, draw: Draw):
        super().__init__()
        states = head_states(network, config)
        self.model, self.device, self.task, self.draw = model, device, config.task, draw
        self.membership = state_membership(states, config.outputs, device)
        self.smoothing, self.bfloat16 = network.training.label_smoothing, network.training.precision == "bf16"
        n_columns = len(states or config.outputs)
        self.adaptation = Adaptation(network.adapt, model, n_columns) if network.adapt else None

    def forward(
        self, x: np.ndarray, y: np.ndarray, average: nn.Module, epoch: int, step: int, progress: float
    ) -> torch.Tensor:
        """The loss; unlabeled clips go through the model in one batch with the labelled ones.

        Args:
            x: (batch, 1, n_bands, n_frames) float32.
            y: (batch, n_columns) float32.
            average: the running average of the model.
            progress: share of the training that is done, 0 to 1.
        """
        if self.adaptation is None:
            return self._supervised(self._logits(self.model, x), y)
        plain, augmented = self.draw(epoch, step)
        logits = self._logits(self.model, np.concatenate([x, augmented]))
        student = self._probability(logits[len(y) :])
        adapting = self.adaptation(student, lambda: self._taught(average, plain), progress)
        return self._supervised(logits[: len(y)], y) + adapting

    def _supervised(self, logits: torch.Tensor, y: np.ndarray) -> torch.Tensor:
        target = torch.from_numpy(y).to(self.device)
        return loss_function(logits, target, self.task, self.smoothing, self.membership)

    def _logits(self, model: nn.Module, x: np.ndarray) -> torch.Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return model(to_device(x, self.device)).float()

    @torch.no_grad()
    def _taught(self, average: nn.Module, x: np.ndarray) -> torch.Tensor:
        return self._probability(self._logits(average.eval(), x))

    def _probability(self, logits: torch.Tensor) -> torch.Tensor:
        exclusive = self.task == "multiclass" or self.membership is not None
        return logits.softmax(dim=1) if exclusive else logits.sigmoid()
