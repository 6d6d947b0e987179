"""Embeddings of clips by pretrained encoders; a feature whose arguments name an ``encoder`` is one.

features:
  whisper: {encoder: transformers, checkpoint: openai/whisper-base, layers: [3, 4]}
"""

import inspect
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakevoice.audio.read import resample
from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.core.models import SAMPLE_RATE_HZ

if TYPE_CHECKING:  # torch takes longer to import than most features take
    from torch import nn

ENCODER = "encoder"
N_LOADED = 4  # encoders kept in memory
LARGEST = float(np.finfo(np.float16).max)  # values are cached in float16


def is_encoder(args: dict[str, Any]) -> bool:
    """Whether a feature of a config is computed by a pretrained encoder."""
    return ENCODER in args


def embed(waveforms: np.ndarray, sample_rate_hz: int, args: dict[str, Any], device: str = "cpu") -> np.ndarray:
    """Embeddings of some clips.

    Args:
        waveforms: (n_clips, n_samples) float32.
        args: of the feature, the encoder's name included.

    Returns:
        (n_clips, n_bands, n_frames) float32.

    Raises:
        ConfigError: the model is missing, or an argument is wrong.
        FakevoiceError: there is no such device, or values do not fit into the cache.
    """
    import torch

    if sample_rate_hz != SAMPLE_RATE_HZ:
        waveforms = np.stack([resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ) for waveform in waveforms])
    module = load_encoder(waveforms.shape[1], args, device)
    with torch.inference_mode():
        values = module(torch.from_numpy(waveforms).to(device)).float().cpu().numpy()
    if not np.abs(values).max() <= LARGEST:
        checkpoint = args.get("checkpoint", args[ENCODER])
        raise FakevoiceError(
            f"{checkpoint}: values of layers {args.get('layers')} exceed the float16 of the cache: leave some out"
        )
    return values


def load_encoder(n_samples: int, args: dict[str, Any], device: str = "cpu") -> "nn.Module":
    """The module of an encoder for clips of `n_samples` at 16 kHz, read once in each process."""
    return _load(n_samples, json.dumps(args, sort_keys=True), device)


def check_encoder(name: str, args: dict[str, Any]) -> None:
    """Check the arguments of a feature that names an encoder, and that its model is on the disk.

    Raises:
        ConfigError: an unknown encoder, an unknown or impossible argument, or a missing model.
    """
    encoder, own = _split(args)
    build = plugins.load("encoders", encoder).build
    plugins.check_args(build, own, f"features.{name}")
    try:
        inspect.signature(build).bind(0, **own)
    except TypeError as error:  # an argument without a default
        raise ConfigError(f"features.{name}: {error}") from error
    weight_files(args)


def weight_files(args: dict[str, Any]) -> list[Path]:
    """Files that decide what an encoder computes.

    Raises:
        ConfigError: the model is missing.
    """
    encoder, own = _split(args)
    return plugins.load("encoders", encoder).weight_files(**own)


def fetch(args: dict[str, Any]) -> Path:
    """Download an encoder unless it is there; its folder.

    Raises:
        RemoteError: it cannot be downloaded.
    """
    encoder, own = _split(args)
    return plugins.load("encoders", encoder).fetch(**own)


def exact(config: Config) -> Config:
    """The same config with encoders in float32, as export needs them."""
    features = {
        name: args | {"precision": "fp32"} if is_encoder(args) else args for name, args in config.features.items()
    }
    return config.model_copy(update={"features": features})


def build_encoder(n_samples: int, args: dict[str, Any]) -> "nn.Module":
    """A new module of an encoder for clips of `n_samples` at 16 kHz."""
    encoder, own = _split(args)
    return plugins.load("encoders", encoder).build(n_samples, **own)


def describe(args: dict[str, Any]) -> str:
    """Source, licence and training data of an encoder in a sentence."""
    encoder, own = _split(args)
    return plugins.load("encoders", encoder).describe(**own)


@lru_cache(maxsize=N_LOADED)
def _load(n_samples: int, args: str, device: str) -> "nn.Module":
    module = build_encoder(n_samples, json.loads(args))
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise FakevoiceError(f"features_device={device}: {str(error).splitlines()[0]}") from error


def _split(args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return args[ENCODER], {name: value for name, value in args.items() if name != ENCODER}
