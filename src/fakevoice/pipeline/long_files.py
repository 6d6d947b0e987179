"""Windows of long files: of the test, and of simulated files."""

from pathlib import Path

import pandas as pd

from fakevoice.audio.files import split_part
from fakevoice.audio.read import measure_length
from fakevoice.audio.windows import all_windows, recording_windows, window_paths
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError


def file_windows(files: pd.DataFrame, config: Config) -> pd.DataFrame:
    """A row for each window of each simulated file.

    Args:
        files: of `scenes.draw.draw_files`.

    Returns:
        The columns of `files`, and start and end of the window in samples.
    """
    hop = round(config.files.hop_s * config.sample_rate_hz)
    rows = []
    for number, duration_s in enumerate(files["duration_s"]):
        windows = all_windows(round(duration_s * config.sample_rate_hz), config.n_samples, hop)
        rows += [(number, window.start, window.end) for window in windows if window.is_whole]
    numbers, starts, ends = zip(*rows, strict=True)
    return files.iloc[list(numbers)].assign(start=starts, end=ends).reset_index(drop=True)


def clip_windows(clips: pd.DataFrame, raw: Path, config: Config) -> pd.DataFrame:
    """A row for each window of each clip, whose path ends in the part of the file; others stay as they are.

    Args:
        clips: clip table; a clip that cannot be read, or is a part of a file already, is one window.
        raw: folder that paths are relative to.
    """
    numbers, paths = [], []
    for number, (path, error) in enumerate(zip(clips["path"], clips["error"], strict=True)):
        parts = [path] if error else _parts(path, raw, config)
        numbers += [number] * len(parts)
        paths += parts
    return clips.iloc[numbers].assign(path=paths).reset_index(drop=True)


def _parts(path: str, raw: Path, config: Config) -> list[str]:
    if split_part(raw / path)[1] is not None:
        return [path]
    try:
        length = measure_length(raw / path)
    except AudioError:
        return [path]
    windows = recording_windows(length, config.clip_duration_s, config.files.hop_s)
    whole = [window for window in windows if window.is_whole]
    return [str(part) for part in window_paths(Path(path), length.rate_hz, whole)]
