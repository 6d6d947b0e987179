"""One command in several processes, as torchrun starts them: the first rank leads, the others follow it.

    .venv/bin/torchrun --nproc_per_node=2 -m fakevoice train --config NAME

The first rank runs the command as it would alone. `run_on_all_ranks` calls a function on all ranks at the same time;
otherwise the others wait, print nothing and write nothing. Without torchrun, every function here does nothing or its
work at once, and torch is not imported.
"""

import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fakevoice.core.errors import FakevoiceError

if TYPE_CHECKING:
    import torch
    from torch import nn

STEP_TIMEOUT = timedelta(hours=1)  # others wait for the first rank while it scores the held-out fold and writes
STAGE_TIMEOUT = timedelta(days=30)  # and while it makes features


@dataclass
class _Team:
    """Which of how many processes this one is.

    Attributes:
        local_rank: among those of this machine.
        control: the group through which the first rank tells the others what to do: gloo, whatever trains.
        waiting: the others are waiting to be told, and are not in the middle of something.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    control: Any = None
    waiting: bool = True


class _RefusedTogether(Exception):
    """Raised on the other ranks where the first one raises an error that all of them know of."""


_team = _Team()  # alone, also in the worker processes of a rank, which inherit its environment


def rank() -> int:
    """0 is the one that leads."""
    return _team.rank


def is_first_rank() -> bool:
    """Whether this process is the first one, which alone writes; it is where there is no other."""
    return _team.rank == 0


def count() -> int:
    """Processes that work together; 1 without torchrun."""
    return _team.count


def local_rank() -> int:
    """Which of this machine's processes, and so which of its GPUs."""
    return _team.local_rank


def run(command: Callable[[], int], clean_up: Callable[[], None]) -> int:
    """Run a command on the first rank, while the others do with it what it hands to `run_on_all_ranks`.

    A rank that fails ends its process at once: torch would first wait for the others, who may be waiting for this one.

    Args:
        clean_up: ends what else the command has started; called before such an end of the first rank.

    Returns:
        The command's exit code, on all ranks where they could hear of it.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return command()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns where no layer is without a gradient
    from torch import distributed

    with _joined():
        code = _lead(command, clean_up) if is_first_rank() else _follow()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    distributed.destroy_process_group()
    return code


@contextmanager
def _joined() -> Iterator[None]:
    global _team
    import torch
    from torch import distributed

    own, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if own:  # it may die at once: nothing of it is half written
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if with_gpu else "gloo", timeout=STEP_TIMEOUT)
    _team = _Team(own, size, local, distributed.new_group(backend="gloo", timeout=STAGE_TIMEOUT))
    try:
        yield
    finally:
        _team = _Team()


def _lead(command: Callable[[], int], clean_up: Callable[[], None]) -> int:
    try:
        code = command()
    except SystemExit as stop:  # --help, or a wrong call
        code = stop.code or 0
    except BaseException:
        code = _told_as_python_does()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it as soon as another rank has ended
    if code:
        clean_up()
    if _team.waiting:
        with suppress(RuntimeError):  # they may be gone already
            _from_first((None, code))
    return code


def _told_as_python_does() -> int:
    sys.excepthook(*sys.exc_info())
    return 1


def _follow() -> int:
    warnings.simplefilter("ignore")  # the first rank gives the same ones
    while True:
        try:
            function, argument = _from_first(None)
            if function is None:
                return argument
            with suppress(_RefusedTogether):
                function(argument)
        except FakevoiceError as error:
            print(f"fakevoice: {_who()}: {error}", file=sys.stderr)
            return error.exit_code
        except RuntimeError as error:
            return 1 if _is_lost(error) else _told_as_python_does()
        except Exception:
            return _told_as_python_does()


def _who() -> str:
    return f"rank {rank()} on {socket.gethostname()}"


def _is_lost(error: RuntimeError) -> bool:
    """Whether another rank was waited for in vain."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def run_on_all_ranks(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function on all ranks at once; for the first one to say.

    Args:
        function: importable from a module, since it travels to other processes, as does its argument.

    Returns:
        What it returns here.

    Raises:
        FakevoiceError: another rank has ended meanwhile.
    """
    if count() == 1:
        return function(argument)
    _team.waiting = False
    try:
        _from_first((function, argument))
        result = function(argument)
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise FakevoiceError("another rank ended in the middle; the same command goes on where it was") from error
    _team.waiting = True
    return result


def on_first_rank(function: Callable[[], Any]) -> Any:
    """What a function gives that the first rank alone calls, while the others wait for it."""
    if count() == 1:
        return function()
    return _from_first(function() if is_first_rank() else None)


def _from_first(value: Any) -> Any:
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, group=_team.control)
    return box[0]


@contextmanager
def raised_together() -> Iterator[None]:
    """What one rank refuses in this block is refused by all, and the first tells why; all ranks must come here."""
    if count() == 1:
        yield
        return
    from torch import distributed

    own, known = None, [""] * count()
    try:
        yield
    except FakevoiceError as error:
        own = error
    distributed.all_gather_object(known, f"{_who()}: {own}" if own else "", group=_team.control)
    if not any(known):
        return
    if not is_first_rank():
        raise _RefusedTogether
    _team.waiting = True
    raise own or FakevoiceError(next(filter(None, known)))


def mean(value: "torch.Tensor") -> "torch.Tensor":
    """Mean over ranks of a tensor of any shape, without its gradient; the same bits on all of them."""
    return total(value) / count() if count() > 1 else value.detach()


def total(value: "torch.Tensor") -> "torch.Tensor":
    """Sum over ranks, as `mean`."""
    from torch import distributed

    added = value.detach().clone()
    distributed.all_reduce(added)
    return added


def batch_part() -> tuple[int, int]:
    """Rank and count: rows rank, rank + count, ... of every batch are this rank's."""
    return rank(), count()


def data_parallel(module: "nn.Module") -> "nn.Module":
    """The module whose gradients are the mean over ranks; all of them start from the first one's parameters."""
    if count() == 1:
        return module
    from torch.nn.parallel import DistributedDataParallel

    # a layer that is dropped at random has no gradient on some ranks
    return DistributedDataParallel(module, forward_sync_buffers=False, find_unused_parameters=True)
