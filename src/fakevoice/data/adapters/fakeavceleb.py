"""FakeAVCeleb: videos of 500 celebrities whose picture, voice or both are generated; here the voice counts.

ffmpeg extracts the audio of the videos. A clip is fake if its audio is. Clips of one person share a group.

Source: Khalid et al., "FakeAVCeleb: a novel audio-video multimodal deepfake dataset", NeurIPS 2021.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from fakevoice.audio.ffmpeg import decode_to_wav, has_ffmpeg
from fakevoice.core.artifacts import remove_temporaries
from fakevoice.core.errors import AudioError, DataError
from fakevoice.data.clip_tables import (
    checked_paths,
    clip_table,
    even_guess,
    list_names,
    read_table,
    refuse,
    refuse_classes,
    refuse_repeated,
)
from fakevoice.parallel.pool import run_parallel

EXPECTS = """\
meta_data.csv        source,target1,target2,method,category,type,race,gender,path,   (the last column has no name: it is
                     the folder, as FakeAVCeleb/RealVideo-FakeAudio/African/men/id00076, and path is the file)
RealVideo-RealAudio/, RealVideo-FakeAudio/, FakeVideo-RealAudio/, FakeVideo-FakeAudio/    the videos
All as published (FakeAVCeleb_v1.2). ffmpeg is needed; the audio goes to audio/."""

CLASSES = ["fake", "real"]
TYPES = {
    "RealVideo-RealAudio": "real",
    "FakeVideo-RealAudio": "real",
    "RealVideo-FakeAudio": "fake",
    "FakeVideo-FakeAudio": "fake",
}
COLUMNS = ["source", "type", "path", ""]


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The audio of the listed videos; there is no test split.

    Args:
        folder: holds what `EXPECTS` says.
        classes: fake and real, in any order.

    Returns:
        id (the video), path (its audio), split (train), label, group (the person who is the source): text.

    Raises:
        DataError: no list, or lines of it that cannot be read.
    """
    refuse_classes(classes, CLASSES, "fakeavceleb")
    table = _listed(folder)
    labels = table["type"].map(TYPES)
    paths = [_audio_of(video) for video in table["video"]]
    return clip_table(list(zip(table["video"], paths, ["train"] * len(table), labels, table["source"], strict=True)))


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """No rows, since nothing is to be predicted: id and the class columns; all text."""
    return even_guess([], classes)


def make(folder: Path) -> None:
    """Extract the audio of the listed videos where it is missing: 16-bit mono WAV at the video's own rate.

    Raises:
        DataError: there is no ffmpeg, or videos hold no sound.
    """
    if not (folder / "meta_data.csv").is_file():
        return  # `read` says what is missing
    jobs = [(folder / video, folder / _audio_of(video)) for video in _listed(folder)["video"]]
    missing = [(video, audio) for video, audio in jobs if not audio.is_file()]
    if not missing:
        return
    if not has_ffmpeg():
        raise DataError(f"{folder}: {len(missing)} videos must be turned into audio: install ffmpeg and run again")
    for home in {audio.parent for _, audio in missing}:
        remove_temporaries(home)
    problems = [problem for problem in run_parallel(_extract, missing, "audio of videos", "videos") if problem]
    if problems:
        raise DataError(f"{folder}: {len(problems)} videos give no audio: {list_names(problems)}; remove their lines")


def _listed(folder: Path) -> pd.DataFrame:
    """Source, type and video (relative path) of each line of the list."""
    csv_file = folder / "meta_data.csv"
    table = read_table(csv_file, COLUMNS, EXPECTS, key=None)
    refuse(csv_file, table["type"], lambda name: name not in TYPES, f"a type not in {list(TYPES)}")
    refuse(csv_file, table["source"], lambda source: not source.strip(), "an empty source")
    videos = table[""].str.removeprefix("FakeAVCeleb/").str.rstrip("/") + "/" + table["path"]
    table = table.assign(video=checked_paths(csv_file, videos))
    refuse_repeated(csv_file, table["video"])
    return table[["source", "type", "video"]]


def _audio_of(video: str) -> str:
    return (PurePosixPath("audio") / video).with_suffix(".wav").as_posix()


def _extract(job: tuple[Path, Path]) -> str:
    """Write the audio of one video; what went wrong, or nothing."""
    video, audio = job
    try:
        decode_to_wav(video, audio)
    except AudioError as error:
        return f"{video.name} ({error.reason})"
    return ""
