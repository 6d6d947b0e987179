"""The sound of a video, by ffmpeg: 16-bit mono WAV at the video's own rate."""

import shutil
import subprocess
from pathlib import Path

from fakevoice.core.artifacts import atomic_file
from fakevoice.core.errors import AudioError

VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4a"})
OPTIONS = ("-vn", "-ac", "1", "-c:a", "pcm_s16le", "-bitexact", "-f", "wav")
# A playlist that calls itself a video would have ffmpeg open what it names.
TRUSTED = ("-protocol_whitelist", "file", "-format_whitelist", "mov,matroska,avi")
LONGEST_S = 600  # of work on one video


def has_ffmpeg() -> bool:
    """Whether the sound of a video can be had."""
    return shutil.which("ffmpeg") is not None


def extract_audio(video: Path, target: Path, most_s: float | None = None) -> None:
    """Write the sound of a video, whole or not at all.

    Args:
        most_s: the rest is left out.

    Raises:
        AudioError: no ffmpeg, no such video, or one without sound.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise AudioError(video, "a video, whose sound ffmpeg would take out: install ffmpeg")
    try:
        with atomic_file(target) as file:
            options = OPTIONS if most_s is None else ("-t", f"{most_s:g}", *OPTIONS)
            asked = [ffmpeg, "-nostdin", "-v", "error", "-y", *TRUSTED, "-i", f"file:{video}"]
            command = [*asked, *options, f"file:{file.name}"]
            subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=LONGEST_S)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        raise AudioError(video, lines[-1].removeprefix(f"file:{video}: ")) from error
    except subprocess.TimeoutExpired as error:
        raise AudioError(video, f"ffmpeg took more than {LONGEST_S} s") from error
