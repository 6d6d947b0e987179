"""Pretrained speech encoders that `transformers` loads: Whisper, wav2vec 2.0, WavLM, HuBERT, UniSpeech-SAT, data2vec.

The values are hidden states of chosen layers: their mean and standard deviation over time (for probes and trees), or
the frames themselves (for networks such as `frame_attention`). Layers above the last one that is used are not computed.
Whisper's position embeddings are cut to the length of the clip, which takes a sixth of the time for 5 s (it was trained
on 30 s). `load` is also how the network `encoder` gets an encoder to fine-tune.

Models are read from folders only (see `core.models`); a run never opens a connection.

Sources: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022 (Whisper); Baevski et al.,
"wav2vec 2.0", 2020; Chen et al., "WavLM", 2022; Hsu et al., "HuBERT", 2021. Lower and middle layers hold most of what
tells generated speech: arXiv 2502.03559, 2509.12003.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F

from fakevoice.core import models
from fakevoice.core.errors import ConfigError
from fakevoice.core.third_party import import_transformers, quiet

WEIGHTS = models.WEIGHTS
KNOWN = {  # start of a checkpoint's name → licence, and what it was trained on
    "openai/whisper": ("MIT", "680,000 hours of transcribed audio from the web (models named .en on its English part)"),
    "facebook/wav2vec2-xls-r": ("Apache 2.0", "436,000 hours of speech in 128 languages"),
    "microsoft/wavlm-large": (
        "CC BY-SA 3.0 according to its page (its repository says MIT)",
        "94,000 hours of English speech (Libri-Light, GigaSpeech, VoxPopuli)",
    ),
}
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
ARCHITECTURES = {  # of checkpoints that configs name: their size is known before they are downloaded
    "microsoft/wavlm-large": {"model_type": "wavlm", **_LARGE},
    "facebook/wav2vec2-xls-r-300m": {"model_type": "wav2vec2", "conv_bias": True, **_LARGE},
}
FILES = ("config.json", "preprocessor_config.json", WEIGHTS)
UNUSED = ("decoder.", "masked_spec_embed")  # parts of a checkpoint without which the encoder is complete
LOG_MEL_FLOOR, LOG_MEL_RANGE = 1e-10, 8.0  # of Whisper's input: log10 of power, and how far below the maximum
VARIANCE_FLOOR = 1e-7  # of wav2vec 2.0's input normalisation
FIRST_FRAME = 400  # samples that wav2vec 2.0's first frame depends on

Layers = Annotated[list[Annotated[int, Field(ge=0, le=100)]], Field(min_length=1)]
Statistic = Literal["mean", "std", "max"]
# For training: no layer is skipped at random, so that each gets a gradient; no frames are masked, since short clips
# have few; attention without fused kernels, whose gradients are not reproducible on a GPU.
TRAINING = {"layerdrop": 0.0, "encoder_layerdrop": 0.0, "apply_spec_augment": False}


def build(
    n_samples: int,
    *,
    checkpoint: str,
    revision: str = "main",
    layers: Layers,
    statistics: list[Statistic] | None = ("mean",),
    every: Annotated[int, Field(ge=1, le=10_000)] = 1,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> nn.Module:
    """The encoder of a checkpoint, cut to the clip and to the layers that are used.

    Args:
        n_samples: of each clip at 16 kHz.
        checkpoint: a name on the Hugging Face hub such as ``openai/whisper-base``, or a folder.
        revision: commit, tag or branch that `fetch` downloads.
        layers: 0 is the input of the first layer, 1 its output, and so on.
        statistics: over time, of each layer; null keeps the frames.
        every: with ``statistics: null``, so many neighbouring frames are replaced by their mean.
        precision: of the products; "auto" is bf16 on processors and GPUs that compute it, at half the time.

    Raises:
        ConfigError: the model is missing or of another kind, or has fewer layers or frames.
    """
    if every > 1 and statistics is not None:
        raise ConfigError(f"every: {every} needs frames: set statistics: null, or leave out every")
    module = load(n_samples, checkpoint, layers, statistics, every)
    if precision == "bf16" or (precision == "auto" and _has_bf16()):
        module.encoder = module.encoder.bfloat16()
    return module.eval().requires_grad_(False)


def load(
    n_samples: int,
    checkpoint: str,
    layers: list[int],
    statistics: list[str] | None = None,
    every: int = 1,
    *,
    for_training: bool = False,
) -> "Encoder":
    """Read an encoder from its folder, in float32.

    Args:
        for_training: every parameter gets a gradient from every clip, the same on each run.
        others: as for `build`.

    Raises:
        ConfigError: as `build`.
    """
    transformers = import_transformers()
    if torch.get_default_device().type == "meta":
        return _shapes_alone(transformers, n_samples, checkpoint, layers, statistics, every)
    folder = models.find(checkpoint)
    with quiet(transformers):
        try:
            whole, report = transformers.AutoModel.from_pretrained(
                folder,
                config=_model_config(transformers, folder, for_training),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            front = _front_end(folder, n_samples)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"checkpoint {checkpoint}: transformers cannot load {folder}: {reason}") from error
    missing = [name for name in sorted(report["missing_keys"]) if not name.startswith(UNUSED)]
    if missing:  # transformers would go on with random values
        raise ConfigError(f"checkpoint {checkpoint}: {folder} lacks {len(missing)} tensors, e.g. {missing[0]}")
    return Encoder(front, _encoder_of(whole), layers, statistics, every)


def _encoder_of(whole: nn.Module) -> nn.Module:
    return whole.get_encoder() if whole.config.is_encoder_decoder else whole


def _shapes_alone(transformers: Any, n_samples: int, checkpoint: str, layers: list[int], *rest: Any) -> "Encoder":
    """An encoder on the meta device, without weights; for some checkpoints the folder may be missing too."""
    try:
        folder = models.find(checkpoint)
    except ConfigError:
        if checkpoint not in ARCHITECTURES:
            raise
        config, front = transformers.AutoConfig.for_model(**ARCHITECTURES[checkpoint]), Normalised(True)
    else:
        config, front = _model_config(transformers, folder, for_training=False), _front_end(folder, n_samples)
    return Encoder(front, _encoder_of(transformers.AutoModel.from_config(config)), layers, *rest)


def _model_config(transformers: Any, folder: Path, for_training: bool) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if for_training:
        for name, value in TRAINING.items():
            if hasattr(config, name):
                setattr(config, name, value)
        config._attn_implementation = "eager"
    return config


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def weight_files(*, checkpoint: str, **args) -> list[Path]:
    """Configuration and weights of a checkpoint.

    Raises:
        ConfigError: the model is not there.
    """
    folder = models.find(checkpoint)
    return [folder / name for name in FILES]


def fetch(*, checkpoint: str, revision: str = "main", **args) -> Path:
    """Download a checkpoint from the hub unless it is there; its folder."""
    return models.fetch(checkpoint, revision, FILES)


def describe(*, checkpoint: str, revision: str = "main", **args) -> str:
    """A sentence for the model card: source, licence and training data of a checkpoint."""
    page = f"https://huggingface.co/{checkpoint}"
    for start, (licence, data) in KNOWN.items():
        if checkpoint.startswith(start):
            return f"encoder of {checkpoint} ({page}, revision {revision}), licence {licence}, trained on {data}"
    return (
        f"encoder of {checkpoint} (revision {revision}); its page says under which licence and on what it was trained"
    )


class Encoder(nn.Module):
    """Waveforms (n_clips, n_samples) at 16 kHz → (n_clips, n_bands, n_frames) of the chosen layers."""

    def __init__(
        self, front: nn.Module, encoder: nn.Module, layers: list[int], statistics: list[str] | None, every: int = 1
    ):
        super().__init__()
        self.front = front
        self.encoder = encoder
        self.statistics, self.every = statistics, every
        stack = _layer_owner(encoder)
        if max(layers) > len(stack.layers):
            raise ConfigError(f"layers: {max(layers)} of an encoder that has {len(stack.layers)}")
        stack.layers = stack.layers[: max(max(layers), 1)]
        if isinstance(front, LogMel) or getattr(encoder.config, "do_stable_layer_norm", False):
            stack.layer_norm = nn.Identity()  # it follows the last layer, and outputs of layers are taken before it
        if hasattr(encoder, "masked_spec_embed"):
            del encoder.masked_spec_embed  # stands for masked frames, and none are masked
        self._chosen = layers
        self._states: dict[int, torch.Tensor] = {}
        stack.layers[0].register_forward_pre_hook(self._keep_input, with_kwargs=True)
        for index, layer in enumerate(stack.layers, start=1):
            layer.register_forward_hook(partial(self._keep, index))  # a copy of this module copies the hooks too
        if isinstance(front, LogMel):
            _cut_positions(encoder, front.n_frames // 2)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers that are computed, from the bottom."""
        return _layer_owner(self.encoder).layers

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Hidden states of each clip; they do not depend on the other clips of the batch."""
        return self.hidden_states(self.front(waveform))

    def hidden_states(self, inputs: torch.Tensor) -> torch.Tensor:
        """The same, of what `front` computes."""
        self._states.clear()  # gradient checkpointing calls the hooks again
        self.encoder(inputs.to(next(self.encoder.parameters()).dtype))
        parts = []
        for index in self._chosen:
            frames = self._states[index].float().transpose(1, 2)  # (n_clips, n_channels, n_frames)
            if self.statistics is None:
                parts.append(self._decimated(frames))
            else:
                parts += [_pooled(frames, name) for name in self.statistics]
        self._states.clear()
        return torch.cat(parts, dim=1)

    def _decimated(self, frames: torch.Tensor) -> torch.Tensor:
        if self.every == 1:
            return frames
        if frames.shape[2] < self.every:
            raise ConfigError(f"every: {self.every} of a clip that has {frames.shape[2]} frames")
        return F.avg_pool1d(frames, self.every)

    def _keep_input(self, module: nn.Module, given: tuple, named: dict) -> None:
        self._keep(0, module, given, given[0] if given else named["hidden_states"])

    def _keep(self, index: int, module: nn.Module, given: tuple, result: torch.Tensor | tuple) -> None:
        if index in self._chosen:
            self._states[index] = result[0] if isinstance(result, tuple) else result


def _pooled(frames: torch.Tensor, statistic: str) -> torch.Tensor:
    if statistic == "mean":
        return frames.mean(dim=2, keepdim=True)
    if statistic == "std":
        return frames.std(dim=2, keepdim=True, correction=0)
    return frames.amax(dim=2, keepdim=True)


def _layer_owner(encoder: nn.Module) -> nn.Module:
    """The module whose attribute `layers` holds the transformer layers."""
    for module in (encoder, getattr(encoder, "encoder", None)):
        if isinstance(getattr(module, "layers", None), nn.ModuleList):
            return module
    raise ConfigError(f"{type(encoder).__name__} has no list of layers: name another checkpoint")


def _cut_positions(encoder: nn.Module, n_frames: int) -> None:
    """Let Whisper's encoder take a clip instead of 30 s."""
    positions = encoder.embed_positions.weight[:n_frames].clone()
    encoder.embed_positions = nn.Embedding.from_pretrained(positions)
    encoder.config.max_source_positions = n_frames
    encoder.max_source_positions = n_frames


