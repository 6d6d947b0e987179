"""From an audio file to a clip of exactly the length that the config asks for: mono, resampled, trimmed, fitted."""

import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np

from fakevoice.audio.files import split_part
from fakevoice.audio.read import fix_length, read_audio, read_parts
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError

FRAME_S = 0.02
LEAST_READ_S = 30.0  # of a file, so that a long silence before the voice can be trimmed


def read_clip(path: Path, config: Config) -> np.ndarray:
    """Decode a file to a clip.

    Returns:
        (n_samples,) float32 at the config's rate.

    Raises:
        AudioError: as `audio.read_audio`.
    """
    return fitted(read_waveform(path, config), config)


def read_waveform(path: Path, config: Config) -> np.ndarray:
    """Decode a file as `read_clip` does, with neither trim nor fit: (n,) float32 of the file's own length."""
    return read_audio(path, config.sample_rate_hz, _max_read_s(config)).waveform


def read_clips(paths: Iterable[Path], config: Config) -> Iterator[tuple[np.ndarray, str]]:
    """Clips as `read_or_silence` gives them, in the order of the paths; read as they are asked for.

    Consecutive parts of one file are decoded in one pass.
    """
    for path, parts in itertools.groupby(map(split_part, paths), key=itemgetter(0)):
        parts_s = (part_s for _, part_s in parts)
        for found in read_parts(path, parts_s, config.sample_rate_hz, _max_read_s(config)):
            if isinstance(found, AudioError):
                yield np.zeros(config.n_samples, np.float32), found.reason
            else:
                yield fitted(found.waveform, config), ""


def _max_read_s(config: Config) -> float:
    return max(LEAST_READ_S, 2 * config.clip_duration_s)


def fitted(waveform: np.ndarray, config: Config) -> np.ndarray:
    """Trim the ends and bring a waveform to the config's length.

    Args:
        waveform: (n,) float32 at the config's rate, at least one sample.

    Returns:
        (n_samples,) float32.
    """
    settings, n_samples = config.preprocessing, config.n_samples
    if settings.trim_db is not None:
        waveform = trim(waveform, config.sample_rate_hz, settings.trim_db)
    surplus = len(waveform) - n_samples
    if settings.fit == "center":
        return fix_length(waveform[max(0, surplus // 2) :], n_samples, max(0, -surplus // 2))
    return np.resize(waveform, n_samples) if settings.fit == "repeat" else fix_length(waveform, n_samples)


def trim(waveform: np.ndarray, sample_rate_hz: int, trim_db: float) -> np.ndarray:
    """Cut leading and trailing frames of 20 ms that lie more than `trim_db` under the loudest one; none between.

    Args:
        waveform: (n,) float32.

    Returns:
        A view of its middle; all of it where nothing is louder than the rest.
    """
    frame = max(1, round(FRAME_S * sample_rate_hz))
    n_frames = len(waveform) // frame
    if n_frames < 2:
        return waveform
    power = np.square(waveform[: n_frames * frame].reshape(n_frames, frame)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-trim_db / 10))
    return waveform[loud[0] * frame : (loud[-1] + 1) * frame] if len(loud) else waveform


def read_or_silence(path: Path, config: Config) -> tuple[np.ndarray, str]:
    """A clip of exactly the config's length, and ''; or silence and why it cannot be read, so that its row stays."""
    try:
        return read_clip(path, config), ""
    except AudioError as error:
        return np.zeros(config.n_samples, np.float32), error.reason
