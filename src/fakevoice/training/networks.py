"""Trained networks: what they are made of, how they are kept, how they score."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from fakevoice.core import plugins
from fakevoice.core.artifacts import write_bytes
from fakevoice.core.config_sections import Network, Plugin
from fakevoice.core.errors import ArtifactError, ConfigError, FakevoiceError
from fakevoice.core.tasks import membership
from fakevoice.features.store import CachedFeature
from fakevoice.parallel import torchrun
from fakevoice.training.standardize import Standardizer, cropped_shape, scoring_batches

SCORING_BATCH = 128


@dataclass
class TrainedNetwork:
    """A network with the standardisation that it was trained with.

    Attributes:
        membership: (n_states, n_outputs) bool where the model's own logits are those of states.
    """

    model: nn.Module
    standardizer: Standardizer
    device: torch.device
    membership: torch.Tensor | None = None

    @torch.inference_mode()
    def logits(self, batches: Iterator[np.ndarray]) -> np.ndarray:
        """Logits (n_clips, n_outputs) float64 of standardised batches."""
        torch.set_num_threads(1)  # as in training: the same bytes whatever ran before in this process
        self.model.eval()
        parts = [self._output_logits(x).cpu().numpy() for x in batches]
        return np.concatenate(parts).astype(np.float64)

    def _output_logits(self, x: np.ndarray) -> torch.Tensor:
        logits = self.model(to_device(x, self.device)).float()
        return logits if self.membership is None else label_log_odds(logits, self.membership)


def label_log_odds(
    logits: torch.Tensor, membership: torch.Tensor, possible: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-odds of each output: all states that hold it against all others.

    Sums are taken of logarithms, so that no probability rounds to 0 or 1; the softmax's denominator cancels.

    Args:
        logits: (batch, n_states) float32.
        membership: (n_states, n_outputs) bool; each output in some states, but not in all.
        possible: (n_states, n_outputs) bool, the states that count for each output; all if None.

    Returns:
        (batch, n_outputs) float32.
    """
    each = logits[:, :, None]  # (batch, n_states, 1) beside (n_states, n_outputs)
    possible = torch.ones_like(membership) if possible is None else possible
    heard = each.masked_fill(~(membership & possible), -torch.inf).logsumexp(dim=1)
    return heard - each.masked_fill(membership | ~possible, -torch.inf).logsumexp(dim=1)


def state_membership(states: list[str], outputs: list[str], device: torch.device) -> torch.Tensor | None:
    """`membership` on its device; None without states, where a network's own logits are those of the outputs."""
    return torch.from_numpy(membership(states, outputs)).to(device) if states else None


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; under torchrun each process of a machine has one of its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise FakevoiceError("device=cuda, but torch sees no GPU here: use device=auto or device=cpu")
    if name == "cpu" or torchrun.count() == 1:
        return torch.device(name)
    if torchrun.local_rank() >= torch.cuda.device_count():
        raise FakevoiceError(f"{torch.cuda.device_count()} GPUs here: torchrun --nproc_per_node must not be more")
    return torch.device(name, torchrun.local_rank())


def to_device(x: np.ndarray, device: torch.device) -> torch.Tensor:
    """A batch (n_clips, 1, n_bands, n_frames) on its device, laid out as convolutions like it."""
    return torch.from_numpy(np.ascontiguousarray(x)).to(device, memory_format=torch.channels_last)


