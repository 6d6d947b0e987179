"""What is minimised, by hand: labels, classes, states, and unlabeled clips beside them."""

import numpy as np
import pytest
import torch
from torch import nn

from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Network, Plugin
from fakevoice.training.loss import Objective, loss_function

CPU = torch.device("cpu")
MEMBERSHIP = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=torch.bool)  # four states, (fake, real)
X = np.random.default_rng(0).normal(size=(4, 1, 2, 3)).astype(np.float32)
CLIPS = np.random.default_rng(1).normal(size=(2, 2, 1, 2, 3)).astype(np.float32)  # plain, augmented
Y = np.array([[1, 0], [0, 1], [0, 0], [1, 1]], np.float32)


def test_losses_by_hand():
    logits, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]])
    binary = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert loss_function(logits, target, "multilabel", 0.0).item() == pytest.approx(binary)
    assert loss_function(logits, target, "multiclass", 0.0).item() == pytest.approx(np.log1p(np.exp(-2)))
    smooth = np.log(2) / 2 + (np.log1p(np.exp(-2)) + 0.1 * 2) / 2  # target 0.9: a tenth of the logit more
    assert loss_function(logits, target, "multilabel", 0.2).item() == pytest.approx(smooth)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_of_states_by_hand(smoothing):
    logits = np.array([[1.0, -0.5, 2.0, 0.3]])
    probability = np.exp(logits[0]) / np.exp(logits[0]).sum()
    own = np.array([0, 1, 0, 0]) * (1 - smoothing) + smoothing / 4  # the second state: both outputs hold
    expected = -(own * np.log(probability)).sum()
    for column in MEMBERSHIP.numpy().T:
        heard = probability[column].sum()
        expected -= ((1 - smoothing / 2) * np.log(heard) + smoothing / 2 * np.log(1 - heard)) / 2
    target = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    value = loss_function(torch.tensor(logits, dtype=torch.float32), target, "multilabel", smoothing, MEMBERSHIP)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_taking_a_state_for_one_with_the_same_labels_costs_less():
    twins = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    costs = [loss_function(5 * torch.eye(4)[[state]], target, "multilabel", 0.0, twins).item() for state in range(4)]
    assert costs[0] < costs[1] < min(costs[2:])


def objective(*adapt: str, **changes) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Linear(5, 4 if changes.get("head") == "states" else 2))
    states = {"fake": 0.25, "fake+real": 0.25, "none": 0.25, "real": 0.25}
    config = load_config("demo", ["device=cpu"])
    config = config.model_copy(update={"scenes": config.scenes.model_copy(update={"states": states})})
    network = Network(feature="mel", model=Plugin(name="mlp"), adapt=[{"name": name} for name in adapt], **changes)
    made = Objective(model, network, config, CPU, lambda epoch, step: CLIPS)
    made.bfloat16 = False  # sums by hand are in float32
    return made


def value(of: Objective, y: np.ndarray = Y, average: nn.Module | None = None) -> torch.Tensor:
    return of(X, y, average or of.model, 0, 0, 1.0)


def test_without_adaptation_it_is_the_loss_of_the_labels():
    plain = objective()
    expected = loss_function(plain.model(torch.from_numpy(X)), torch.from_numpy(Y), "multilabel", 0.02)
    assert torch.equal(value(plain), expected)
    assert list(plain.state_dict()) == [f"model.{name}" for name in plain.model.state_dict()]


def test_an_adaptation_is_added_to_the_same_loss():
    adapting, inner = objective("coral"), nn.Sequential(nn.Flatten(), nn.Linear(6, 5))
    inner[1].load_state_dict(adapting.model[1].state_dict())
    embedding = [inner(torch.from_numpy(x)) for x in (X, CLIPS[1])]
    coral = adapting.adaptation.losses[0](*embedding, None, None, 1.0)
    torch.testing.assert_close(value(adapting), value(objective()) + coral)


@pytest.mark.parametrize("head", ["labels", "states"])
def test_the_teacher_hears_the_clips_as_they_are(head):
    """Plain clips give the average's probabilities, augmented ones the model's; the average gets no gradient."""
    adapting = objective("mean_teacher", head=head)
    average = nn.Sequential(nn.Flatten(), nn.Linear(6, len(adapting.model[2].bias)))
    y = np.eye(4, dtype=np.float32) if head == "states" else Y
    squash = (lambda z: z.softmax(1)) if head == "states" else torch.sigmoid
    taught, said = (squash(m(torch.from_numpy(x))) for m, x in ((average, CLIPS[0]), (adapting.model, CLIPS[1])))
    loss = value(adapting, y, average)
    torch.testing.assert_close(loss, value(objective(head=head), y) + (taught - said).square().mean())
    loss.backward()
    assert all(parameter.grad is None for parameter in average.parameters())
    assert all(parameter.grad is not None for parameter in adapting.model.parameters())


def test_what_an_adaptation_learns_is_trained_and_kept():
    adversary = objective("dann")
    names = [name for name, _ in adversary.named_parameters() if name.startswith("adaptation.losses.0.domain")]
    assert len(names) == 4 and set(names) <= set(adversary.state_dict())
    value(adversary).backward()
    assert all(parameter.grad is not None for parameter in adversary.parameters())
