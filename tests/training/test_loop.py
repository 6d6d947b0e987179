"""Which learning rate each part of a network has."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fakevoice.training.loop import parameter_groups


class Layered(nn.Module):
    """Three layers of one weight each."""

    def __init__(self):
        super().__init__()
        self.stem, self.middle, self.head = (nn.Linear(1, 1, bias=False) for _ in range(3))

    def rate_factors(self):
        return {self.stem.weight: 0.01, self.middle.weight: 0.1, self.head.weight: 1.0}


def objective(model: nn.Module, adaptation: nn.Module) -> nn.Module:
    wrapped = nn.Module()
    wrapped.model, wrapped.adaptation = model, adaptation
    return wrapped


def test_parts_with_the_same_factor_are_one_group_and_adaptations_have_the_full_rate():
    model, adaptation = Layered(), nn.Linear(2, 1, bias=False)
    groups = parameter_groups(objective(model, adaptation))
    assert [group["factor"] for group in groups] == [0.01, 0.1, 1.0]
    assert [len(group["params"]) for group in groups] == [1, 1, 2]
    assert groups[0]["params"][0] is model.stem.weight and groups[2]["params"][1] is adaptation.weight


def test_without_factors_all_parameters_are_one_group():
    (group,) = parameter_groups(objective(nn.Linear(1, 1), nn.Linear(2, 1)))
    assert group["factor"] == 1.0 and len(group["params"]) == 4


def test_the_schedule_keeps_the_ratios_of_the_groups():
    from fakevoice.core.config_sections import Training
    from fakevoice.training.loop import TrainingLoop

    wrapped = objective(Layered(), nn.Identity())
    settings = Training(learning_rate=0.1, warmup_fraction=0.0)
    loop = TrainingLoop(wrapped, SimpleNamespace(), settings, 10)
    loop._schedule(0)
    assert [group["lr"] for group in loop.optimizer.param_groups] == pytest.approx([0.001, 0.01, 0.1])
    assert loop.learning_rate == pytest.approx(0.1)
    loop._schedule(50)
    rates = [group["lr"] for group in loop.optimizer.param_groups]
    assert rates[2] < 0.1 and rates == pytest.approx([rates[2] / 100, rates[2] / 10, rates[2]])
    sum(parameter.sum() for parameter in wrapped.parameters()).backward()
    before = [parameter.item() for parameter in wrapped.parameters()]
    loop.optimizer.step()
    steps = torch.tensor([b - p.item() for b, p in zip(before, wrapped.parameters(), strict=True)])
    assert steps[0] < steps[1] < steps[2]
