"""How large the members of a config are, and how long they take: parameters, cache and time, for `./run.sh doctor`.

Networks and encoders are built on PyTorch's meta device, which computes shapes and no values, so that no weights are
needed. Operations of one clip's forward pass are counted by `torch.utils.flop_counter`. From these:

- features: bytes of the cache are values × 2 (float16) × clips, where clips are scenes and test clips;
- a frozen encoder: one forward pass for every clip;
- a network: every fold trains on (n_folds - 1) / n_folds of the scenes in each epoch, and a step takes 3 forward passes
  (the backward pass takes twice as many operations), 4 with gradient checkpointing; then each fold scores the test
  clips, and each scene is scored once. Frozen layers are counted as if they were trained.

Time is the number of operations divided by a speed: that of large float32 products on this machine's cores, measured in
a fraction of a second, and that of a data-centre GPU in bf16, `GPU_FLOPS`. Networks reach a part of it, `EFFICIENCY`,
which is an assumption. Decoding, mixing and spectrograms are not included.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network
from fakevoice.core.models import SAMPLE_RATE_HZ
from fakevoice.core.tasks import head_states
from fakevoice.features import embed
from fakevoice.features.extract import encoder_features, feature_shapes
from fakevoice.training.networks import build_model, without_start
from fakevoice.training.standardize import cropped_shape

BYTES_PER_VALUE = 2  # float16
GPU_FLOPS = 3e14  # operations per second in bf16 of an A100 as its vendor states them
EFFICIENCY = 0.1  # share of the speed of large products that networks of these sizes reach
PRODUCT_SIZE = 1024  # of the matrices by which cores are measured
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Cost of a feature or of a network.

    Attributes:
        n_parameters: of the encoder, or of the network of one fold.
        cache_bytes: of the feature.
        n_operations: for all clips and folds; two for a multiplication and its addition.
    """

    name: str
    n_parameters: int
    cache_bytes: int
    n_operations: float


def feature_costs(config: Config, n_clips: int) -> Iterator[Cost]:
    """Cost of each feature.

    Args:
        n_clips: scenes, test and unlabeled clips.

    Raises:
        ConfigError: the config.json of an encoder is missing.
    """
    shapes = feature_shapes(config, [name for name in config.features if name not in encoder_features(config)])
    for name, shape in shapes.items():
        yield Cost(name, 0, math.prod(shape) * BYTES_PER_VALUE * n_clips, 0.0)
    for name in encoder_features(config):
        module, shape, n_operations = _measured_encoder(config, name)
        cache_bytes = math.prod(shape) * BYTES_PER_VALUE * n_clips
        yield Cost(name, _n_parameters(module), cache_bytes, n_operations * n_clips)


def network_costs(config: Config, n_scenes: int, n_others: int) -> Iterator[Cost]:
    """Cost of each network, all folds together.

    Args:
        n_others: test and unlabeled clips.

    Raises:
        ConfigError: as `feature_costs`.
    """
    n_folds = config.folds.n_folds
    for name, network in config.networks.items():
        shape = cropped_shape(_shape(config, network.feature), network.crop)
        n_columns = len(head_states(network, config) or config.outputs)
        with torch.device("meta"):
            model = build_model(without_start(network.model), shape, n_columns).to("meta").eval()
        n_operations = _n_operations(model, torch.empty(1, 1, *shape, device="meta"))
        n_trained = network.training.n_epochs * n_scenes * (n_folds - 1)
        n_scored = n_scenes + n_folds * n_others
        total = n_operations * (_passes_of_a_step(network) * n_trained + n_scored)
        yield Cost(name, _n_parameters(model), 0, total)


def cores_flops(n_cores: int) -> float:
    """Operations per second of large float32 products on this machine, measured on one core, for all of them."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        matrix = torch.rand(PRODUCT_SIZE, PRODUCT_SIZE)
        taken_s = []
        for _ in range(3):
            start = time.process_time()  # other processes may use the core as well
            matrix @ matrix
            taken_s.append(time.process_time() - start)
    finally:
        torch.set_num_threads(n_threads)
    return 2 * PRODUCT_SIZE**3 / min(taken_s) * n_cores


def hours(cost: Cost, flops: float) -> float:
    """Time of a cost at a speed of large products."""
    return cost.n_operations / (EFFICIENCY * flops) / SECONDS_PER_HOUR


def _passes_of_a_step(network: Network) -> int:
    return 4 if network.model.args.get("gradient_checkpointing") else 3


def _shape(config: Config, name: str) -> tuple[int, ...]:
    if name in encoder_features(config):
        return _measured_encoder(config, name)[1]
    return feature_shapes(config, [name])[name]


def _measured_encoder(config: Config, name: str) -> tuple[nn.Module, tuple[int, ...], int]:
    """An encoder on the meta device, the shape of its values, and the operations of one clip."""
    n_samples = round(config.clip_duration_s * SAMPLE_RATE_HZ)
    with torch.device("meta"):
        module = embed.build_encoder(n_samples, config.features[name] | {"precision": "fp32"}).to("meta")
    clip = torch.empty(1, n_samples, device="meta")
    with torch.no_grad():
        shape = tuple(module(clip).shape[1:])
    return module, shape, _n_operations(module, clip)


def _n_operations(model: nn.Module, clip: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(clip)
    return counter.get_total_flops()


def _n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
