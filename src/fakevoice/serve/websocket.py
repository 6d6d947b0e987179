"""A microphone or any other source of samples at the service: one answer at the end of each hop, over a WebSocket."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from fakevoice.audio.decode import MIN_RATE_HZ
from fakevoice.core.errors import ConfigError, DataError, FakevoiceError
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.stream import Listener, Reply, as_dict
from fakevoice.serve.access import STREAM_PROTOCOL
from fakevoice.serve.limits import Limits
from fakevoice.serve.metrics import ServiceMetrics
from fakevoice.serve.schema import parse_number
from fakevoice.serve.scoring import in_thread

MAX_RATE_HZ = 192_000  # memory follows from it: two bytes for each sample of a clip
REFUSED, DONE = 1008, 1000  # RFC 6455, section 7.4.1


class Streams:
    """All streams of a service."""

    def __init__(self, predictor: Predictor, limits: Limits, meters: ServiceMetrics):
        self.predictor, self.limits, self.meters = predictor, limits, meters
        self.turn = anyio.Semaphore(1)  # beside uploads, which may take minutes
        self.n_open = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Answer one stream until it ends, goes wrong or falls silent."""
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(STREAM_PROTOCOL if STREAM_PROTOCOL in offered else None)
        try:
            try:
                with self._place():
                    await self._answer(websocket, self._listener(websocket))
                await websocket.close(DONE)
            except FakevoiceError as error:
                await websocket.send_json({"error": str(error)})
                await websocket.close(REFUSED)
        except WebSocketDisconnect:
            pass

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self.n_open >= self.limits.n_streams:
            raise DataError(f"busy: {self.n_open} streams already; try again when one has ended")
        self.n_open += 1
        try:
            yield
        finally:
            self.n_open -= 1

    def _listener(self, websocket: WebSocket) -> Listener:
        asked = websocket.query_params
        try:
            rate_hz, hop_s = parse_number(asked.get("rate", "16000")), parse_number(asked.get("hop_s", "1"))
        except ValueError:
            raise ConfigError("rate is a number of Hz, hop_s of seconds, as in ?rate=16000&hop_s=1") from None
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or not rate_hz.is_integer():
            raise ConfigError(f"a rate of {rate_hz:.15g} Hz: a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ}")
        return Listener(self.predictor, int(rate_hz), 1, hop_s)

    async def _answer(self, websocket: WebSocket, listener: Listener) -> None:
        heard_s, answered_s = 0.0, anyio.current_time()
        is_last = False
        while not is_last:
            samples = await self._received(websocket, answered_s + self.limits.idle_s)
            is_last = samples is None
            if not is_last and len(samples) < listener.n_wanted:  # no answer is due: kept without a thread
                list(listener.push(samples))
                continue
            replies = listener.end() if is_last else listener.push(samples)
            while (reply := await self._next(replies)) is not None:
                self._count(reply, reply.end_s - heard_s)
                heard_s = reply.end_s
                await websocket.send_json(as_dict(reply, self.predictor.config))
                answered_s = anyio.current_time()

    async def _received(self, websocket: WebSocket, until_s: float) -> bytes | None:
        """Samples, or None where the client wants the last answer."""
        try:
            with anyio.fail_after(until_s - anyio.current_time()):
                message = await websocket.receive()
        except TimeoutError:
            said = f"no hop of sound came for {self.limits.idle_s:g} s: start again, or say `end` when done"
            raise DataError(said) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", DONE))
        if message.get("text") == "end":
            return None
        samples = message.get("bytes")
        if samples is None:
            raise DataError("samples come as binary messages; the only text is `end`")
        if len(samples) > self.limits.max_message_bytes:
            raise DataError(f"a message of {len(samples)} bytes: at most {self.limits.max_message_bytes}")
        return samples

    async def _next(self, replies: Iterator[Reply]) -> Reply | None:
        async with self.turn:
            return await in_thread(next, replies, None)

    def _count(self, reply: Reply, seconds: float) -> None:
        if reply.scores.reasons[0]:
            return
        outputs = self.predictor.config.outputs
        probability = {output: [float(reply.scores.probability[0, i])] for i, output in enumerate(outputs)}
        self.meters.heard(probability, reply.scores.distance.tolist(), seconds)
