"""Any recordings: windows of each, what is said of every window, and of the whole: `./run.sh predict`.

What a table lists are clips, and get what the line gives them. Other recordings that are longer than a clip are scored
by windows.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio.files import split_part
from fakevoice.audio.video import VIDEOS, extract_audio
from fakevoice.audio.windows import MIN_HOP_S, Window, aggregate, recording_windows, window_paths
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError, ConfigError
from fakevoice.core.tasks import off_the_edges
from fakevoice.ensemble.pooling import pool
from fakevoice.inference.inputs import Source
from fakevoice.inference.predictor import Predictor, Scores


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said of some recordings.

    Attributes:
        table: id, then the probability of each output, then ``<output>_low`` and ``<output>_high`` (what single folds
            of the ensemble would say), n_windows, and note: why the numbers are worth less, or nothing.
        timeline: id, start_s, end_s, probability of each output, their low and high, is_whole (counts for the whole
            recording) and distance (above 1: outside of what training covered).
        unreadable: id, path, reason.
    """

    table: pd.DataFrame
    timeline: pd.DataFrame
    unreadable: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Cut:
    """A source as the predictor gets it: the file that holds its sound, its rate, and its windows."""

    source: Source
    path: Path
    rate_hz: int
    windows: list[Window]
    reason: str


def answer(predictor: Predictor, sources: list[Source], hop_s: float | None = None, early: bool = False) -> Answers:
    """Score recordings of any length.

    Args:
        hop_s: between the ends of two windows; half a clip if None.
        early: windows at a recording's start that are shorter than a clip get a row of the timeline too.

    Raises:
        ConfigError: an impossible hop.
    """
    hop_s = checked_hop(hop_s, predictor.config)
    with tempfile.TemporaryDirectory(prefix="fakevoice-") as folder:
        cuts = [_cut(source, Path(folder) / f"{n}.wav", hop_s, predictor.config) for n, source in enumerate(sources)]
        cuts = cuts if early else [_without_early(cut) for cut in cuts]
        scores = predictor.predict([path for cut in cuts for path in window_paths(cut.path, cut.rate_hz, cut.windows)])
    return _answers(cuts, scores, predictor)


def checked_hop(hop_s: float | None, config: Config) -> float:
    """The hop in seconds; where none is given that of `files`, or half a clip where files are clips.

    Raises:
        ConfigError: less than 0.1 s, or more than a clip, which would leave sound unheard.
    """
    if hop_s is None:
        hop_s = config.files.hop_s if config.files.n_files else config.clip_duration_s / 2
    if not MIN_HOP_S <= hop_s <= config.clip_duration_s:
        raise ConfigError(f"a hop of {hop_s:g} s: from {MIN_HOP_S} to {config.clip_duration_s:g} s, which is a clip")
    return hop_s


def _cut(source: Source, sound: Path, hop_s: float, config: Config) -> _Cut:
    try:
        path = source.path
        if path.suffix.lower() in VIDEOS:
            extract_audio(path, sound)
            path = sound
        if _is_one_window(source, config):
            return _Cut(source, path, 1, [Window(0, 0, True)], "")
        return _Cut(source, path, *recording_windows(path, config.clip_duration_s, hop_s), "")
    except AudioError as error:
        return _Cut(source, source.path, 1, [Window(0, 0, True)], error.reason)


def _is_one_window(source: Source, config: Config) -> bool:
    """Whether only the start of a source counts: of a clip of a table, unless test files are longer than a clip."""
    return source.is_clip and (not config.files.n_files or split_part(source.path)[1] is not None)


def _without_early(cut: _Cut) -> _Cut:
    return _Cut(cut.source, cut.path, cut.rate_hz, [window for window in cut.windows if window.is_whole], cut.reason)


def _answers(cuts: list[_Cut], scores: Scores, predictor: Predictor) -> Answers:
    config, blend = predictor.config, predictor.blend
    rows, timelines, unreadable, first = [], [], [], 0
    for cut in cuts:
        found = scores.rows(slice(first, first := first + len(cut.windows)))
        is_bad, is_whole = np.array(found.reasons) != "", np.array([window.is_whole for window in cut.windows])
        counted = is_whole & ~is_bad if (is_whole & ~is_bad).any() else is_whole
        if blend.pooling:
            of_windows = {"": found.probability, "_low": found.low, "_high": found.high}
            pooled = {kind: pool(p[counted], blend.pooling, blend.conditions) for kind, p in of_windows.items()}
            values = pooled | {"": off_the_edges(pooled[""])}
        else:
            values = {kind: aggregate(array, counted, config.task) for kind, array in _named(found).items()}
        if is_bad[is_whole].all():
            reason = cut.reason or found.reasons[-1]
            unreadable.append((cut.source.id, str(cut.source.path), reason))
            note = f"not readable ({reason}): the prior"
        else:
            note = range_note(found.distance[counted])
        numbers = {name: float(value) for name, value in _columns(values, config).items()}
        rows.append({"id": cut.source.id, **numbers, "n_windows": int(counted.sum()), "note": note})
        timelines.append(_timeline(cut, found, config))
    unreadable = pd.DataFrame(unreadable, columns=["id", "path", "reason"])
    return Answers(pd.DataFrame(rows), pd.concat(timelines, ignore_index=True), unreadable)


def _named(scores: Scores) -> dict[str, np.ndarray]:
    return {"": off_the_edges(scores.probability), "_low": scores.low, "_high": scores.high}


def _columns(values: dict[str, np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """Values (..., n_outputs) by kind as columns: all outputs, then their low and high."""
    outputs = list(enumerate(config.outputs))
    return {f"{output}{kind}": array[..., i] for kind, array in values.items() for i, output in outputs}


def _timeline(cut: _Cut, scores: Scores, config: Config) -> pd.DataFrame:
    edges = {
        "start_s": [window.start / cut.rate_hz for window in cut.windows],
        "end_s": [window.end / cut.rate_hz for window in cut.windows],
    }
    facts = {"is_whole": [window.is_whole for window in cut.windows], "distance": scores.distance}
    return pd.DataFrame({"id": cut.source.id, **edges, **_columns(_named(scores), config), **facts})


def range_note(distance: np.ndarray) -> str:
    """A sentence where windows lie outside of what training covered; nothing where none does.

    Args:
        distance: (n_windows,) of `Scores`.
    """
    n_outside = int((distance > 1).sum())
    if not n_outside:
        return ""
    where = "" if len(distance) == 1 else f" in {n_outside} of {len(distance)} windows"
    return f"outside of what training covered{where}: the probabilities may mean nothing"
