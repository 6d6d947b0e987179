"""A module as ONNX and as TorchScript, in eight bits as well, and what such files answer.

The module is traced once, and both formats are made from that one program.
"""

import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fakevoice.core.errors import ConfigError, install_extra

INPUT, OUTPUT = "waveform", "probability"
BATCH = 16  # clips that a file is asked about at once
N_TIMED = 15
EXTRAS = ("onnx", "onnxruntime", "onnxscript")
WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
SIZED = {  # tracing takes the sizes that these operators are given for constants, but not those of tensor methods
    torch.ops.aten.sym_size.int: "size",
    torch.ops.aten.view.default: "view",
    torch.ops.aten.reshape.default: "reshape",
    torch.ops.aten.expand.default: "expand",
}
Answer = Callable[[np.ndarray], np.ndarray]


def check_installed() -> None:
    """Say so before any work where a library is missing.

    Raises:
        ConfigError: one is.
    """
    missing = [name for name in EXTRAS if find_spec(name) is None]
    if missing:
        raise ConfigError(f"export needs {', '.join(missing)}: {install_extra('export')}")


@contextmanager
def _of_the_exporters() -> Iterator[None]:
    """What PyTorch says of itself while it exports: that TorchScript is old, and how its own classes are called."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        yield


def trace(module: nn.Module, *shape: int) -> torch.export.ExportedProgram:
    """The program of a module that takes (batch, *shape) float32, such as waveforms, for batches of any size."""
    example, batch = torch.zeros(2, *shape), torch.export.Dim("batch", min=1)  # of one clip would stay of one
    with torch.no_grad(), _of_the_exporters():
        return torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},), strict=False)


def as_onnx(program: torch.export.ExportedProgram) -> bytes:
    """One ONNX file; the same program gives the same bytes."""
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    with _of_the_exporters():
        model = torch.onnx.export(program, (), dynamo=True, external_data=False, verbose=False, **names).model_proto
    graph = model.graph
    _pad_pools(graph)
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]  # where each line of code lies on this machine
    return model.SerializeToString(deterministic=True)


def _pad_pools(graph) -> None:
    """Make pools whose last window reaches over the edge pad it in so many words: the same values.

    ONNX Runtime has no fast kernel for those that round their size up, and changes the layout before and after them.
    """
    known = (*graph.input, *graph.value_info)
    sizes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in known}
    for node in (node for node in graph.node if node.op_type == "AveragePool"):
        given = {attribute.name: attribute for attribute in node.attribute}
        steps = list(given["strides"].ints)
        side_by_side = list(given["kernel_shape"].ints) == steps and not any(given["pads"].ints)
        if given["ceil_mode"].i and side_by_side:
            over = [-size % step for size, step in zip(sizes[node.input[0]][2:], steps, strict=True)]
            given["pads"].ints[:] = [*[0] * len(over), *over]
            given["ceil_mode"].i = given["count_include_pad"].i = 0


class _Plain(nn.Module):
    """A program without the checks of its input, which TorchScript cannot hold."""

    def __init__(self, program: torch.export.ExportedProgram):
        super().__init__()
        self.graph = program.module(check_guards=False)
        for node in self.graph.graph.nodes:
            if node.target in SIZED:
                node.op, node.target = "call_method", SIZED[node.target]
        self.graph.recompile()

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.graph.forward(waveform)


def as_torchscript(program: torch.export.ExportedProgram) -> bytes:
    """One TorchScript file."""
    example, file = torch.zeros(2, program.example_inputs[0][0].shape[1]), io.BytesIO()
    with torch.no_grad(), _of_the_exporters():
        traced = torch.jit.trace(_Plain(program), example, check_trace=False)  # held against the pipeline instead
        torch.jit.save(torch.jit.freeze(traced.eval(), optimize_numerics=False), file)
    return file.getvalue()


def as_int8(content: bytes, clips: np.ndarray) -> bytes:
    """The ONNX file with the networks' products in eight bits; features and blend stay as they are.

    Args:
        content: of `as_onnx`.
        clips: (n_clips, n_samples) float32, whose values say how far the eight bits must reach.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(clips)

        def get_next(self) -> dict[str, np.ndarray] | None:
            clip = next(self.rest, None)
            return None if clip is None else {INPUT: clip[None]}

    with tempfile.TemporaryDirectory(prefix="fakevoice-") as folder:
        given, prepared, small = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "small"))
        given.write_bytes(content)
        quant_pre_process(given, prepared, skip_optimization=True, skip_symbolic_shape=True)
        nodes = _networks_own(prepared)
        only = {"op_types_to_quantize": list(WITH_WEIGHTS), "nodes_to_quantize": nodes}
        quantize_static(prepared, small, Reader(), per_channel=True, **only)
        return small.read_bytes()


def _networks_own(path: Path) -> list[str]:
    """Names of the nodes that hold weights of a network."""
    import onnx

    nodes = onnx.load(path).graph.node
    weighing = [node for node in nodes if node.op_type in WITH_WEIGHTS]
    return [node.name for node in weighing if any(".model." in name for name in node.input)]


def run_onnx(content: bytes, n_threads: int = 0) -> Answer:
    """What an ONNX file says of clips (n_clips, n_samples) float32, in ONNX Runtime.

    Args:
        n_threads: as many as it likes if 0.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda clips: _in_batches(lambda batch: session.run(None, {INPUT: batch})[0], clips)


def run_torchscript(content: bytes) -> Answer:
    """What a TorchScript file says of clips (n_clips, n_samples) float32."""
    with _of_the_exporters():
        model = torch.jit.load(io.BytesIO(content))

    def answer(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(batch)).numpy()

    return lambda clips: _in_batches(answer, clips)


def _in_batches(answer: Answer, clips: np.ndarray) -> np.ndarray:
    return np.concatenate([answer(clips[start : start + BATCH]) for start in range(0, len(clips), BATCH)])


def speed(content: bytes, clip: np.ndarray, clip_duration_s: float) -> float:
    """Seconds of audio that one core scores in a second, clip by clip, in ONNX Runtime.

    Args:
        clip: (n_samples,) float32.
    """
    answer, taken_s = run_onnx(content, n_threads=1), []
    for _ in range(N_TIMED):
        start = time.perf_counter()
        answer(clip[None])
        taken_s.append(time.perf_counter() - start)
    return clip_duration_s / float(np.median(taken_s))
