"""Raw samples from a pipe, scored as they come: `./run.sh stream`. The finished file gets the same answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from fakevoice.audio.preprocess import fitted
from fakevoice.audio.read import read_pcm
from fakevoice.audio.windows import Window, all_windows
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError, DataError
from fakevoice.data.synthetic import synthetic_note
from fakevoice.inference.predictor import Predictor, Scores, features_of
from fakevoice.inference.recordings import checked_hop, joined_notes, range_note

BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, eq=False)
class Reply:
    """What is said of one window.

    Attributes:
        scores: of one clip; with a reason where the window is nothing that can be scored.
    """

    start_s: float
    end_s: float
    is_whole: bool
    scores: Scores


class Listener:
    """Keeps the last clip of a stream, and answers at the end of every hop.

    Args:
        source_rate_hz: samples of one channel in a second.
        n_channels: which take turns in the stream.
        hop_s: between two answers; half a clip if None.

    Raises:
        ConfigError: an impossible hop.
    """

    def __init__(self, predictor: Predictor, source_rate_hz: int, n_channels: int = 1, hop_s: float | None = None):
        config = predictor.config
        self.predictor, self.rate_hz, self.n_channels = predictor, source_rate_hz, n_channels
        hop_s = checked_hop(hop_s, config)
        self.clip_frames = max(1, round(config.clip_duration_s * source_rate_hz))
        self.hop_frames = max(1, round(hop_s * source_rate_hz))
        self.frame_bytes = BYTES_PER_SAMPLE * n_channels
        self.kept, self.n_heard = bytearray(), 0

    @property
    def n_wanted(self) -> int:
        """Bytes until the next answer is due."""
        return (self.hop_frames - self.n_heard % self.hop_frames) * self.frame_bytes - len(self.kept) % self.frame_bytes

    def push(self, samples: bytes) -> Iterator[Reply]:
        """Take samples, 16-bit little-endian, of any number, and answer for each hop that they complete."""
        while samples:
            part, samples = samples[: self.n_wanted], samples[self.n_wanted :]
            before = len(self.kept) // self.frame_bytes
            self.kept += part
            self.n_heard += len(self.kept) // self.frame_bytes - before
            if self.n_heard and self.n_heard % self.hop_frames == 0 and not len(self.kept) % self.frame_bytes:
                yield self._reply(Window(max(0, self.n_heard - self.clip_frames), self.n_heard, self._is_full()))
                del self.kept[: max(0, len(self.kept) - self.clip_frames * self.frame_bytes)]

    def end(self) -> Iterator[Reply]:
        """The last answer, where the stream ended between two hops, or before it was a clip's length.

        Raises:
            DataError: nothing was heard.
        """
        if not self.n_heard:
            raise DataError("the stream ended before its first sample")
        last = all_windows(self.n_heard, self.clip_frames, self.hop_frames)[-1]
        if self.n_heard % self.hop_frames or not self._is_full():
            yield self._reply(last)

    def _is_full(self) -> bool:
        return self.n_heard >= self.clip_frames

    def _reply(self, window: Window) -> Reply:
        whole_frames = len(self.kept) // self.frame_bytes * self.frame_bytes
        samples = bytes(self.kept[:whole_frames][-(window.end - window.start) * self.frame_bytes :])
        config, edges = self.predictor.config, (window.start / self.rate_hz, window.end / self.rate_hz)
        try:
            heard = read_pcm(samples, self.rate_hz, self.n_channels, config.sample_rate_hz).waveform
        except AudioError as error:
            return Reply(*edges, window.is_whole, self._unknown(error.reason))
        return Reply(*edges, window.is_whole, self.predictor.score(features_of([fitted(heard, config)], config)))

    def _unknown(self, reason: str) -> Scores:
        prior = np.array([self.predictor.blend.prior])
        return Scores(prior, np.zeros_like(prior), np.ones_like(prior), np.zeros(1), [reason])


def listen(listener: Listener, pipe: BinaryIO) -> Iterator[Reply]:
    """Answers until the pipe ends; each as soon as its samples are there."""
    while samples := pipe.read1(listener.n_wanted):
        yield from listener.push(samples)
    yield from listener.end()


def as_dict(reply: Reply, config: Config) -> dict[str, float | bool | str]:
    """Plain values for JSON, under the names that a timeline has."""
    scores = reply.scores
    kinds = (("", scores.probability), ("_low", scores.low), ("_high", scores.high))
    outputs = list(enumerate(config.outputs))
    named = {f"{output}{kind}": round(float(values[0, i]), 6) for kind, values in kinds for i, output in outputs}
    is_outside = bool(scores.reasons[0]) or bool(scores.distance[0] > 1)
    note = joined_notes(scores.reasons[0] or range_note(scores.distance), synthetic_note(config))
    edges = {"start_s": round(reply.start_s, 6), "end_s": round(reply.end_s, 6)}
    return edges | named | {"is_whole": reply.is_whole, "is_outside": is_outside, "note": note}
