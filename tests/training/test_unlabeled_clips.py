"""Unlabeled clips: any model is listened to, a line runs on it all."""

import numpy as np
import pytest
import torch
from torch import nn

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Plugin
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import paths
from fakevoice.core.tables import read_table
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.training.unlabeled_clips import Adaptation, last_linear, unlabeled_size

SHAPES = {"aasist": (1, 8000), "encoder": (1, 8000), "rawnet": (1, 8000)}  # of the models that take no spectrograms
models = pytest.mark.parametrize("name", plugins.names("models"))


def build(name: str, n_outputs: int) -> tuple[nn.Module, torch.Tensor]:
    """A model and three pictures for it."""
    torch.manual_seed(0)
    shape = SHAPES.get(name, (64, 80))
    return plugins.load("models", name).build(shape, n_outputs), torch.randn(3, 1, *shape)


@models
def test_every_model_is_listened_to(name):
    """Logits are the last layer of what is kept: nothing comes after it."""
    model, pictures = build(name, 6)
    adaptation = Adaptation([Plugin(name="coral")], model.eval(), 6)
    with torch.inference_mode():
        logits = model(pictures)
        torch.testing.assert_close(last_linear(model, 6)(adaptation.embedding), logits)
    assert adaptation.embedding.shape[0] == 3 and adaptation.embedding.ndim == 2


@pytest.mark.parametrize(
    "model", [nn.Conv2d(1, 2, 3), nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4))], ids=["none", "another"]
)
def test_a_model_that_ends_otherwise_is_refused(model):
    with pytest.raises(ConfigError, match="does not end in a linear layer"):
        last_linear(model, 2)


def test_losses_see_their_own_part_of_the_batch():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    adaptation = Adaptation([Plugin(name="coral"), Plugin(name="mean_teacher")], model, 2)
    x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [1.0, 3.0], [1.0, 0.0], [-1.0, 0.0]])
    model(x)
    coral, consistency = adaptation.losses
    student, teacher = torch.tensor([[0.2, 0.5], [0.4, 0.5]]), lambda: torch.full((2, 2), 0.5)
    each = [loss(x[:3], x[3:], student, teacher, 0.7) for loss in (coral, consistency)]
    torch.testing.assert_close(adaptation(student, teacher, 0.7), each[0] + each[1])
    assert all(loss > 0 for loss in each)


@pytest.mark.parametrize(("batch_size", "expected"), [(2, 2), (8, 2), (32, 8), (64, 16)])
def test_a_quarter_of_the_batch_is_unlabeled(batch_size, expected):
    assert unlabeled_size(batch_size) == expected


ALL = "[{name: dann}, {name: coral}, {name: mean_teacher}]"


def test_the_line_runs_on_states_and_unlabeled_clips(damageable):
    words = ["networks.mel.head=states", f"networks.mel.adapt={ALL}"]
    config = load_config("demo", [*damageable.overrides, *words])
    earlier = set(damageable.paths.submissions.iterdir())
    run_pipeline(config)
    (file,) = {path for path in damageable.paths.submissions.glob("demo-*.csv")} - earlier
    submission = read_table(file, ("id",))
    # read back from the files, without a word of the settings
    table = answer(Predictor.load(paths(config)), list_sources([str(damageable.home / "data/demo/test.csv")])).table
    outputs = config.outputs
    assert list(table["id"]) == list(submission["id"])
    assert np.abs(table[outputs].to_numpy() - submission[outputs].to_numpy()).max() < 1e-5
