"""Contracts of every adaptation, and what each of them says by hand."""

import inspect

import pytest
import torch

from fakevoice.core import plugins

NAMES = plugins.names("adaptation")
adaptations = pytest.mark.parametrize("name", NAMES)
N_SCENES, N_CLIPS, N_FEATURES = 12, 4, 6


def build(name: str, n_features: int = N_FEATURES, **args) -> torch.nn.Module:
    torch.manual_seed(0)
    return plugins.load("adaptation", name).build(n_features, **args)


def embeddings(seed: int = 1, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.randn(N_SCENES, N_FEATURES, generator=generator)
    clips = 2 * torch.randn(N_CLIPS, N_FEATURES, generator=generator) + shift
    return scenes.requires_grad_(), clips.requires_grad_()


def probabilities(seed: int) -> torch.Tensor:
    return torch.rand(N_CLIPS, 2, generator=torch.Generator().manual_seed(seed))


def loss(adaptation: torch.nn.Module, scenes=None, clips=None, student=None, teacher=None, progress=0.5):
    ours = embeddings()
    scenes, clips = ours[0] if scenes is None else scenes, ours[1] if clips is None else clips
    student, teacher = (probabilities(2) if student is None else student), teacher or (lambda: probabilities(3))
    return adaptation(scenes, clips, student, teacher, progress)


def test_there_are_some():
    assert {"coral", "dann", "mean_teacher"} <= set(NAMES)


@adaptations
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_a_loss_is_one_finite_number_and_not_negative(name, progress):
    value = loss(build(name), progress=progress)
    assert value.shape == () and value.dtype == torch.float32
    assert torch.isfinite(value) and value >= 0


@adaptations
def test_the_model_gets_a_gradient(name):
    (scenes, clips), student = embeddings(), probabilities(2).requires_grad_()
    loss(build(name), scenes, clips, student).backward()
    gradients = [tensor.grad for tensor in (clips, student) if tensor.grad is not None]
    assert gradients and all(torch.isfinite(g).all() and g.abs().max() > 0 for g in gradients)


@adaptations
@pytest.mark.parametrize("value", [0.0, 1e3])
def test_equal_embeddings_and_certain_outputs_give_no_nan(name, value):
    scenes = torch.full((N_SCENES, N_FEATURES), value, requires_grad=True)
    clips = torch.full((2, N_FEATURES), value, requires_grad=True)
    certain = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    result = loss(build(name), scenes, clips, certain, lambda: certain.detach())
    result.backward()
    gradients = [tensor.grad for tensor in (scenes, clips, certain) if tensor.grad is not None]
    assert torch.isfinite(result) and all(torch.isfinite(gradient).all() for gradient in gradients)


@adaptations
def test_same_seed_same_weights_and_same_loss(name):
    first, second = build(name), build(name)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(loss(first), loss(second))


@adaptations
def test_arguments_are_typed_keywords_with_defaults(name):
    first, *others = inspect.signature(plugins.load("adaptation", name).build).parameters.values()
    assert first.name == "n_features"
    for parameter in others:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


def test_reversed_gradient_is_the_classifiers_own_with_the_other_sign():
    adversary, (scenes, clips) = build("dann", strength=0.5), embeddings(shift=1.0)
    loss(adversary, scenes, clips, progress=1.0).backward()
    true = [torch.zeros(N_SCENES, 1), torch.ones(N_CLIPS, 1)]
    straight = [tensor.detach().clone().requires_grad_() for tensor in (scenes, clips)]
    domain = [adversary.domain(x) for x in straight]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    own = sum(entropy(d, t) for d, t in zip(domain, true, strict=True)) / 2
    own_gradients = torch.autograd.grad(own, [*straight, adversary.domain[0].weight])
    strength = 0.5 * (2 / (1 + torch.exp(torch.tensor(-10.0))) - 1)
    torch.testing.assert_close(scenes.grad, -strength * own_gradients[0])
    torch.testing.assert_close(clips.grad, -strength * own_gradients[1])
    torch.testing.assert_close(adversary.domain[0].weight.grad, own_gradients[2])  # the classifier itself learns


def test_reversal_starts_at_nothing():
    adversary, (scenes, clips) = build("dann"), embeddings()
    loss(adversary, scenes, clips, progress=0.0).backward()
    assert clips.grad.abs().max() == 0 and adversary.domain[0].weight.grad.abs().max() > 0
    ramp = plugins.load("adaptation", "dann").ramp
    assert [round(ramp(progress), 4) for progress in (0.0, 0.1, 0.5, 1.0)] == [0.0, 0.4621, 0.9866, 0.9999]


def test_both_domains_count_the_same_in_dann():
    adversary, (scenes, clips) = build("dann"), embeddings()
    repeated = scenes.repeat(5, 1)
    torch.testing.assert_close(loss(adversary, repeated, clips), loss(adversary, scenes, clips))


def test_adversary_makes_domains_alike():
    """Clips lie one step aside; their embedding follows the reversed gradient until it lies among the scenes."""
    adversary = build("dann", n_features=2, n_hidden=16)
    generator = torch.Generator().manual_seed(0)
    scenes, noise = torch.randn(64, 2, generator=generator), torch.randn(64, 2, generator=generator)
    shift = torch.full((2,), 2.0, requires_grad=True)
    optimizer = torch.optim.SGD([shift, *adversary.parameters()], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        loss(adversary, scenes, noise + shift, progress=1.0).backward()
        optimizer.step()
    assert shift.norm() < 1.0


def test_coral_by_hand():
    scenes = torch.tensor([[0.0, 0.0], [2.0, 2.0]])  # covariance [[2, 2], [2, 2]]
    clips = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])  # [[2/3, 0], [0, 6]]
    expected = ((2 - 2 / 3) ** 2 + 2**2 + 2**2 + (2 - 6) ** 2) / (4 * 2**2)
    assert loss(build("coral", 2), scenes, clips).item() == pytest.approx(expected)
    assert loss(build("coral", 2, weight=3.0), scenes, clips).item() == pytest.approx(3 * expected)
    assert loss(build("coral", 2), scenes, scenes + 7).item() == pytest.approx(0)  # a mean is no covariance


def test_consistency_is_zero_where_both_say_the_same():
    same = probabilities(2)
    assert loss(build("mean_teacher"), student=same, teacher=lambda: same.clone()).item() == 0


def test_consistency_by_hand():
    student, teacher = torch.tensor([[0.2, 0.5]]), torch.tensor([[0.6, 0.5]])
    full = 3.0 * 0.4**2 / 2
    values = [
        loss(
            build("mean_teacher", weight=3.0, ramp_fraction=0.5), student=student, teacher=lambda: teacher, progress=p
        ).item()
        for p in (0.0, 0.25, 0.5, 0.9)
    ]
    ramp = torch.exp(torch.tensor([-5.0, -1.25])).tolist()
    assert values == pytest.approx([full * ramp[0], full * ramp[1], full, full])


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mean_teacher"}))
def test_the_teacher_is_not_asked_in_vain(name):
    def teacher():
        raise AssertionError("asked")

    loss(build(name), teacher=teacher)
