"""Who may ask the service: pages of its own address only, and where others can reach it those who know a token.

A page from elsewhere, open in the same browser, could send requests to this machine too, or have its own name point
here; the Host and Origin headers tell them.
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
STREAM_PROTOCOL = "fakevoice"  # of a WebSocket; the token is offered beside it, where a browser sends no header
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
    """Where the service listens, and what it takes to ask there.

    Attributes:
        token: empty where none is asked for.
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
        """Refuse to be open to all.

        Raises:
            ConfigError: another host without a token, or a token that is short or holds other characters.
        """
        if not self.is_loopback and not self.token:
            raise ConfigError(f"--host {self.host}: others could ask too; add --token WORD, or set FAKEVOICE_TOKEN")
        if self.token and not TOKEN.fullmatch(self.token):
            raise ConfigError("the token: 8 to 128 letters, digits and . _ ~ -")

    def is_named_by(self, host: str) -> bool:
        """Whether a Host header means this service; elsewhere than on loopback any name may, and the token decides."""
        return not self.is_loopback or host.lower() in {f"{name}:{self.port}" for name in LOOPBACK}


class Guarded:
    """Lets through what may pass, and adds the headers that keep the page to itself."""

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
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.address.is_named_by(host):
            return 421, f"this is {self.address.url}: open that address"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "pages from elsewhere may not ask here"
        if self.address.token and scope["path"].startswith(GUARDED) and not self._knows_token(headers):
            return 401, "a token is needed: send it as `Authorization: Bearer TOKEN`"
        return None

    def _knows_token(self, headers: Headers) -> bool:
        offered = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
        scheme, _, given = headers.get("authorization", "").partition(" ")
        offered += [given.strip()] if scheme.lower() == "bearer" else []
        return any(secrets.compare_digest(word.encode(), self.address.token.encode()) for word in offered)
