"""Access checks: Host and Origin headers, the token, and the size of the request head.

Another website, open in the same browser, can send requests to this machine, or let its own name resolve to it (DNS
rebinding). The Origin and Host headers reveal both. A token makes the Host check unnecessary, since such a page does
not know it; behind a reverse proxy the service has another name.
"""

import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fakevoice.core.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
GUARDED = ("/api/", "/metrics", "/openapi.json")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}  # browsers leave these out of Host and Origin
STREAM_PROTOCOL = "fakevoice"  # of a WebSocket; browsers send the token as a second protocol, for want of a header
MAX_HEADERS_BYTES, MAX_TARGET_BYTES = 16_384, 8_192
TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,128}")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """Where the service listens, and the token that it requires.

    Attributes:
        token: empty if none is required.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "127.0.0.1", "::1")

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def check(self) -> None:
        """Refuse to be reachable by others without a token.

        Raises:
            ConfigError: a host other than loopback without a token, or a token that is short or holds other characters.
        """
        if not self.is_loopback and not self.token:
            raise ConfigError(f"--host {self.host}: others could ask too; add --token WORD, or set FAKEVOICE_TOKEN")
        if self.token and not TOKEN.fullmatch(self.token):
            raise ConfigError("the token: 8 to 128 letters, digits and . _ ~ -")

    def is_named_by(self, host: str) -> bool:
        """Whether a Host header names this service; with a token any name is accepted."""
        names = {f"{name}:{self.port}" for name in LOOPBACK}
        if self.port == 80:
            names |= set(LOOPBACK)
        return bool(self.token) or host.lower() in names


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the same server as a Host header; not if it is no URL, as the origin ``null``."""
    try:
        url = urlsplit(origin)
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(url.scheme)
    return port is not None and url.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)


class Guarded:
    """ASGI middleware: refuses requests that fail a check, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, address: Address):
        self.app, self.address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, with_headers)
        elif scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
            status, error = refusal
            asks = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            await JSONResponse({"error": error}, status, asks)(scope, receive, with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1][:100]})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADERS_BYTES:
            return 431, f"the headers are too long: at most {MAX_HEADERS_BYTES} bytes"
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
            return 414, f"the address is too long: at most {MAX_TARGET_BYTES} bytes"
        if not self.address.is_named_by(host):
            return 421, f"this is {self.address.url}: open that address"
        if not all(is_same_origin(origin, host) for origin in headers.getlist("origin")):
            return 403, "pages from elsewhere may not ask here"
        if self.address.token and scope["path"].startswith(GUARDED) and not self._knows_token(headers):
            return 401, "a token is needed: send it as `Authorization: Bearer TOKEN`"
        return None

    def _knows_token(self, headers: Headers) -> bool:
        offered = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
        scheme, _, given = headers.get("authorization", "").partition(" ")
        offered += [given.strip()] if scheme.lower() == "bearer" else []
        return any(secrets.compare_digest(word.encode(), self.address.token.encode()) for word in offered)
