"""Batch normalisation over the parts of a batch that all ranks hold, on processors and GPUs alike.

torch has one for GPUs alone. Where every rank normalised its own part, the noise in the statistics of small parts was
found to cost a little of every score.
"""

import torch
from torch import nn

from fakevoice.parallel import torchrun

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # no subclass: it may do more, as timm's do


class _Gathered(torch.autograd.Function):
    """A vector of each rank (n_values,) beside those of the others: (n_ranks, n_values)."""

    @staticmethod
    def forward(ctx, own: torch.Tensor) -> torch.Tensor:
        known = own.new_zeros((torchrun.count(), len(own)))
        known[torchrun.rank()] = own
        return torchrun.total(known)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return torchrun.total(gradient)[torchrun.rank()]  # every rank's loss depends on it


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """As the layer that it takes the place of, of which it has parameters, statistics and names."""

    @classmethod
    def of(cls, layer: nn.modules.batchnorm._BatchNorm) -> "BatchNorm":
        """A layer that trains the same parameters."""
        own = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        own.weight, own.bias = layer.weight, layer.bias
        for name, value in layer.named_buffers():
            setattr(own, name, value)
        return own

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x (batch, n_channels, ...) by mean and variance over all ranks; in training alone."""
        if not self.training:
            return super().forward(x)
        values, shape = x.float(), (1, -1, *[1] * (x.dim() - 2))
        mean, variance = self._statistics(values)
        scale = (variance + self.eps).rsqrt()
        scale = scale * self.weight if self.affine else scale
        shift = (self.bias if self.affine else 0) - mean * scale
        return torch.addcmul(shift.view(shape), values, scale.view(shape)).to(x.dtype)

    def _statistics(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance (n_channels,) of all parts together.

        Source: Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
        1979, which takes no difference of large numbers.
        """
        axes, n_channels = [axis for axis in range(values.dim()) if axis != 1], values.shape[1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        size = mean.new_tensor([values.numel() / n_channels])
        means, variances, sizes = _Gathered.apply(torch.cat([mean, variance, size])).split(
            [n_channels, n_channels, 1], 1
        )
        n_values = sizes.sum()
        mean = (sizes * means).sum(0) / n_values
        variance = (sizes * (variances + (means - mean).square())).sum(0) / n_values
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * n_values / (n_values - 1))
        return mean, variance

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked += 1
        weight = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def over_all_ranks(model: nn.Module) -> nn.Module:
    """The model with its layers of batch normalisation replaced where there are several ranks."""
    if torchrun.count() == 1:
        return model
    if type(model) in KINDS:
        return BatchNorm.of(model)
    for name, layer in model.named_children():
        setattr(model, name, over_all_ranks(layer))
    return model


@torch.no_grad()
def average_others(model: nn.Module) -> None:
    """Running statistics of layers that normalise this rank's part alone, as timm's do, become the mean over ranks."""
    if torchrun.count() == 1:
        return
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    others = [layer for layer in layers if not isinstance(layer, BatchNorm) and layer.track_running_stats]
    statistics = [value for layer in others for value in (layer.running_mean, layer.running_var)]
    if statistics:
        averaged = torchrun.mean(torch.cat(statistics)).split([len(value) for value in statistics])
        for value, new in zip(statistics, averaged, strict=True):
            value.copy_(new)
