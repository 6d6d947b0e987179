"""The head on frames of an encoder: layers, frames, and shapes that it refuses."""

import pytest
import torch

from fakevoice.core.errors import ConfigError
from fakevoice.training.models.frame_attention import build


def states(n_layers: int, n_frames: int = 20) -> torch.Tensor:
    return torch.randn(3, 1, 8 * n_layers, n_frames, generator=torch.Generator().manual_seed(1))


def test_bands_that_are_no_equal_layers_are_refused():
    with pytest.raises(ConfigError, match="10 bands are not 3 layers"):
        build((10, 20), 2, n_layers=3)


def test_a_layer_with_a_weight_of_zero_does_not_count():
    torch.manual_seed(0)
    model, batch = build((16, 20), 2, n_layers=2).eval(), states(2)
    changed = batch.clone()
    changed[:, :, 8:] = 5.0
    with torch.no_grad():
        assert not torch.allclose(model(batch), model(changed))
        model.importance.weight.zero_()
        model.preference[1] = -100.0
        torch.testing.assert_close(model(batch), model(changed))


def test_before_training_layers_are_averaged():
    torch.manual_seed(0)
    two = build((16, 20), 2, n_layers=2).eval()
    torch.manual_seed(0)
    one = build((8, 20), 2).eval()
    one.load_state_dict(two.state_dict() | {"preference": torch.zeros(1)})
    with torch.no_grad():
        for model in (one, two):
            model.importance.weight.zero_(), model.importance.bias.zero_()
        batch = states(2)
        torch.testing.assert_close(two(batch), one((batch[:, :, :8] + batch[:, :, 8:]) / 2))


def test_without_preference_for_frames_it_pools_mean_and_deviation():
    torch.manual_seed(0)
    model, batch, given = build((8, 20), 2).eval(), states(1), []
    torch.nn.init.zeros_(model.score[2].weight)
    model.head.register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0]))
    with torch.no_grad():
        model.importance.weight.zero_(), model.importance.bias.zero_()
        model(batch)
        frames = model.projection(batch[:, 0].transpose(1, 2))
    pooled = torch.cat([frames.mean(dim=1), (frames.var(dim=1, correction=0) + 1e-5).sqrt()], dim=1)
    torch.testing.assert_close(given[0], pooled)
