"""Fine-tuning of encoders: whole, in part and by LoRA; frozen parameters stay, lower layers learn more slowly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Plugin, Training
from fakevoice.core.errors import ConfigError
from fakevoice.features import embed
from fakevoice.training.loop import TrainingLoop, running_average
from fakevoice.training.loss import Objective
from fakevoice.training.models import encoder as encoder_model
from tests.support import tiny_encoders

N_SAMPLES = 8000
WAYS = [{}, {"n_frozen_layers": 2}, {"lora_rank": 2}, {"gradient_checkpointing": True}]
SETTINGS = Training(n_epochs=1, batch_size=2, learning_rate=1e-2, warmup_fraction=0.0, precision="fp32")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    return tiny_encoders.write(tmp_path_factory.mktemp("models"), ["Wav2Vec2", "WavLM", "Whisper"])


def build(folder: Path, **args) -> torch.nn.Module:
    torch.manual_seed(0)
    return encoder_model.build((1, N_SAMPLES), 2, checkpoint=str(folder), **{"layers": [1, 3], **args})


def waveforms(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 1, 1, N_SAMPLES, generator=torch.Generator().manual_seed(1))


def trained(model: torch.nn.Module) -> set[str]:
    """Names of the parameters that get a gradient."""
    model.train()(waveforms()).square().sum().backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def one_step(model: torch.nn.Module) -> torch.nn.Module:
    """Train one step as a fold does."""
    network = load_config("demo").networks["mel"].model_copy(update={"training": SETTINGS, "augment": []})
    objective = Objective(model, network, load_config("demo"), torch.device("cpu"), draw=lambda *_: None)
    loop = TrainingLoop(objective, running_average(model, SETTINGS.ema_decay), SETTINGS, 1)
    target = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    loss = loop.epoch(iter([(waveforms().numpy(), target)]), 0)
    assert np.isfinite(loss) and loop.learning_rate == pytest.approx(SETTINGS.learning_rate)
    return model


@pytest.mark.parametrize("family", ["Wav2Vec2", "WavLM", "Whisper"])
@pytest.mark.parametrize("args", WAYS, ids=str)
def test_one_step_changes_what_is_trained_and_nothing_else(checkpoints, family, args):
    model = build(checkpoints[family], **args)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained(build(checkpoints[family], **args)) == wanted
    one_step(model)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed <= wanted
    still = {name for name in wanted - changed if "lora_A" not in name and "k_proj.bias" not in name}
    assert not still  # the gradient of the first LoRA matrix is 0 as long as the second is
    if "lora_rank" in args:
        assert all("lora_" in name for name in wanted if name.startswith("encoder."))
    if "n_frozen_layers" in args:
        assert {name.split(".layers.")[1][0] for name in wanted if ".layers." in name} == {"2"}


@pytest.mark.parametrize("family", ["Wav2Vec2", "WavLM", "Whisper"])
def test_it_reads_the_hidden_states_of_the_frozen_feature(checkpoints, family):
    model = build(checkpoints[family]).eval()
    waveform = 0.05 * waveforms()[:, 0, 0]
    args = {"encoder": "transformers", "checkpoint": str(checkpoints[family]), "layers": [1, 3]}
    expected = embed.embed(waveform.numpy(), 16_000, args | {"statistics": None, "precision": "fp32"})
    with torch.inference_mode():
        given = model.encoder(waveform)
    torch.testing.assert_close(given, torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients(checkpoints):
    plain, saving = (build(checkpoints["WavLM"], dropout=0.0, gradient_checkpointing=on) for on in (False, True))
    for model in (plain, saving):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.manual_seed(1)
        trained(model)
    for (name, one), (_, other) in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_lower_layers_learn_more_slowly(checkpoints):
    model = build(checkpoints["Whisper"], rate=0.1, rate_decay=0.5)
    factors = {name: model.rate_factors().get(parameter, 1.0) for name, parameter in model.named_parameters()}
    assert factors["encoder.encoder.layers.2.fc1.weight"] == pytest.approx(0.1)
    assert factors["encoder.encoder.layers.0.fc1.weight"] == pytest.approx(0.025)
    assert factors["encoder.encoder.conv1.weight"] == pytest.approx(0.0125)
    assert factors["head.projection.1.weight"] == 1.0
    network = load_config("demo").networks["mel"].model_copy(update={"training": SETTINGS})
    objective = Objective(model, network, load_config("demo"), torch.device("cpu"), draw=lambda *_: None)
    loop = TrainingLoop(objective, running_average(model, 0.5), SETTINGS, 10)
    loop._schedule(0)
    rates = {id(p): group["lr"] for group in loop.optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == pytest.approx(SETTINGS.learning_rate * factors[name]), name


def test_the_loudness_of_a_clip_does_not_matter(checkpoints):
    model = build(checkpoints["Whisper"]).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(waveforms()), model(30.0 * waveforms()), atol=1e-4, rtol=1e-4)


def test_more_frozen_layers_than_there_are(checkpoints):
    with pytest.raises(ConfigError, match="n_frozen_layers 4 is more than the 3 layers in use"):
        build(checkpoints["WavLM"], n_frozen_layers=4)


def test_a_missing_checkpoint_names_the_command_that_downloads_it(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere/at-all is not in .*fetch-models.*preset=scratch"):
        build(Path("nowhere/at-all"))


def test_lora_without_peft_names_the_extra(checkpoints, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"lora_rank needs peft: \./run.sh install encoders"):
        build(checkpoints["Whisper"], lora_rank=2)


def test_its_weights_are_part_of_what_a_fold_depends_on(checkpoints):
    from fakevoice.training.networks import pretrained_files

    plugin = Plugin(name="encoder", args={"checkpoint": str(checkpoints["WavLM"]), "layers": [1]})
    assert checkpoints["WavLM"] / "model.safetensors" in pretrained_files(plugin)
