"""Many clients of a service at once: each asks for something, holds the answer against the right one, asks again."""

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SHARES = {"short": 6, "long": 1, "unreadable": 2, "health": 3, "metrics": 2, "page": 2, "stream": 2}
FILES = ("short", "long", "unreadable")
PATIENCE_S = 30  # beyond the time asked for, where a kind was only ever sent away
AGAIN_S = 0.5  # sooner than Retry-After asks for, so that it stays crowded
RATE = 16_000


class Refused(Exception):
    """Sent away in the documented manner."""


@dataclass
class Load:
    """Requests to a service, and what came of them.

    Attributes:
        seconds: kind → how long each answer took.
        refused: kind → how many were sent away.
        wrong: whatever was not as it should be.
        right: what is answered to one client alone, by file.
        lasted_s: from the first request to the last answer.
    """

    url: str
    sounds: dict[str, list[Path]]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in SHARES})
    refused: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    right: dict[str, object] = field(default_factory=dict)
    lasted_s: float = 0

    async def learn(self) -> None:
        """The answers that each file and the stream get alone."""
        async with self._client() as client:
            for kind in FILES:
                for file in self.sounds[kind]:
                    self.right[file.name] = await self._predict(client, file)
        self.right["stream"] = await self._stream()

    async def run(self, n_clients: int, duration_s: float) -> None:
        """Ask, as many at once as there are clients, for so long and until each kind was answered once."""
        start = time.monotonic()
        await asyncio.gather(*(self._ask(random.Random(n), start + duration_s) for n in range(n_clients)))
        self.lasted_s = time.monotonic() - start

    def table(self) -> str:
        """How many answers in how many seconds, by kind of request."""
        rows = [f"{'kind':12}{'n':>7}{'per s':>8}{'p50 s':>8}{'p95 s':>8}{'p99 s':>8}{'refused':>9}"]
        for kind, seconds in self.seconds.items():
            middle, slow, slowest = np.percentile(seconds or [np.nan], [50, 95, 99])
            numbers = f"{len(seconds) / self.lasted_s:8.1f}{middle:8.3f}{slow:8.3f}{slowest:8.3f}"
            rows.append(f"{kind:12}{len(seconds):7}{numbers}{self.refused[kind]:9}")
        n_all = sum(map(len, self.seconds.values()))
        rows.append(f"{'all':12}{n_all:7}{n_all / self.lasted_s:8.1f}{'':24}{self.refused.total():9}")
        return "\n".join(rows)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=120, verify=False)

    async def _ask(self, choice: random.Random, end_s: float) -> None:
        async with self._client() as client:
            while time.monotonic() < end_s + (0 if all(self.seconds.values()) else PATIENCE_S):
                (kind,) = choice.choices([*SHARES], [*SHARES.values()])
                start = time.monotonic()
                try:
                    await self._one(kind, client, choice)
                    self.seconds[kind].append(time.monotonic() - start)
                except Refused:
                    self.refused[kind] += 1
                    await asyncio.sleep(AGAIN_S)
                except Exception as error:
                    self.wrong.append(f"{kind}: {error!r}")

    async def _one(self, kind: str, client: httpx.AsyncClient, choice: random.Random) -> None:
        if kind in FILES:
            file = choice.choice(self.sounds[kind])
            found, wanted = await self._predict(client, file), self.right[file.name]
        elif kind == "stream":
            found, wanted = await self._stream(), self.right["stream"]
        else:
            path, word = {"health": ("healthz", "ok"), "metrics": ("metrics", "fakevoice_"), "page": ("", "<html")}[
                kind
            ]
            told = await client.get(path)
            found, wanted = (told.status_code, word in told.text), (200, True)
        if found != wanted:
            self.wrong.append(f"{kind}: {str(found)[:300]} instead of {str(wanted)[:300]}")

    async def _predict(self, client: httpx.AsyncClient, file: Path) -> list[dict]:
        told = await client.post("api/predict", files=[("files", (file.name, file.read_bytes()))])
        if told.status_code == 503 and "Retry-After" in told.headers:
            raise Refused
        return told.raise_for_status().json()["recordings"]

    async def _stream(self) -> list[dict]:
        samples, n_hop = soundfile.read(self.sounds["short"][0], dtype="int16")[0].tobytes(), 2 * RATE
        url = f"{self.url.replace('http', 'ws')}api/stream?rate={RATE}&hop_s=1"
        async with connect(url, proxy=None, close_timeout=10) as stream:
            first = json.loads(await self._hop(stream, samples[:n_hop]))
            if first.get("error", "").startswith("busy"):
                raise Refused
            return [first, json.loads(await self._hop(stream, samples[n_hop : 2 * n_hop]))]

    async def _hop(self, stream: ClientConnection, samples: bytes) -> str:
        with suppress(ConnectionClosed):  # it says first why it closes
            await stream.send(samples)
        return await asyncio.wait_for(stream.recv(), 120)
