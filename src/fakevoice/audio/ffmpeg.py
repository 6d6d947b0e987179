"""Decode what libsndfile cannot read (AAC, WMA, AC-3, AMR, the sound of videos, ...) to a WAV file, by ffmpeg."""

import re
import shutil
import subprocess
from pathlib import Path

from fakevoice.core.artifacts import atomic_file
from fakevoice.core.errors import AudioError

# fmt: off
EXTENSIONS = frozenset({
    ".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4a", ".m4b", ".m4v", ".mka", ".aac", ".ac3", ".eac3", ".wma", ".wmv",
    ".asf", ".3gp", ".3g2", ".amr", ".ape", ".wv", ".tta", ".dts", ".mp2", ".mpg", ".mpeg", ".ts", ".flv", ".ra", ".rm",
})
# A playlist that calls itself a recording would have ffmpeg open what it names, so only these demuxers are allowed.
DEMUXERS = (
    "mov", "matroska", "avi", "aac", "asf", "ac3", "eac3", "amr", "ape", "wv", "tta", "dts", "mp3", "mpeg", "mpegts",
    "flv", "rm", "ogg", "flac", "wav", "w64", "aiff", "caf", "au", "latm", "loas", "tak", "mpc", "mpc8",
)
# fmt: on
TRUSTED = ("-protocol_whitelist", "file", "-format_whitelist", ",".join(DEMUXERS))
OPTIONS = ("-vn", "-sn", "-dn", "-c:a", "pcm_s16le", "-bitexact", "-rf64", "auto", "-f", "wav")
LONGEST_S = 600  # of work on one file
MISSING_S = 0.5  # less than the container states; encoders round and pad
NEEDED = "ffmpeg is needed for this format: install ffmpeg"

# First bytes (offset, value) of formats that libsndfile does not read.
MAGIC = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"\x0b\x77"), (0, b"#!AMR"), (8, b"AVI "), (0, b"MAC "), (0, b"wvpk"),
    (0, b"TTA1"), (0, b"FLV\x01"), (0, b".RMF"), (0, b"\x7f\xfe\x80\x01"), (0, b"\x00\x00\x01\xba"), (0, b"MPCK"),
)  # fmt: skip


def has_ffmpeg() -> bool:
    """Whether ffmpeg is installed."""
    return shutil.which("ffmpeg") is not None


def is_known(head: bytes) -> bool:
    """Whether a file that begins with `head` is of a format that ffmpeg reads and libsndfile does not."""
    return any(head[offset : offset + len(value)] == value for offset, value in MAGIC)


def decode_to_wav(source: Path, target: Path, most_s: float | None = None) -> str:
    """Write the sound of a file as 16-bit WAV with its own rate and channels, whole or not at all.

    Args:
        most_s: the rest is left out.

    Returns:
        What of the sound is missing, or nothing.

    Raises:
        AudioError: no ffmpeg, no such file, or no sound in it.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise AudioError(source, NEEDED)
    options = OPTIONS if most_s is None else ("-t", f"{most_s:g}", *OPTIONS)
    call = [ffmpeg, "-nostdin", "-hide_banner", "-v", "level+info", "-y", *TRUSTED, "-i", f"file:{source}", *options]
    try:
        with atomic_file(target) as file:
            command = [*call, f"file:{file.name}"]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, errors="replace", timeout=LONGEST_S
            )
    except subprocess.CalledProcessError as error:
        raise AudioError(source, _reason(error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise AudioError(source, f"ffmpeg took more than {LONGEST_S} s") from error
    return _missing(done.stderr, most_s)


def _reason(log: str) -> str:
    """Why ffmpeg gave up: its first error."""
    lines = re.findall(r"^(?:\[[^]]* @ [^]]*\] )*\[(?:error|fatal)\] (.*)$", log, flags=re.MULTILINE)
    lines = [line for line in lines if not line.startswith("Error opening input file")]
    if "does not contain any stream" in log or "Output file does not contain" in log:
        return "a video without sound"
    lines = lines or log.strip().splitlines()[-1:] or ["no reason given"]
    return f"cannot be decoded by ffmpeg: {lines[0].removeprefix('Error opening input: ')}"


def _missing(log: str, most_s: float | None) -> str:
    """What of the sound was not decoded, as the log of a successful call says."""
    source = log.partition("Stream mapping:")[0]
    n_tracks = len(re.findall(r"^\[info\]   Stream #0:\d.*: Audio: ", source, flags=re.MULTILINE))
    notes = [f"only one of its {n_tracks} audio tracks was read"] if n_tracks > 1 else []
    stated_s = _seconds(re.search(r"^\[info\]   Duration: ([0-9:.]+)", source, flags=re.MULTILINE))
    decoded_s = _seconds(re.search(r".*\btime=([0-9:.]+)", log, flags=re.DOTALL))
    is_whole = most_s is not None and decoded_s > most_s - MISSING_S
    if not is_whole and decoded_s < stated_s - MISSING_S:
        notes.append(f"the file ends before its stated length: {decoded_s:.1f} of {stated_s:.1f} s were read")
    elif re.search(r"^(?:\[[^]]* @ [^]]*\] )*\[error\]", log, flags=re.MULTILINE):
        notes.append("the file is damaged: parts of it could not be decoded")
    return "; ".join(notes)


def _seconds(found: re.Match | None) -> float:
    """hours:minutes:seconds as seconds; 0 where there is no such text."""
    if found is None:
        return 0.0
    hours, minutes, seconds = found[1].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
