"""wav2vec 2.0 on the raw waveform, from a published checkpoint (Baevski et al. 2020); transformers has its layers."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Depth
from fakevoice.core.errors import ConfigError
from fakevoice.core.third_party import import_transformers, quiet

FIELD = 400  # samples that the first frame hears
HEAD_WIDTH = 32  # of each attention head of a network made here
UNUSED = {"masked_spec_embed"}  # stands for masked frames
# No layer is left out at random (it would get no gradient), no frames are masked (a short clip has too few), and
# attention is computed step by step (the fused one is not the same twice on a GPU)
STEADY = {"layerdrop": 0.0, "apply_spec_augment": False, "attn_implementation": "eager"}


class Wav2Vec2(nn.Module):
    """Frames of the encoder, their mean over time (weighted by learned scores, or plain), linear head."""

    def __init__(self, encoder: nn.Module, n_outputs: int, pooling: str, dropout: float):
        super().__init__()
        n_channels = encoder.config.hidden_size
        self.encoder = encoder
        self.score = nn.Linear(n_channels, 1) if pooling == "attention" else None
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_channels, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised waveforms (batch, 1, 1, n_samples).

        Raises:
            ConfigError: anything of more than one band.
        """
        if x.shape[2] != 1:
            raise ConfigError(f"wav2vec2 hears samples, not {x.shape[2]} bands: give its network the feature waveform")
        samples = F.pad(x[:, 0, 0], (0, max(0, FIELD - x.shape[3])))
        frames = self.encoder(samples).last_hidden_state  # (batch, n_samples / 320, hidden)
        if self.score is None:
            return self.head(frames.mean(dim=1))
        return self.head((frames * self.score(frames).float().softmax(dim=1)).sum(dim=1))


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    checkpoint: str = "",
    hidden: Annotated[int, Field(ge=HEAD_WIDTH, le=16384, multiple_of=HEAD_WIDTH)] = 64,
    n_layers: Depth = 2,
    n_frozen_layers: Annotated[int, Field(ge=0, le=256)] = 0,
    pooling: Literal["mean", "attention"] = "mean",
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
) -> nn.Module:
    """The encoder of a checkpoint with a head; the defaults, a small one from nothing, have 203,778 parameters.

    Args:
        shape: (1, n_samples) at the rate that the checkpoint was trained with, 16 kHz as a rule; clips of any length.
        checkpoint: a folder that transformers wrote, or a name of the hub such as ``facebook/wav2vec2-base``.
        hidden: width of the encoder, where there is no checkpoint.
        n_layers: of the encoder, where there is no checkpoint.
        n_frozen_layers: so many first layers, and with them all convolutions before, are not trained; 0 trains all.
        pooling: over time: the mean, or a mean weighted by learned attention.

    Raises:
        ConfigError: the checkpoint cannot be had or is of another architecture, more
            layers are to be frozen than there are.
    """
    encoder = _pretrained(checkpoint) if checkpoint else _fresh(hidden, n_layers)
    _freeze(encoder, n_frozen_layers)
    return Wav2Vec2(encoder, n_outputs, pooling, dropout)


def _fresh(hidden: int, n_layers: int) -> nn.Module:
    transformers = import_transformers()
    config = transformers.Wav2Vec2Config(
        hidden_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=hidden // HEAD_WIDTH,
        intermediate_size=4 * hidden,
        conv_dim=(hidden,) * 7,
        mask_time_prob=0.0,
        **STEADY,
    )
    return transformers.Wav2Vec2Model(config)


def _pretrained(checkpoint: str) -> nn.Module:
    transformers = import_transformers()
    try:
        with quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(checkpoint, trust_remote_code=False, **STEADY)
            if config.model_type != "wav2vec2":
                raise ConfigError(f"checkpoint: {checkpoint} is a {config.model_type}, not a wav2vec2")
            encoder, report = transformers.Wav2Vec2Model.from_pretrained(
                checkpoint, config=config, dtype=torch.float32, output_loading_info=True
            )
    except ConfigError:
        raise
    except Exception as error:  # no such folder, no connection, a cut file: each library below has its own errors
        raise ConfigError(
            f"checkpoint: {checkpoint} is neither a folder that transformers can read nor a model that the hub gives "
            f"(HF_HUB_OFFLINE=1 asks only for what was downloaded before): {error}"
        ) from error
    missing = sorted(report["missing_keys"] - UNUSED)
    if missing:
        raise ConfigError(f"checkpoint: {checkpoint} lacks {len(missing)} tensors of its encoder: {missing[0]}")
    return encoder


def _freeze(encoder: nn.Module, n_layers: int) -> None:
    layers = encoder.encoder.layers
    if n_layers > len(layers):
        raise ConfigError(f"n_frozen_layers {n_layers} is more than the {len(layers)} layers of wav2vec2")
    if n_layers:
        encoder.freeze_feature_encoder()
        for module in (encoder.feature_projection, encoder.encoder.pos_conv_embed, *layers[:n_layers]):
            module.requires_grad_(False)
