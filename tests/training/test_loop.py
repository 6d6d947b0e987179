"""Which learning rate each part of a network has."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.training.cross_validation import check_networks
from fakevoice.training.loop import parameter_groups


class Layered(nn.Module):
    """Three layers of one weight each."""

    def __init__(self):
        super().__init__()
        self.stem, self.middle, self.head = (nn.Linear(1, 1, bias=False) for _ in range(3))

    def layer_groups(self):
        return [[self.stem.weight], [self.middle.weight], [self.head.weight]]


def objective(model: nn.Module, adaptation: nn.Module) -> nn.Module:
    wrapped = nn.Module()
    wrapped.model, wrapped.adaptation = model, adaptation
    return wrapped


def test_layer_groups_have_geometric_learning_rates_and_adaptations_the_full_one():
    model, adaptation = Layered(), nn.Linear(2, 1, bias=False)
    groups = parameter_groups(objective(model, adaptation), 0.5)
    assert [group["share"] for group in groups] == [0.25, 0.5, 1.0]
    assert [len(group["params"]) for group in groups] == [1, 1, 2]
    assert groups[0]["params"][0] is model.stem.weight and groups[2]["params"][1] is adaptation.weight


def test_without_a_decay_all_parameters_are_one_group():
    model, adaptation = nn.Linear(1, 1), nn.Linear(2, 1)
    (group,) = parameter_groups(objective(model, adaptation), 1.0)
    assert group["share"] == 1.0 and len(group["params"]) == 4


def test_the_schedule_keeps_the_ratios_of_the_groups():
    from fakevoice.core.config_sections import Training
    from fakevoice.training.loop import TrainingLoop

    wrapped = objective(Layered(), nn.Identity())
    settings = Training(learning_rate=0.1, layer_decay=0.1, warmup_fraction=0.0)
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


def test_a_model_without_layer_groups_is_refused_before_the_run():
    config = load_config("emotion", ["networks.mel.training.layer_decay=0.5"])
    with pytest.raises(ConfigError, match=r"networks\.mel\.training\.layer_decay: resnet has no layer groups"):
        check_networks(config, {feature: (64, 157) for feature in config.features})
