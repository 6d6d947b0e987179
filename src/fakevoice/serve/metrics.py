"""What the service counts, for Prometheus: a registry of its own, so that several apps may live in one process."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSALS = (400, 401, 403, 408, 413, 414, 415, 421, 422, 431, 503)


class ServiceMetrics:
    """Counters, and gauges of what was answered since the start."""

    def __init__(self):
        self.registry = CollectorRegistry()
        in_registry = {"namespace": "fakevoice", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered", ["route", "status"], **in_registry)
        self.seconds = Histogram("request_seconds", "From request to answer", ["route"], **in_registry)
        self.rejected = Counter("rejected", "Requests refused, by the status they got", ["status"], **in_registry)
        self.in_flight = Gauge("in_flight", "Requests and streams now", **in_registry)
        self.clips = Counter("clips_scored", "Windows scored", **in_registry)
        self.audio_s = Counter("audio_seconds_scored", "Seconds of recordings and streams heard", **in_registry)
        self.mean = Gauge("mean_probability", "Mean predicted probability of all windows", ["output"], **in_registry)
        self.outside = Gauge("out_of_range_share", "Share of windows beyond what training covered", **in_registry)
        self._n_clips, self._n_outside, self._sums = 0, 0, {}

    def heard(self, probability: dict[str, list[float]], distance: list[float], seconds: float) -> None:
        """Count windows that were scored.

        Args:
            probability: output → (n_windows,) of its probability.
            distance: (n_windows,) of `Scores`.
            seconds: of sound that was not heard before.
        """
        self.clips.inc(len(distance))
        self.audio_s.inc(max(seconds, 0.0))
        self._n_clips += len(distance)
        self._n_outside += sum(value > 1 for value in distance)
        for output, values in probability.items():
            self._sums[output] = self._sums.get(output, 0.0) + sum(values)
            self.mean.labels(output).set(self._sums[output] / max(self._n_clips, 1))
        self.outside.set(self._n_outside / max(self._n_clips, 1))

    def text(self) -> bytes:
        """All values in Prometheus' text format."""
        return generate_latest(self.registry)


class Metered:
    """Counts every request that passes, by the pattern of its route, of which there are few."""

    def __init__(self, app: ASGIApp, meters: ServiceMetrics):
        self.app, self.meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        status, start = ["101" if scope["type"] == "websocket" else "500"], time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"].endswith("response.start"):
                status[0] = str(message["status"])
            await send(message)

        with self.meters.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", "other")
                self.meters.requests.labels(route, status[0]).inc()
                self.meters.seconds.labels(route).observe(time.perf_counter() - start)
                if int(status[0]) in REFUSALS:
                    self.meters.rejected.labels(status[0]).inc()
