"""Each member of the dacon config is built and trained for one step, small and with tiny checkpoints."""

import numpy as np
import pytest
import safetensors.torch
import torch

from fakevoice.core.config import Config, load_config
from fakevoice.core.tasks import head_states
from fakevoice.features.extract import check_features, extract_on
from fakevoice.training.cross_validation import check_networks
from fakevoice.training.loop import TrainingLoop, running_average
from fakevoice.training.loss import Objective
from fakevoice.training.models.timm_backbone import import_timm
from fakevoice.training.networks import build_model
from tests.support import tiny_encoders

MEMBERS = ["mel", "mfcc", "imagenet", "lfcc", "aasist", "probe", "finetuned"]
N_CLIPS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """The config with clips of 1 s, a small backbone and tiny encoders under the names that it uses."""
    folder = tmp_path_factory.mktemp("models")
    stable = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "num_hidden_layers": 12}  # as the large ones
    tiny_encoders.write_one(folder / "microsoft" / "wavlm-large", "WavLM", **stable)
    tiny_encoders.write_one(folder / "facebook" / "wav2vec2-xls-r-300m", "Wav2Vec2", **stable)
    backbone = folder / "timm" / "resnet18.a1_in1k"
    backbone.mkdir(parents=True)
    (backbone / "config.json").write_text("{}")
    weights = import_timm().create_model("test_resnet").state_dict()
    safetensors.torch.save_file(weights, backbone / "model.safetensors")
    small = [
        "clip_duration_s=1",
        "networks.imagenet.model.args.backbone=test_resnet",
        "networks.mel.model.args.width=8",
        "networks.mfcc.model.args.width=8",
        "networks.aasist.model.args.sinc_stride=4",
        *(f"networks.{name}.training.{word}" for name in MEMBERS for word in ("batch_size=2", "precision=fp32")),
    ]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_MODELS", str(folder))
        yield load_config("dacon", small)


@pytest.fixture(scope="module")
def features(config) -> dict[str, np.ndarray]:
    waveforms = np.random.default_rng(0).normal(0, 0.05, (N_CLIPS, config.n_samples)).astype(np.float32)
    return extract_on("cpu", waveforms, config, list(config.features))


def test_these_are_the_members(config):
    assert set(config.networks) == set(MEMBERS)


def test_everything_is_accepted_before_a_run(config):
    shapes = check_features(config)
    assert shapes["waveform_16khz"] == (1, config.n_samples // 2) and shapes["wavlm"] == (5 * 32, 1)
    check_networks(config, shapes)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_trained_for_one_step(config, features, name):
    network = config.networks[name]
    x = features[network.feature][:, None]
    n_columns = len(head_states(network, config) or config.outputs)
    torch.manual_seed(0)
    model = build_model(network.model, x.shape[2:], n_columns)
    objective = Objective(model, network, config, torch.device("cpu"), draw=lambda *_: None)
    loop = TrainingLoop(objective, running_average(model, 0.9), network.training, 1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    target = np.eye(n_columns, dtype=np.float32)[:N_CLIPS]
    x = (x - x.mean(axis=(0, 3), keepdims=True)) / (x.std(axis=(0, 3), keepdims=True) + 1e-3)
    assert np.isfinite(loop.epoch(iter([(x, target)]), 0))
    changed = [not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True)]
    assert any(changed)