def _front_end(folder: Path, n_samples: int) -> nn.Module:
    """What an encoder's feature extractor does to the samples."""
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    if settings.get("sampling_rate", models.SAMPLE_RATE_HZ) != models.SAMPLE_RATE_HZ:
        raise ConfigError(f"{folder} was trained at {settings['sampling_rate']} Hz, encoders are given 16 kHz")
    if "Whisper" in settings["feature_extractor_type"]:
        return LogMel(n_samples, settings["feature_size"], settings.get("n_fft", 400), settings.get("hop_length", 160))
    return Normalised(settings.get("do_normalize", True))


class LogMel(nn.Module):
    """Whisper's input: log-mel spectrogram (n_clips, n_mels, n_frames), as `WhisperFeatureExtractor` computes it."""

    def __init__(self, n_samples: int, n_mels: int, n_fft: int, hop_length: int):
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.n_samples = 2 * hop_length * math.ceil(n_samples / (2 * hop_length))  # an even number of frames
        self.n_frames = self.n_samples // hop_length
        rate_hz = models.SAMPLE_RATE_HZ
        bank = mel_filter_bank(1 + n_fft // 2, n_mels, 0.0, rate_hz / 2, rate_hz, norm="slaney", mel_scale="slaney")
        self.register_buffer("bank", torch.from_numpy(bank).float().T.contiguous(), persistent=False)
        self.power = StftPower(n_fft, hop_length)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        padded = F.pad(waveform, (0, self.n_samples - waveform.shape[1]))
        power = self.power(padded)[..., :-1]
        log_mel = (self.bank @ power).clamp(min=LOG_MEL_FLOOR).log10()
        floor = log_mel.amax(dim=(1, 2), keepdim=True) - LOG_MEL_RANGE
        return (torch.maximum(log_mel, floor) + 4.0) / 4.0


class StftPower(nn.Module):
    """Power spectrogram (n_clips, n_fft // 2 + 1, n_frames + 1); export replaces it by real arithmetic."""

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(samples, self.n_fft, self.hop_length, window=self.window, return_complex=True)
        return torch.view_as_real(spectrum).square().sum(dim=-1)


class Normalised(nn.Module):
    """The input of wav2vec 2.0 and its kin: samples, of mean 0 and variance 1 where the model wants that."""

    def __init__(self, is_normalised: bool):
        super().__init__()
        self.is_normalised = is_normalised

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        waveform = F.pad(waveform, (0, max(0, FIRST_FRAME - waveform.shape[1])))
        if not self.is_normalised:
            return waveform
        centred = waveform - waveform.mean(dim=1, keepdim=True)
        variance = waveform.var(dim=1, keepdim=True, correction=0)
        return centred / torch.sqrt(variance + VARIANCE_FLOOR)
