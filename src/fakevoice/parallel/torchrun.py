"""Train each fold by several processes (ranks), started by torchrun, with DistributedDataParallel.

    .venv/bin/torchrun --nproc_per_node=2 -m fakevoice train --config NAME

Rank 0 runs the command as it would alone. The other ranks wait for the folds that it trains, and write nothing. A rank
that fails prints its error and exits at once, and torchrun then stops the others. Without torchrun, the functions here
do nothing and torch is not imported.
"""

import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fakevoice.core.errors import FakevoiceError

if TYPE_CHECKING:
    import torch
    from torch import nn

TIMEOUT = timedelta(days=30)  # ranks wait while rank 0 makes features or scores a fold; torchrun ends them if it fails


@dataclass(frozen=True)
class _Team:
    """Which of how many processes this one is; `local_rank` counts those of this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0


_team = _Team()  # alone, also in worker processes, which inherit the environment of a rank


def rank() -> int:
    """Number of this process; rank 0 alone writes files."""
    return _team.rank


def is_first_rank() -> bool:
    """Whether this is rank 0; always true without torchrun."""
    return _team.rank == 0


def count() -> int:
    """Number of ranks; 1 without torchrun."""
    return _team.count


def local_rank() -> int:
    """Number of this process on its machine, and so of its GPU."""
    return _team.local_rank


def run(command: Callable[[], int], clean_up: Callable[[], None]) -> int:
    """Run a command on rank 0, while the other ranks call what it hands to `run_on_all_ranks`.

    A failed rank exits without waiting for the other ranks, which may be waiting for it.

    Args:
        clean_up: ends worker processes of the command before such an exit.

    Returns:
        The command's exit code.
    """
    global _team
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return command()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns if find_unused_parameters finds none
    import torch
    from torch import distributed

    _team = _Team(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    with_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if with_gpu else "gloo", timeout=TIMEOUT)
    try:
        code = command() if is_first_rank() else _follow()
    except SystemExit as stop:  # --help, or an unknown flag
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if code:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it as soon as another rank has ended
        clean_up()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if is_first_rank():
        from_first_rank(None)  # the others end
    distributed.destroy_process_group()
    _team = _Team()
    return code


def _follow() -> int:
    """Call what rank 0 hands over, until it ends."""
    warnings.simplefilter("ignore")  # rank 0 gives the same ones
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        while task := from_first_rank():
            function, argument = task
            function(argument)
    except FakevoiceError as error:
        print(f"fakevoice: rank {rank()} on {socket.gethostname()}: {error}", file=sys.stderr)
        return error.exit_code
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        return 1  # rank 0 or torchrun says why
    return 0


def _is_lost(error: RuntimeError) -> bool:
    """Whether the connection to another rank broke."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def run_on_all_ranks(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function on all ranks at once; called by rank 0.

    Args:
        function: importable from a module, since it is pickled, as is its argument.

    Returns:
        What it returns on rank 0.

    Raises:
        FakevoiceError: another rank has ended.
    """
    if count() == 1:
        return function(argument)
    try:
        from_first_rank((function, argument))
        return function(argument)
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise FakevoiceError("another rank has ended; run the same command again to continue") from error


def from_first_rank(value: Any = None) -> Any:
    """The value that rank 0 passes, on all ranks."""
    if count() == 1:
        return value
    import torch
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def mean(value: "torch.Tensor") -> "torch.Tensor":
    """Mean over ranks of a tensor of any shape, without its gradient; the same bits on all of them."""
    if count() == 1:
        return value.detach()
    from torch import distributed

    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / count()


def batch_part() -> tuple[int, int]:
    """Rank and count: rows rank, rank + count, ... of every batch belong to this rank."""
    return rank(), count()


def data_parallel(module: "nn.Module") -> "nn.Module":
    """The module with gradients that are the mean over ranks; all ranks start from the parameters of rank 0."""
    if count() == 1:
        return module
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(module, find_unused_parameters=True)  # stochastic depth skips layers on some ranks
