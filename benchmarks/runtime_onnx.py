"""ONNX: the trained networks in ONNX Runtime beside the same ones in torch, on one thread each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from made import Run, finished_run
from rows import Row, run_theme, say
from timing import median_ratio, milliseconds, take_turns

from fakevoice.core.errors import FakevoiceError, install_extra
from fakevoice.export.formats import as_onnx, trace
from fakevoice.features.store import CachedFeature
from fakevoice.training.networks import load_network, to_device

BATCHES = (1, 32)
TOLERANCE = 1e-4  # of logits
N_CALLS = {1: 30, 32: 3}  # in a round
CPU = torch.device("cpu")


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 11, the network and batch for which it is least."""
    try:
        import onnx  # noqa: F401 - the exporter's
        import onnxruntime
        import onnxscript  # noqa: F401 - the exporter's
    except ImportError as error:
        raise FakevoiceError(f"{error.name} is missing: {install_extra('export')}") from error
    torch.set_num_threads(1)
    run, n_rounds = finished_run(work, tiny), 2 if tiny else 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    rows = []
    for name in run.config.networks:
        say(f"exporting {name}")
        model, x = _model(run, name)
        exported = as_onnx(trace(model, *x.shape[1:]))
        session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        rows += [_row(name, model, session, x[:batch], n_rounds) for batch in BATCHES]
    least = min(rows, key=lambda row: row.value)
    details = {name: value for row in rows for name, value in row.details.items()}
    return [replace(least, details=details)]


def _model(run: Run, name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A trained network, ready to score, and a batch of what it scores."""
    network, _ = load_network(run.weights(name), CPU)
    feature = CachedFeature(run.features[run.config.networks[name].feature], "scenes")
    x = network.standardizer(feature.take(np.arange(max(BATCHES))))[:, None]
    return network.model.eval(), to_device(x, CPU)


@torch.inference_mode()
def _row(name: str, model: torch.nn.Module, session, x: torch.Tensor, n_rounds: int) -> Row:
    batch, feed = len(x), {session.get_inputs()[0].name: x.contiguous().numpy()}
    deviation = float(np.abs(model(x).numpy() - session.run(None, feed)[0]).max())
    if not deviation <= TOLERANCE:
        raise FakevoiceError(f"{name}: ONNX Runtime's logits are off by {deviation:.3g}, allowed are {TOLERANCE}")
    calls = {
        "torch": lambda: [model(x) for _ in range(N_CALLS[batch])],
        "ONNX Runtime": lambda: [session.run(None, feed) for _ in range(N_CALLS[batch])],
    }
    seconds = take_turns(calls, n_rounds)
    each = {f"{name}, batch {batch}: {key}, ms": milliseconds(s, N_CALLS[batch]) for key, s in seconds.items()}
    ratio = median_ratio(seconds["torch"], seconds["ONNX Runtime"])
    each |= {f"{name}, batch {batch}: times faster": ratio["value"]}
    each |= {f"{name}, batch {batch}: largest deviation of a logit (at most {TOLERANCE})": deviation}
    about = f"{name}, batch of {batch}, in ONNX Runtime, times faster"
    return Row(11, about, "eager torch", **ratio, reach=1.3, moonshot=2.0, larger_is_better=True, details=each)


if __name__ == "__main__":
    run_theme(measure, __file__)
