"""Whether a network trains faster in bfloat16, found by trying: processors and architectures differ by factors.

bfloat16 halves the time of a residual network where the processor multiplies it natively, and multiplies that of a
depthwise one where it does not. What was found is kept beside the network, so that a run that goes on, here or
elsewhere, goes on in the precision that it began in.
"""

import statistics
import time
from pathlib import Path

import torch

from fakevoice import storage
from fakevoice.config import digest
from fakevoice.networks import build_model
from fakevoice.settings import Network

N_STEPS, MAX_S = 5, 10.0  # of each precision; of both together, after which a slow network is tried no further
MARGIN = 1.1  # a smaller gain would change from one try to the next


def with_precision(
    network: Network, folder: Path, shape: tuple[int, int], n_outputs: int, device: torch.device
) -> Network:
    """The network with the faster precision where its config leaves the choice, as written in ``precision.json``.

    Args:
        folder: of the network's run.
        shape: (n_bands, n_frames) of what the network sees.
    """
    if network.training.precision != "auto":
        return network
    path = folder / "precision.json"
    key = digest([network.model.model_dump(), network.training.batch_size, shape, n_outputs, device.type])
    known = storage.read_json(path) if path.is_file() else {}
    if known.get("key") != key:
        fp32_s, bf16_s = step_times_s(network, shape, n_outputs, device)
        precision = "bf16" if bf16_s * MARGIN < fp32_s else "fp32"
        known = {"key": key, "fp32_s": fp32_s, "bf16_s": bf16_s, "precision": precision}
        storage.write_json(path, known)
    training = network.training.model_copy(update={"precision": known["precision"]})
    return network.model_copy(update={"training": training})


def step_times_s(network: Network, shape: tuple[int, int], n_outputs: int, device: torch.device) -> tuple[float, float]:
    """Median time of a training step on one thread, in float32 and under bfloat16 autocast, tried in turns."""
    n_threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)  # as folds are trained
    try:
        model = build_model(network.model, shape, n_outputs).to(device, memory_format=torch.channels_last).train()
        x = torch.rand(network.training.batch_size, 1, *shape, device=device)
        x = x.to(memory_format=torch.channels_last)
        times: tuple[list[float], list[float]] = ([], [])
        start = time.perf_counter()
        while len(times[0]) <= N_STEPS and (len(times[0]) < 2 or time.perf_counter() - start < MAX_S):
            for bfloat16 in (False, True):
                times[bfloat16].append(_step_s(model, x, bfloat16))
        return statistics.median(times[0][1:]), statistics.median(times[1][1:])  # the first one builds its kernels
    finally:
        torch.set_num_threads(n_threads)
        torch.set_rng_state(state)


def _step_s(model: torch.nn.Module, x: torch.Tensor, bfloat16: bool) -> float:
    start = time.perf_counter()
    model.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        loss = model(x).float().square().mean()
    loss.backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
