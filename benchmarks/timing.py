"""Time and memory, side by side: those who are compared take turns, so that whoever else computes slows all alike."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fakevoice.core.errors import FakevoiceError
from fakevoice.parallel.pool import core_count

SAMPLE_EVERY_S = 0.05  # memory; walking all processes takes some milliseconds
MIB = 2**20


def take_turns(contestants: dict[str, Callable[[], Any]], n_rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each call; every contestant once per round, in an order that turns around every round.

    Args:
        contestants: name → call; each is called once more before, to warm up.

    Returns:
        Name → (n_rounds,) float64.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for call in contestants.values():
        call()
    for index in range(n_rounds):
        for name in list(contestants)[:: 1 if index % 2 else -1]:
            start = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def median_ratio(numerator: np.ndarray, denominator: np.ndarray) -> dict[str, Any]:
    """``value`` and ``spread`` of a `rows.Row`: median, smallest and largest of the rounds' ratios."""
    ratios = numerator / denominator
    return {"value": float(np.median(ratios)), "spread": (float(ratios.min()), float(ratios.max()))}


def milliseconds(seconds: np.ndarray, n_items: int = 1) -> float:
    """Median over the rounds, per item, in ms."""
    return float(np.median(seconds)) * 1000 / n_items


@dataclass(frozen=True)
class Watched:
    """What a command needed.

    Attributes:
        cpu_s: seconds of all processors, which others on a busy machine change less than `wall_s`.
        peak_mib: most resident memory of it and its children at one moment, pages of mapped files among it.
        peak_own_mib: the same without pages of files, which the system takes back when it needs them.
        output: of the command.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    peak_own_mib: float
    output: str


def watch(words: Sequence[str | Path], environment: dict[str, str]) -> Watched:
    """Run a command and look at the memory of its process tree all the while.

    Raises:
        FakevoiceError: it fails, with the end of what it said.
    """
    start, start_cpu_s, peaks, said = time.perf_counter(), _cpu_s_of_children(), np.zeros(2), b""
    child = subprocess.Popen(
        [str(word) for word in words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while True:
        try:
            said, _ = child.communicate(timeout=SAMPLE_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            peaks = np.maximum(peaks, _resident(child.pid))
    wall_s, cpu_s = time.perf_counter() - start, _cpu_s_of_children() - start_cpu_s
    if child.returncode:
        raise FakevoiceError(f"{' '.join(map(str, words))} failed:\n{said.decode(errors='replace')[-2000:]}")
    return Watched(wall_s, cpu_s, *(float(peak) / MIB for peak in peaks), said.decode(errors="replace"))


def _cpu_s_of_children() -> float:
    """Of all that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(process: int) -> np.ndarray:
    """Bytes of a process tree: all resident ones, and those that belong to no file."""
    total = np.zeros(2)
    try:
        root = psutil.Process(process)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return total
    for member in tree:
        try:
            memory = member.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += [memory.rss, memory.rss - getattr(memory, "shared", 0)]  # only Linux knows of shared pages
    return total


def machine() -> dict[str, Any]:
    """Where and beside what the numbers are made."""
    return {
        "cpu": _cpu_name(),
        "cores": core_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.is_file()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()
