"""Deadlines for connections: request heads that never end, answers that are never read, unread WebSocket pongs.

uvicorn has no timeout for these. The number of connections and the size of heads and messages are bounded by its own
settings.
"""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fakevoice.serve.limits import Limits

MAX_HANDSHAKE_BYTES, MAX_HANDSHAKE_LINES = 8192, 128  # longer ones the library websockets would not answer at all
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Passes one connection on to uvicorn, and aborts it after `idle_s` of waiting for its client.

    The connection waits for its client while no request is being answered, and while the client does not read.
    A request that is being received or answered has its own limits. `Deadlines` reports when requests start and end;
    it finds this object in the `state` of their scope.
    """

    def __init__(self, limits: Limits, **of_server: Any):
        self.limits = limits
        self.connections = of_server["server_state"].connections
        of_server["app_state"] = of_server["app_state"] | {"connection": self}
        self.protocol: asyncio.Protocol = H11Protocol(**of_server)
        self.timer: asyncio.TimerHandle | None = None
        self.n_requests = 0
        self.is_handshake = False  # the head of the request is about to be parsed again, as a WebSocket handshake
        self.is_reading = True

    @classmethod
    def upgraded(cls, **of_server: Any) -> "Connection":
        """The connection of a request that asks for a WebSocket, with the protocol of WebSockets."""
        connection = of_server["app_state"]["connection"]
        connection.is_handshake = True
        connection.protocol = WebSocketsSansIOProtocol(**of_server)
        return connection

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.protocol.connection_made(transport)
        if len(self.connections) > 2 * self.limits.n_connections:  # uvicorn counts only those that sent a head
            transport.abort()
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        if self.is_handshake and (len(data) > MAX_HANDSHAKE_BYTES or data.count(b"\n") > MAX_HANDSHAKE_LINES):
            self.transport.write(TOO_LONG)
            self.transport.close()
            return
        self.is_handshake = False
        self.protocol.data_received(data)
        if self.transport.get_write_buffer_size() > self.limits.max_unread_bytes:
            self.transport.abort()

    def eof_received(self) -> bool | None:
        return self.protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)
        self._stop_timer()

    def pause_writing(self) -> None:
        self.protocol.pause_writing()
        self.is_reading = False
        self._set_timer()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()
        self.is_reading = True
        self._set_timer()

    def request_started(self) -> None:
        self.n_requests += 1
        self._set_timer()

    def request_ended(self) -> None:
        self.n_requests -= 1
        self._set_timer()

    def _set_timer(self) -> None:
        if self.n_requests and self.is_reading:
            self._stop_timer()
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.limits.idle_s, self.transport.abort)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Deadlines:
    """ASGI middleware that tells a connection when its requests start and end."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope.get("state", {}).get("connection")
        if connection is None:  # the lifespan, or a test without a server
            await self.app(scope, receive, send)
            return
        connection.request_started()
        try:
            await self.app(scope, receive, send)
        finally:
            connection.request_ended()
