"""Acted emotions: recordings or videos whose names give the actor and, by ranges of numbers, the emotion.

Videos are converted to audio files in the same folder, by ffmpeg. Actors are groups, because a model that recognises
the speaker could look up the emotion.
"""

import re
import unicodedata
from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.audio.ffmpeg import EXTENSIONS, decode_to_wav, has_ffmpeg
from fakevoice.core.artifacts import remove_temporaries
from fakevoice.core.errors import AudioError, DataError
from fakevoice.data.clip_tables import audio_below, clip_table, even_guess, list_names, refuse_classes, refuse_same_ids
from fakevoice.parallel.pool import run_parallel

EXPECTS = """\
actorNNN_MMM.ext   or actorNNN/MMM.ext, NNN/movie/MMM.ext (e.g. 0~9/000/movie/024.mp4) or N번연기자_MMM.ext, in any
                   folder; NNN is the actor, and MMM the emotion: 1-50 happiness, 51-100 surprise, 101-150 neutral,
                   151-200 fear, 201-250 disgust, 251-300 anger, 301-350 sadness; numbers may be missing
test/              optional; the recordings to predict, under any names
Audio, or videos and others that need ffmpeg (.mp4, .mov, .m4a, .aac, ...): these become audio/actorNNN_MMM.wav."""

CLASSES = ["happiness", "surprise", "neutral", "fear", "disgust", "anger", "sadness"]
N_PER_CLASS = 50
NAME = re.compile(
    r"(?:.*/)?(?:actor(?P<a>[0-9]+)[_/]|(?P<b>[0-9]+)/movie/|(?P<c>[0-9]+) *번 *연기자 *_ *)(?P<number>[0-9]{1,9})",
    re.IGNORECASE,
)
TESTS = ("test/", "audio/test/")


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The recordings by actor and emotion, and those to predict.

    Args:
        folder: holds what `EXPECTS` says.
        classes: the seven emotions, in any order.

    Returns:
        id (``actor001_051``; in test the path), path, split (train, test), label, group (actor): text,
        empty where unknown.

    Raises:
        DataError: other classes, no recordings, names without an emotion, or the same clip twice.
    """
    refuse_classes(classes, CLASSES, "emotion")
    paths = _audio(folder)
    train = [path for path in paths if not path.startswith(TESTS)]
    if not train:
        raise DataError(f"{folder}: holds no audio; it must hold:\n{EXPECTS}")
    names = _names(folder, train)
    refuse_same_ids(folder, [f"{actor}_{number}" for actor, number in names], train)
    rows = [
        (f"{actor}_{number}", path, "train", CLASSES[(int(number) - 1) // N_PER_CLASS], actor)
        for path, (actor, number) in zip(train, names, strict=True)
    ]
    return clip_table(rows + [(path, path, "test", "", "") for path in paths if path.startswith(TESTS)])


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The recordings to predict, with an even guess in each class column; all text."""
    return even_guess([path for path in _audio(folder) if path.startswith(TESTS)], classes)


def make(folder: Path) -> None:
    """Convert videos to audio where that is missing or older: 16-bit WAV with the video's own rate and channels.

    Raises:
        DataError: there is no ffmpeg, videos hold no sound, or their names give no emotion.
    """
    videos = [path for path in audio_below(folder, folder) if _is_video(path)]
    targets = _targets(folder, videos)
    stale = [
        (folder / video, folder / target)
        for video, target in zip(videos, targets, strict=True)
        if not _is_newer(folder / target, folder / video)
    ]
    if not stale:
        return
    if not has_ffmpeg():
        raise DataError(f"{folder}: {len(stale)} videos must be turned into audio: install ffmpeg and run again")
    for home in ("audio", "audio/test"):
        remove_temporaries(folder / home)  # of a run that was killed: they would be read as recordings
    failed = [problem for problem in run_parallel(_extract_audio, stale, "audio of videos", "videos") if problem]
    if failed:
        raise DataError(f"{folder}: {len(failed)} videos give no audio: {list_names(failed)}; repair or remove them")


def _audio(folder: Path) -> list[str]:
    """The recordings without the videos, which `make` converts."""
    return [path for path in audio_below(folder, folder) if not _is_video(path)]


def _is_video(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in EXTENSIONS


def _names(folder: Path, paths: list[str]) -> list[tuple[str, str]]:
    """Actor and number of each path."""
    # macOS decomposes the syllables of Korean file names
    stems = [unicodedata.normalize("NFC", PurePosixPath(path).with_suffix("").as_posix()) for path in paths]
    found = [NAME.fullmatch(stem) for stem in stems]
    misfits = [path for path, match in zip(paths, found, strict=True) if not (match and _tells_emotion(match))]
    if misfits:
        raise DataError(
            f"{folder}: {len(misfits)} names do not give an actor and an emotion, as actorNNN_MMM does with "
            f"a number from 1 to {len(CLASSES) * N_PER_CLASS}: {list_names(misfits)}; rename or remove them"
        )
    return [(f"actor{match['a'] or match['b'] or match['c']}", match["number"]) for match in found if match]


def _tells_emotion(match: re.Match) -> bool:
    return 1 <= int(match["number"]) <= len(CLASSES) * N_PER_CLASS


def _targets(folder: Path, videos: list[str]) -> list[str]:
    """Where the audio of each video goes, each to a place of its own."""
    known = iter(_names(folder, [video for video in videos if not video.startswith(TESTS)]))
    targets = []
    for video in videos:
        if video.startswith(TESTS):
            name = "test/" + PurePosixPath(video.removeprefix("test/")).with_suffix("").as_posix().replace("/", "_")
        else:
            name = "_".join(next(known))
        targets.append(f"audio/{name}.wav")
    refuse_same_ids(folder, targets, videos)
    return targets


def _is_newer(audio: Path, video: Path) -> bool:
    return audio.is_file() and audio.stat().st_mtime_ns >= video.stat().st_mtime_ns


def _extract_audio(job: tuple[Path, Path]) -> str:
    """Write the audio of one video; what went wrong, or nothing."""
    video, target = job
    try:
        decode_to_wav(video, target)
    except AudioError as error:
        return f"{video.name} ({error.reason})"
    return ""