def build_model(plugin: Plugin, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """The network of a config for features of this shape."""
    return plugins.load("models", plugin.name).build(shape, n_outputs, **plugin.args)


def count_weights(plugin: Plugin, shape: tuple[int, ...], n_outputs: int) -> int:
    """Number of weights of a network, counted without allocating them; 0 where a file on the disk holds them."""
    if plugin.args.get("checkpoint"):
        return 0
    with torch.device("meta"):
        model = build_model(without_start(plugin), shape, n_outputs)
    return sum(weight.numel() for weight in model.parameters())


def starting_weights(plugin: Plugin) -> dict[str, Any]:
    """Those arguments of a model that only say what its training starts from, as files or hubs."""
    names = getattr(plugins.load("models", plugin.name), "STARTS_FROM", ())
    return {name: value for name, value in plugin.args.items() if name in names}


def pretrained_files(plugin: Plugin) -> list[Path]:
    """Files of pretrained weights that the training of a model starts from.

    Raises:
        ConfigError: they are missing.
    """
    module = plugins.load("models", plugin.name)
    return module.weight_files(**plugin.args) if hasattr(module, "weight_files") else []


def without_start(plugin: Plugin) -> Plugin:
    """The model of a network without the arguments that only say what its training starts from."""
    started = starting_weights(plugin)
    return plugin.model_copy(update={"args": {k: v for k, v in plugin.args.items() if k not in started}})


def save_network(
    path: Path,
    trained: TrainedNetwork,
    network: Network,
    shape: tuple[int, ...],
    outputs: list[str],
    states: list[str],
) -> None:
    """Write weights, standardisation and the settings that made them into one safetensors file.

    Args:
        states: of the network's own logits; empty where they are those of the outputs.
    """
    tensors = {f"model.{name}": tensor.cpu().contiguous() for name, tensor in trained.model.state_dict().items()}
    tensors |= {
        "standardizer.mean": torch.from_numpy(trained.standardizer.mean),
        "standardizer.deviation": torch.from_numpy(trained.standardizer.deviation),
    }
    settings = {"network": network.model_dump(mode="json"), "shape": list(shape), "outputs": outputs, "states": states}
    write_bytes(path, safetensors.torch.save(tensors, {"settings": json.dumps(settings, sort_keys=True)}))


def load_network(path: Path, device: torch.device) -> tuple[TrainedNetwork, dict]:
    """Read a file that `save_network` wrote.

    Returns:
        The network, ready to score, and its settings (network, shape, outputs, states).

    Raises:
        ArtifactError: not safetensors, cut, or of another architecture.
    """
    settings, tensors = _read(path)
    try:
        network = Network.model_validate(settings["network"])
        states = settings["states"] if network.head == "states" else []
        shape = cropped_shape(settings["shape"], network.crop)
        model = build_model(without_start(network.model), shape, len(states or settings["outputs"]))
        model.load_state_dict(_of_model(tensors))
        mean, deviation = (tensors[f"standardizer.{name}"].numpy() for name in ("mean", "deviation"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _unusable(path, error) from error
    standardizer = Standardizer(network.training.mean_subtraction, mean, deviation, network.crop)
    model = model.to(device, memory_format=torch.channels_last)
    own = state_membership(states, settings["outputs"], device)
    return TrainedNetwork(model, standardizer, device, own), settings


def score_rows(network: TrainedNetwork, feature: CachedFeature, rows: np.ndarray) -> np.ndarray:
    """Logits (len(rows), n_outputs) float64 of cached clips, of multiclass outputs as the softmax wants them."""
    return network.logits(scoring_batches(feature, rows, network.standardizer, SCORING_BATCH))


def start_from(model: nn.Module, path: Path) -> None:
    """Take over every tensor of a saved network that has the same name and shape; others start from nothing.

    Mostly that is the last layer, where the outputs are others.

    Raises:
        ArtifactError: as `load_network`.
        ConfigError: no layer fits.
    """
    own, given = model.state_dict(), _of_model(_read(path)[1])
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not any(name in fitting for name, _ in model.named_parameters()):
        raise ConfigError(f"warm_start: no layer of {path} fits {type(model).__name__}: name a run of the same model")
    model.load_state_dict(own | fitting)


def _read(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return json.loads(file.metadata()["settings"]), tensors
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"cannot load the network {path}: {error}; ./run.sh train --force makes it again")


def _of_model(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
