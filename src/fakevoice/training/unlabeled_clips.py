"""Learns from the unlabeled clips, which come from the test's environment, during the training of a fold.

The scenes only imitate that environment; what differs between the two costs score. Clips of the test
itself are never used.
"""

from collections.abc import Callable

import torch
from torch import nn

from fakevoice.core import plugins
from fakevoice.core.config_sections import Plugin
from fakevoice.core.errors import ConfigError

UNLABELED_SHARE = 0.25  # unlabeled clips beside each labelled one
MIN_CLIPS = 2  # fewer have neither variance nor covariance


def unlabeled_size(batch_size: int) -> int:
    """Unlabeled clips beside a labelled batch."""
    return max(MIN_CLIPS, round(UNLABELED_SHARE * batch_size))


class Adaptation(nn.Module):
    """The losses of a network on unlabeled clips that go through it together with the labelled ones.

    The embedding that they compare is what the model's last linear layer reads, so that any model will do.

    Args:
        adaptations: of the config.
        model: the one that is trained; copies of it that were made before are not listened to.
        n_columns: how many logits it puts out.
    """

    def __init__(self, adaptations: list[Plugin], model: nn.Module, n_columns: int):
        super().__init__()
        last = last_linear(model, n_columns)
        builds = [plugins.load("adaptation", plugin.name).build for plugin in adaptations]
        losses = [build(last.in_features, **plugin.args) for build, plugin in zip(builds, adaptations, strict=True)]
        self.losses = nn.ModuleList(losses).to(last.weight.device)
        last.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.embedding = inputs[0].float()  # (batch, n_features)

    def forward(self, student: torch.Tensor, teacher: Callable[[], torch.Tensor], progress: float) -> torch.Tensor:
        """Sum of all losses on the batch that went through the model last, its unlabeled clips behind the scenes.

        Args:
            student: (n_clips, n_columns) float32 probabilities of the unlabeled clips, augmented.
            teacher: gives those of the running average for the same clips as they are.
            progress: share of the training that is done, 0 to 1.
        """
        scenes, clips = self.embedding.tensor_split([len(self.embedding) - len(student)])
        return torch.stack([loss(scenes, clips, student, teacher, progress) for loss in self.losses]).sum()


def last_linear(model: nn.Module, n_columns: int) -> nn.Linear:
    """The layer that puts out the logits.

    Raises:
        ConfigError: the model ends otherwise.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].out_features != n_columns:
        raise ConfigError(f"{type(model).__name__} does not end in a linear layer, whose input adapt could compare")
    return layers[-1]
