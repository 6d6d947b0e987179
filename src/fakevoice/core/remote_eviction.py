"""The bound of a cache folder of many processes: what was used least recently goes before something new comes."""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

FULL = 0.95  # of the bound is kept, so that processes which measure at different times stay within it
STEP = 0.01  # of the bound may be fetched before a process measures again

_measuring = threading.Lock()
_left: dict[Path, float] = {}  # bytes that this process may fetch into a cache before it measures again
_coming: Counter[Path] = Counter()  # bytes that its threads are fetching


@contextlib.contextmanager
def room(cache: Path, size: int, max_bytes: int, stays: Callable[[str], bool]) -> Iterator[None]:
    """While a file of `size` bytes comes: others are evicted, so that all of them stay within `max_bytes`.

    Args:
        stays: whether a file of this name is never evicted.
    """
    with _measuring:
        if _left.get(cache, -1) < size:
            _evict(cache, FULL * max_bytes - size - _coming[cache], stays)
            _left[cache] = max(size, STEP * max_bytes)
        _left[cache] -= size
        _coming[cache] += size
    try:
        yield
    finally:
        with _measuring:
            _coming[cache] -= size


def _evict(cache: Path, max_bytes: float, stays: Callable[[str], bool]) -> None:
    found = []
    for place, _, names in os.walk(cache):
        for path in (os.path.join(place, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                stat = os.stat(path)
                found.append((stat.st_mtime_ns, stat.st_size, path))
    n_bytes = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if n_bytes <= max_bytes:
            return
        if not stays(os.path.basename(path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            n_bytes -= size
