"""Connections of the service: a bounded number, and none of them waits for ever for its client.

The server itself bounds what a request's head may hold, and closes what is idle after an answer. It would wait without
an end for a head that never comes whole, for a body that nobody wants any more, and for a client that never reads.
"""

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fakevoice.serve.limits import Limits

BUSY = "busy: too many connections; try again in 5 s"


class _Patience(asyncio.Protocol):
    """Ends a connection whose client does not take its answers."""

    def __init__(self, limits: Limits, **of_server: Any):
        super().__init__(**of_server)
        self.limits = limits
        self.patience: asyncio.TimerHandle | None = None

    def lose_patience_soon(self) -> None:
        self.be_patient()
        self.patience = self.loop.call_later(self.limits.idle_s, self.transport.abort)

    def be_patient(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.lose_patience_soon()

    def connection_lost(self, error: Exception | None) -> None:
        self.be_patient()
        super().connection_lost(error)


class Requests(_Patience, H11Protocol):
    """One connection for requests: `idle_s` for the head of each, and after an answer for what is still sent."""

    @property
    def is_working(self) -> bool:
        """Whether a request is being received or answered, which has limits of its own."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > 2 * self.limits.n_connections:
            transport.abort()
        elif len(self.connections) > self.limits.n_connections:
            self.app = _sent_away
        self.lose_patience_soon()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_working and not self.flow.write_paused:
            self.be_patient()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.is_working and self in self.connections:
            self.lose_patience_soon()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_working:
            self.be_patient()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self.be_patient()
        super().handle_websocket_upgrade(event)


class Messages(_Patience, WebSocketsSansIOProtocol):
    """One WebSocket: while its client does not read, nothing more is read of it, not even pings to be answered."""

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.read_paused:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.be_patient()
        if not self.read_paused:
            self.transport.resume_reading()


async def _sent_away(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "5", "Connection": "close"}
    await JSONResponse({"error": BUSY}, 503, headers)(scope, receive, send)
