"""Contracts of every network: any picture in, logits out, and gradients on the way back."""

import inspect
import re

import pytest
import torch

from fakevoice import lookup
from fakevoice.errors import ConfigError

NAMES = lookup.names("models")
models = pytest.mark.parametrize("name", NAMES)
SHAPES = [(64, 80), (40, 157)]


def build(name: str, shape: tuple[int, int], n_outputs: int = 2, **args) -> torch.nn.Module:
    torch.manual_seed(0)
    return lookup.load("models", name).build(shape, n_outputs, **args)


def pictures(n: int, shape: tuple[int, int]) -> torch.Tensor:
    return torch.randn(n, 1, *shape, generator=torch.Generator().manual_seed(1))


@models
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward(name, shape):
    model = build(name, shape)
    logits = model.train()(pictures(2, shape))
    assert logits.shape == (2, 2) and logits.dtype == torch.float32 and torch.isfinite(logits).all()
    logits.square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert all(gradient.abs().max() > 0 for gradient in (gradients[0], gradients[-1]))  # all the way back


@models
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_as_many_logits_as_outputs(name, n_outputs):
    assert build(name, SHAPES[0], n_outputs).eval()(pictures(2, SHAPES[0])).shape == (2, n_outputs)


@models
@pytest.mark.parametrize("value", [0.0, -1e3])
def test_a_constant_picture_gives_no_nan(name, value):
    model, picture = build(name, SHAPES[0]), torch.full((2, 1, *SHAPES[0]), value)
    logits = model.train()(picture)
    logits.sum().backward()
    assert torch.isfinite(logits).all() and torch.isfinite(model.eval()(picture)).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@models
def test_scoring_is_deterministic_and_blind_to_the_rest_of_the_batch(name):
    model, batch = build(name, SHAPES[0]).eval(), pictures(4, SHAPES[0])
    with torch.inference_mode():
        whole, again, alone = model(batch), model(batch), model(batch[2:3])
    assert torch.equal(whole, again)
    torch.testing.assert_close(alone, whole[2:3], atol=1e-4, rtol=1e-4)


@models
def test_same_seed_same_weights_under_the_same_names(name):
    first, second = (build(name, SHAPES[0]).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@models
def test_pictures_differ_in_it(name):
    logits = build(name, SHAPES[0]).eval()(pictures(4, SHAPES[0]))
    assert logits.std(dim=0).min() > 1e-6


@models
def test_arguments_are_typed_keywords_with_defaults(name):
    parameters = list(inspect.signature(lookup.load("models", name).build).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["shape", "n_outputs"]
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


def n_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet_is_as_small_as_it_says():
    build_resnet = lookup.load("models", "resnet").build
    said = float(re.search(r"([\d.]+) million parameters", build_resnet.__doc__)[1])
    assert n_parameters(build("resnet", SHAPES[0])) / 1e6 == pytest.approx(said, abs=0.005)


def test_resnet_grows_with_its_arguments():
    sizes = [n_parameters(build("resnet", SHAPES[0], **args)) for args in ({}, {"n_blocks": 2}, {"width": 32})]
    assert sizes[0] < sizes[1] and 3 * sizes[0] < sizes[2]


@pytest.mark.parametrize("shape", [(8, 8), (13, 400), (128, 9)])
def test_resnet_takes_unusual_pictures(shape):
    assert torch.isfinite(build("resnet", shape, width=4).train()(pictures(2, shape))).all()


def test_timm_works_beside_the_installed_torchvision():
    timm = lookup.load("models", "timm_backbone").import_timm()
    assert timm.is_model("resnet18")


def test_timm_backbone_is_the_one_named_and_starts_from_nothing():
    model = build("timm_backbone", SHAPES[0], 3, backbone="resnet10t")
    assert model(pictures(2, SHAPES[0])).shape == (2, 3)
    assert n_parameters(model) < 6e6


def test_an_unknown_backbone_is_a_config_error():
    with pytest.raises(ConfigError, match="no backbone 'resnet1O'"):
        build("timm_backbone", SHAPES[0], backbone="resnet1O")
