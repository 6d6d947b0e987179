"""A pretrained speech encoder that is fine-tuned with the network on it, whole or by LoRA, from the waveform.

Its input is the feature `waveform_16khz`. The encoder is loaded as a feature of the same checkpoint is
(`features/encoders/transformers.py`); the head is `frame_attention`. A GPU is needed for encoders of usual size.

Sources: Tak et al., "Automatic speaker verification spoofing and deepfake detection using wav2vec 2.0 and data
augmentation", 2022 (fine-tuning); Hu et al., "LoRA", 2021, and arXiv 2306.05617 (LoRA for this task); Howard & Ruder,
"Universal language model fine-tuning", 2018 (learning rates by layer).
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError, install_extra
from fakevoice.features.encoders.transformers import Encoder, Layers, describe, fetch, load, weight_files
from fakevoice.training.models.frame_attention import FrameAttention

__all__ = ["build", "describe", "fetch", "weight_files"]

SPEECH_RMS = 0.05  # -26 dBFS, the usual level of speech: networks are given standardised samples
SILENCE_RMS = 1e-6
LORA_ALPHA = 2.0  # as a multiple of the rank
USED_BY_WEIGHT = ("q_proj", "k_proj", "v_proj", "out_proj")  # WavLM multiplies by these outside of their modules


class FineTunedEncoder(nn.Module):
    """The frames of an encoder's chosen layers, and the head on them."""

    def __init__(self, encoder: Encoder, head: nn.Module, n_layers: int, rate: float, rate_decay: float):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.n_layers, self.rate, self.rate_decay = n_layers, rate, rate_decay

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from standardised waveforms (batch, 1, 1, n_samples) at 16 kHz.

        Raises:
            ConfigError: anything of more than one band.
        """
        if x.shape[2] != 1:
            raise ConfigError(f"encoder takes samples, not {x.shape[2]} bands: give it the feature waveform_16khz")
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):  # logarithms of power need float32
            inputs = self.encoder.front(_at_speech_level(x[:, 0, 0].float()))
        states = self.encoder.hidden_states(inputs).unflatten(1, (self.n_layers, -1))
        normalised = F.layer_norm(states.transpose(2, 3), states.shape[2:3])  # layers differ in scale
        return self.head(normalised.transpose(2, 3).flatten(1, 2)[:, None])

    def rate_factors(self) -> dict[nn.Parameter, float]:
        """Learning rates of the encoder's parameters as multiples of ``training.learning_rate``."""
        n_layers = len(self.encoder.layers)
        factors = dict.fromkeys(self.encoder.parameters(), self.rate * self.rate_decay**n_layers)
        for index, layer in enumerate(self.encoder.layers):
            factors |= dict.fromkeys(layer.parameters(), self.rate * self.rate_decay ** (n_layers - 1 - index))
        return factors


def build(
    shape: tuple[int, int],
    n_outputs: int,
    *,
    checkpoint: str = "openai/whisper-base",
    revision: str = "main",
    layers: Layers = (2, 4, 6),
    n_frozen_layers: Annotated[int, Field(ge=0, le=256)] = 0,
    lora_rank: Annotated[int, Field(ge=0, le=4096)] = 0,
    rate: Annotated[float, Field(gt=0, le=1)] = 0.1,
    rate_decay: Annotated[float, Field(gt=0, le=1)] = 0.9,
    gradient_checkpointing: bool = False,
    width: Width = 128,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> nn.Module:
    """The encoder of a checkpoint with a head on some of its layers.

    Args:
        shape: (1, n_samples) at 16 kHz.
        checkpoint: a name on the Hugging Face hub such as ``microsoft/wavlm-large``, or a folder.
        revision: commit, tag or branch that ``./run.sh fetch-models`` downloads.
        layers: that the head reads; layers above are not computed.
        n_frozen_layers: so many first layers, and everything before them, are not trained; 0 trains all.
        lora_rank: instead of the weights, products of two matrices of this rank that are added to them (needs `peft`).
        rate: learning rate of the last layer, as a share of ``training.learning_rate``, which the head has.
        rate_decay: from the learning rate of each layer to that of the layer below.
        gradient_checkpointing: compute layers twice instead of keeping their activations, for less memory.
        width: of the head.
        dropout: of the head.

    Raises:
        ConfigError: the model is missing, has fewer layers, or `peft` is not installed.
    """
    encoder = load(shape[1], checkpoint, layers, for_training=True)
    if n_frozen_layers > len(encoder.layers):
        raise ConfigError(f"n_frozen_layers {n_frozen_layers} is more than the {len(encoder.layers)} layers in use")
    if lora_rank:
        _add_lora(encoder, n_frozen_layers, lora_rank)
    elif n_frozen_layers:
        _freeze(encoder, n_frozen_layers)
    if gradient_checkpointing:
        encoder.encoder.activation_checkpointing_enable({"use_reentrant": False})
    n_channels = encoder.encoder.config.hidden_size
    head = FrameAttention(len(layers), n_channels, n_outputs, width, dropout)
    return FineTunedEncoder(encoder, head, len(layers), rate, rate_decay)


def _at_speech_level(waveform: torch.Tensor) -> torch.Tensor:
    rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
    return waveform * (SPEECH_RMS / rms.clamp(min=SILENCE_RMS))


def _freeze(encoder: Encoder, n_layers: int) -> None:
    encoder.requires_grad_(False)
    encoder.layers[n_layers:].requires_grad_(True)


def _add_lora(encoder: Encoder, n_frozen_layers: int, rank: int) -> None:
    """Add LoRA to the linear maps of the layers that are not frozen; nothing else of the encoder is trained."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(f"lora_rank needs peft: {install_extra('encoders')}") from error
    skipped = USED_BY_WEIGHT if encoder.encoder.config.model_type == "wavlm" else ()
    encoder.requires_grad_(False)
    for layer in encoder.layers[n_frozen_layers:]:
        names = [name for name, module in layer.named_modules() if isinstance(module, nn.Linear)]
        targets = [name for name in names if name.rpartition(".")[2] not in skipped]
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=LORA_ALPHA * rank, target_modules=targets), layer)
