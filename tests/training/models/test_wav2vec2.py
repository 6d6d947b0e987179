"""wav2vec2: checkpoints of a folder, what is frozen, and errors that say what to do."""

import json

import huggingface_hub.constants
import pytest
import torch

from fakevoice.core.errors import ConfigError
from fakevoice.training.models.wav2vec2 import build, import_transformers

SHAPE = (1, 4000)


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("transformers")
    return import_transformers()


@pytest.fixture(scope="module")
def checkpoint(transformers, tmp_path_factory):
    """A folder as published: with a head for its own training, in half precision, masks and left-out layers on."""
    config = transformers.Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        codevector_dim=16,
        proj_codevector_dim=16,
        layerdrop=0.9,
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(7)
    transformers.utils.logging.disable_progress_bar()
    transformers.Wav2Vec2ForPreTraining(config).half().save_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
    return folder


def waveforms(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 1, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_the_tests_use_the_version_that_it_names(transformers):
    assert transformers.__version__ == "5.23.0"


def test_a_checkpoint_is_what_scores(transformers, checkpoint, capfd):
    model = build(SHAPE, 3, checkpoint=str(checkpoint)).eval()
    assert capfd.readouterr() == ("", "")
    assert model(waveforms()).shape == (2, 3)
    assert len(model.encoder.encoder.layers) == 3 and model.encoder.dtype == torch.float32
    again = build(SHAPE, 3, checkpoint=str(checkpoint)).eval()
    assert torch.equal(model.encoder(waveforms()[:, 0, 0])[0], again.encoder(waveforms()[:, 0, 0])[0])


def test_it_leaves_the_reports_of_transformers_as_they_were(transformers, checkpoint):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    build(SHAPE, 2, checkpoint=str(checkpoint))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_every_layer_of_a_checkpoint_learns_from_every_clip(transformers, checkpoint):
    model = build(SHAPE, 2, checkpoint=str(checkpoint)).train()
    torch.manual_seed(0)
    model(waveforms()).square().sum().backward()
    silent = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert silent == {"encoder.masked_spec_embed"}
    assert model.encoder.config._attn_implementation == "eager"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_first_layers_are_frozen_with_all_before(transformers, n):
    model = build(SHAPE, 2, n_layers=2, n_frozen_layers=n).train()
    model(waveforms()).square().sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for part in ("feature_extractor", "feature_projection", "encoder.pos_conv_embed"):
        assert any(name.startswith(f"encoder.{part}") for name in trained) == (n == 0)
    for layer in range(2):
        assert any(name.startswith(f"encoder.encoder.layers.{layer}.") for name in trained) == (layer >= n)
    assert "head.1.weight" in trained


def test_no_more_layers_are_frozen_than_there_are(transformers):
    with pytest.raises(ConfigError, match="n_frozen_layers 3 is more than the 2 layers"):
        build(SHAPE, 2, n_layers=2, n_frozen_layers=3)


def test_attention_is_a_weighted_mean(transformers):
    torch.manual_seed(0)
    model = build(SHAPE, 2, pooling="attention").eval()
    frames = model.encoder(waveforms()[:, 0, 0])[0]
    assert not torch.allclose(model(waveforms()), model.head(frames.mean(dim=1)))
    torch.nn.init.zeros_(model.score.weight)
    torch.testing.assert_close(model(waveforms()), model.head(frames.mean(dim=1)))


@pytest.mark.parametrize("name", ["nowhere/at/all", "facebook/wav2vec2-base"])
def test_a_checkpoint_that_cannot_be_had_is_a_config_error(transformers, tmp_path, monkeypatch, name):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=f"{name} is neither a folder"):
        build(SHAPE, 2, checkpoint=name)


def test_a_checkpoint_of_another_architecture_is_a_config_error(transformers, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="is a bert, not a wav2vec2"):
        build(SHAPE, 2, checkpoint=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"cut"])
def test_a_damaged_checkpoint_is_a_config_error(transformers, checkpoint, tmp_path, content):
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match="is neither a folder that transformers can read"):
        build(SHAPE, 2, checkpoint=str(tmp_path))


def test_a_checkpoint_of_nothing_that_fits_is_a_config_error(transformers, checkpoint, tmp_path):
    import safetensors.torch

    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    tensors = {"something.else": torch.zeros(2)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks \d+ tensors of its encoder"):
        build(SHAPE, 2, checkpoint=str(tmp_path))
