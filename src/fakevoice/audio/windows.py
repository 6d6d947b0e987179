"""Long recordings by windows of a clip's length: what is scored, and what the whole recording gets.

A row of a timeline ends a hop after the one before, and its window is the last `clip_duration_s` up to there. So the
first answer is there after one hop, and what is streamed gets the rows that the finished file gets. Windows that are
shorter than a clip, at the beginning, count only where there is no whole one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fakevoice.audio.read import Length

MIN_HOP_S = 0.1


@dataclass(frozen=True)
class Window:
    """A part of a recording in frames at its own rate, from `start` up to before `end`.

    Attributes:
        is_whole: as long as a clip, or the recording itself.
    """

    start: int
    end: int
    is_whole: bool


def windows_until(n_frames: int, clip_frames: int, hop_frames: int) -> Iterator[Window]:
    """The windows that end at each hop within the first `n_frames` of a recording that may go on."""
    for end in range(hop_frames, n_frames + 1, hop_frames):
        yield Window(max(0, end - clip_frames), end, end >= clip_frames)


def all_windows(n_frames: int, clip_frames: int, hop_frames: int) -> list[Window]:
    """The windows of a recording of `n_frames`; the last one ends where it ends, and there is always one."""
    last = Window(max(0, n_frames - clip_frames), n_frames, True)  # a recording of a clip's length is one, and whole
    before = [window for window in windows_until(n_frames, clip_frames, hop_frames) if window.end < n_frames]
    return [*before, last]


def recording_windows(length: Length, clip_duration_s: float, hop_s: float) -> list[Window]:
    """The windows of a recording."""
    clip_frames, hop_frames = (max(1, round(seconds * length.rate_hz)) for seconds in (clip_duration_s, hop_s))
    return all_windows(length.n_frames, clip_frames, hop_frames)


def window_paths(path: Path, rate_hz: int, windows: list[Window]) -> Iterator[Path]:
    """A path for each window, with a fragment unless it is the whole file."""
    for window in windows:
        is_file = window.start == 0 and window is windows[-1]
        start_s, end_s = window.start / rate_hz, window.end / rate_hz
        yield path if is_file else Path(f"{path}#t={start_s:.9f},{end_s:.9f}")


def aggregate(probability: np.ndarray, is_whole: np.ndarray, task: str) -> np.ndarray:
    """What the whole recording gets of its windows.

    Where labels are heard or not, a recording holds what its windows hold most clearly: the largest probability. It
    grows with their number, as chance does. Where a recording is of one class, all windows are evidence: the mean.

    Args:
        probability: (n_windows, n_outputs).
        is_whole: (n_windows,) bool; at least one.

    Returns:
        (n_outputs,) float64.
    """
    whole = probability[is_whole]
    return whole.max(axis=0) if task == "multilabel" else whole.mean(axis=0)
