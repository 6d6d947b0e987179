"""Whether a network trains faster in bfloat16, found by trying: processors and architectures differ by factors.

bfloat16 halves the time of a residual network where the processor multiplies it natively, and multiplies that of a
depthwise one where it does not. What the processor promises holds unless a try contradicts it clearly, so that the
same machine decides the same way each time; and what was decided is kept beside the network, so that a run that goes
on, here or elsewhere, goes on in the precision that it began in.
"""

import time
from pathlib import Path

import torch

from fakevoice.core import artifacts
from fakevoice.core.config import digest
from fakevoice.core.config_sections import Network
from fakevoice.training.networks import build_model

N_STEPS, MAX_S = 5, 3.0  # of each precision; of both together, after which a slow network is tried no further
MARGIN = 1.2  # by which the other one must be faster
NEGLIGIBLE_S = 0.02  # a step that takes no longer is not worth a choice


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
    known = artifacts.read_json(path) if path.is_file() else {}
    if known.get("key") != key:
        step_s = step_times_s(network, shape, n_outputs, device)
        known = {"key": key, "precision": _faster(step_s, device)}
        tried = ", ".join(f"{1000 * seconds:.1f} ms in {precision}" for precision, seconds in step_s.items())
        print(f"train: a step of {folder.name} takes {tried}: {known['precision']}", flush=True)
        artifacts.write_json(path, known)
    training = network.training.model_copy(update={"precision": known["precision"]})
    return network.model_copy(update={"training": training})


def _faster(step_s: dict[str, float], device: torch.device) -> str:
    has_bf16 = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    promised, other = ("bf16", "fp32") if has_bf16 else ("fp32", "bf16")
    return other if step_s[promised] > max(MARGIN * step_s[other], NEGLIGIBLE_S) else promised


def step_times_s(network: Network, shape: tuple[int, int], n_outputs: int, device: torch.device) -> dict[str, float]:
    """Time of a training step in float32 and under bfloat16 autocast, tried in turns.

    On a processor it is that for which one thread of it worked, so that others who use it count less.
    """
    n_threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)  # as folds are trained
    try:
        model = build_model(network.model, shape, n_outputs).to(device, memory_format=torch.channels_last).train()
        x = torch.rand(network.training.batch_size, 1, *shape, device=device)
        x = x.to(memory_format=torch.channels_last)
        times: dict[str, list[float]] = {"fp32": [], "bf16": []}
        start = time.perf_counter()
        while len(times["fp32"]) <= N_STEPS and (len(times["fp32"]) < 2 or time.perf_counter() - start < MAX_S):
            for precision, taken in times.items():
                taken.append(_step_s(model, x, precision == "bf16"))
        return {precision: min(taken[1:]) for precision, taken in times.items()}  # the first one builds its kernels
    finally:
        torch.set_num_threads(n_threads)
        torch.set_rng_state(state)


def _step_s(model: torch.nn.Module, x: torch.Tensor, bfloat16: bool) -> float:
    clock = time.perf_counter if x.device.type == "cuda" else time.process_time
    start = clock()
    model.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        loss = model(x).float().square().mean()
    loss.backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start
