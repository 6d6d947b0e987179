"""Trained networks: what they are made of, how they are kept, how they score."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from fakevoice import lookup
from fakevoice.batches import Standardizer, scoring_batches
from fakevoice.cache import CachedFeature
from fakevoice.config import Network, Plugin
from fakevoice.errors import ArtefactError, FakevoiceError
from fakevoice.storage import write_bytes

SCORING_BATCH = 128


@dataclass
class TrainedNetwork:
    """A network with the standardisation that it was trained with."""

    model: nn.Module
    standardizer: Standardizer
    device: torch.device

    @torch.inference_mode()
    def logits(self, batches: Iterator[np.ndarray]) -> np.ndarray:
        """Logits (n_clips, n_outputs) float64 of standardised batches."""
        torch.set_num_threads(1)  # as in training: the same bytes whatever ran before in this process
        self.model.eval()
        parts = [self.model(to_device(x, self.device)).float().cpu().numpy() for x in batches]
        return np.concatenate(parts).astype(np.float64)


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise FakevoiceError("device=cuda, but torch sees no GPU here: use device=auto or device=cpu")
    return torch.device(name)


def to_device(x: np.ndarray, device: torch.device) -> torch.Tensor:
    """A batch (n_clips, 1, n_bands, n_frames) on its device, laid out as convolutions like it."""
    return torch.from_numpy(np.ascontiguousarray(x)).to(device, memory_format=torch.channels_last)


def build_model(plugin: Plugin, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """The network of a config for features of this shape."""
    return lookup.load("models", plugin.name).build(shape, n_outputs, **plugin.args)


def save_network(
    path: Path, trained: TrainedNetwork, network: Network, shape: tuple[int, ...], outputs: list[str]
) -> None:
    """Write weights, standardisation and the settings that made them into one safetensors file."""
    tensors = {f"model.{name}": tensor.cpu().contiguous() for name, tensor in trained.model.state_dict().items()}
    tensors |= {
        "standardizer.mean": torch.from_numpy(trained.standardizer.mean),
        "standardizer.deviation": torch.from_numpy(trained.standardizer.deviation),
    }
    settings = {"network": network.model_dump(mode="json"), "shape": list(shape), "outputs": outputs}
    write_bytes(path, safetensors.torch.save(tensors, {"settings": json.dumps(settings, sort_keys=True)}))


def load_network(path: Path, device: torch.device) -> tuple[TrainedNetwork, dict]:
    """Read a file that `save_network` wrote.

    Returns:
        The network, ready to score, and its settings (network, shape, outputs).

    Raises:
        ArtefactError: not safetensors, cut, or of another architecture.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            settings = json.loads(file.metadata()["settings"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        network = Network.model_validate(settings["network"])
        model = build_model(network.model, settings["shape"], len(settings["outputs"]))
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise ArtefactError(
            f"cannot load the network {path}: {error}; ./run.sh train --force makes it again"
        ) from error
    mean, deviation = tensors["standardizer.mean"].numpy(), tensors["standardizer.deviation"].numpy()
    standardizer = Standardizer(network.training.mean_subtraction, mean, deviation)
    model = model.to(device, memory_format=torch.channels_last)
    return TrainedNetwork(model, standardizer, device), settings


def score_rows(network: TrainedNetwork, feature: CachedFeature, rows: np.ndarray) -> np.ndarray:
    """Raw logits (len(rows), n_outputs) float64 of cached clips."""
    return network.logits(scoring_batches(feature, rows, network.standardizer, SCORING_BATCH))
