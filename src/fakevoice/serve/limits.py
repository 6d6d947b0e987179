"""What the service takes at once, so that its memory and disk stay bounded whatever is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
from starlette.exceptions import HTTPException

MB = 10**6


@dataclass(frozen=True)
class Limits:
    """Bounds of the service; a request that exceeds one is refused with a message."""

    max_upload_mb: float = 50.0  # of one file
    max_request_mb: float = 200.0  # of all files of a request
    max_files: int = 20  # of a request
    max_recording_s: float = 1800.0
    max_windows: int = 2000  # of a request: what a small hop asks for
    n_at_once: int = 2  # requests that are worked on
    n_waiting: int = 8  # requests that wait for their turn, or still send
    n_streams: int = 4
    max_message_bytes: int = 2**18  # of a stream
    n_connections: int = 256  # more get 503; beyond twice as many, connections are closed
    max_unread_bytes: int = 2**18  # of answers that a client has not read while it goes on sending
    idle_s: float = 30.0  # for a request's head, between bytes of an upload, for an answer to be read, and for a hop
    min_bytes_per_s: float = 10_000.0  # of an upload, once idle_s are over
    max_sending_s: float = 600.0  # for one request's files


class Gate:
    """Lets a few requests work at once and a bounded number wait; sends others away."""

    def __init__(self, limits: Limits):
        self._n_places = limits.n_at_once + limits.n_waiting
        self._n_inside = 0
        self.turn = anyio.Semaphore(limits.n_at_once)  # held while computing

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place from the first byte on, so that no more uploads lie on the disk than there are places.

        Raises:
            HTTPException: 503 with Retry-After, where there is none.
        """
        if self._n_inside >= self._n_places:
            raise HTTPException(503, "busy: too many requests wait already; try again in 5 s", {"Retry-After": "5"})
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1
