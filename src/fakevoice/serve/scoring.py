"""A predictor that stays: it scores uploads in the thread that asks, with models that are loaded once."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import threadpoolctl
from starlette.exceptions import HTTPException

from fakevoice.audio.messages import code_of
from fakevoice.audio.preprocess import read_clips
from fakevoice.audio.read import measure_length
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError
from fakevoice.inference.inputs import Source
from fakevoice.inference.predictor import CHUNK, Predictor, Scores
from fakevoice.inference.recordings import Answers, answer, checked_hop
from fakevoice.serve.limits import Limits
from fakevoice.serve.uploads import Upload

Result = TypeVar("Result")


class InProcessPredictor(Predictor):
    """The predictor without worker processes; it stops between two chunks when the request has been cancelled."""

    def predict(self, files: list[Path]) -> Scores:
        """Score files; each is decoded in one pass, and only one chunk of clips is in memory."""
        clips = read_clips(files, self.config)
        parts = []
        while chunk := list(itertools.islice(clips, CHUNK)):
            anyio.from_thread.check_cancelled()
            parts.append(self.score_clips(chunk))
        return Scores.joined(parts)


async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Compute beside the event loop, in one thread as the line does: sums depend on how they are split."""

    def alone() -> Result:
        with threadpoolctl.threadpool_limits(1):
            return work(*arguments)

    return await anyio.to_thread.run_sync(alone)


def score_uploads(predictor: Predictor, uploads: list[Upload], hop_s: float | None, limits: Limits) -> Answers:
    """What `recordings.answer` says of some uploads, under the ids "0", "1", ...

    Raises:
        ConfigError: an impossible hop.
        HTTPException: 413, a recording is too long, or a hop too small for so much sound.
    """
    hop_s = checked_hop(hop_s, predictor.config)
    sources = []
    n_windows = 0
    for number, upload in enumerate(uploads):
        source, duration_s = _measured(number, upload, limits)
        sources.append(source)
        n_windows += round(duration_s / hop_s) + 1
    if n_windows > limits.max_windows:
        raise HTTPException(413, f"more than {limits.max_windows} windows: use a larger hop_s, or fewer files")
    return answer(predictor, sources, hop_s)


def _measured(number: int, upload: Upload, limits: Limits) -> tuple[Source, float]:
    """An upload as a recording that libsndfile reads, and its duration in seconds; 0 if it cannot be read."""
    converted = upload.path.with_suffix(".converted.wav")
    try:
        length = measure_length(upload.path, converted, limits.max_recording_s + 1)
    except AudioError:
        return Source(str(number), upload.path), 0.0  # `answer` gives the reason
    if length.n_frames > limits.max_recording_s * length.rate_hz:
        most = f"{limits.max_recording_s / 60:g} minutes"
        raise HTTPException(413, f"{upload.name}: longer than {most}; cut it, or use ./run.sh predict")
    notes = length.notes if length.path == converted else ()  # the others are found again by `answer`
    return Source(str(number), length.path, notes=notes), length.n_frames / length.rate_hz


def as_json(answers: Answers, uploads: list[Upload]) -> Iterator[dict[str, Any]]:
    """What is said of each upload, in plain values, under the name that the client gave it."""
    reasons = dict(answers.unreadable[["id", "reason"]].itertuples(index=False, name=None))
    file_notes = dict(answers.file_notes[["id", "note"]].itertuples(index=False, name=None))
    for upload, row in zip(uploads, answers.table.to_dict("records"), strict=True):
        windows = answers.timeline[answers.timeline["id"] == row["id"]].drop(columns="id")
        reason = reasons.get(row["id"])
        told = {
            "id": upload.name,
            "note": row["note"],
            "file_note": file_notes.get(row["id"], ""),
            "unreadable": reason,
            "unreadable_code": code_of(reason) if reason else None,
        }
        timeline = [] if reason else windows.to_dict("records")
        yield told | {"row": row | {"id": upload.name}, "timeline": timeline}


def explained(config: Config) -> dict[str, str]:
    """Column of a row or of a timeline → what it says."""
    said = {}
    for output in config.outputs:
        meant = f"{output} is heard" if config.task == "multilabel" else f"it is {output}"
        said[output] = f"calibrated probability that {meant}, 0 to 1"
        said |= {f"{output}_{kind}": f"the {most} that single folds say" for kind, most in EDGES.items()}
    return said | COLUMNS


EDGES = {"low": "least", "high": "most"}
COLUMNS = {
    "id": "the file's name as it was sent",
    "n_windows": "windows of a clip's length that count",
    "note": "why the numbers are worth less, or nothing; empty where nothing speaks against them",
    "start_s": "where a window begins, in seconds",
    "end_s": "where it ends",
    "is_whole": "whether the window counts for the whole recording",
    "distance": "from what training covered; above 1 the window lies outside, and what is said may mean nothing",
}
