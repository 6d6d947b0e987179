"""Data of a check: test clips, files that are difficult to read, and the sample submission that lists them."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from fakevoice.audio.read import read_audio
from fakevoice.core import artifacts
from fakevoice.core.config import Config
from fakevoice.core.tables import write_table
from fakevoice.inference.code_competition import MAX_UNREADABLE, SAMPLE

LONG_S, SHORT_S = 60.0, 0.3
UNREADABLE = ("trial-damaged", "trial-empty")
LONG = "trial-long"


@dataclass(frozen=True)
class Trial:
    """Files of a check, by id.

    Attributes:
        clips: test clips.
        difficult: stereo, long, short, MP3, FLAC, upper-case extension, cut in half.
        unreadable: damaged and empty.
        padding: copies of a clip, so that unreadable files stay below the largest share that is allowed.
    """

    clips: dict[str, Path]
    difficult: dict[str, Path]
    unreadable: dict[str, Path]
    padding: dict[str, Path]

    @property
    def files(self) -> dict[str, Path]:
        """All of them."""
        return self.clips | self.difficult | self.unreadable | self.padding


def make_trial(clips: list[Path], folder: Path, config: Config) -> Trial:
    """Write the difficult files.

    Args:
        clips: readable test clips, at least one, with different names.
        folder: of the files that are made.
    """
    folder.mkdir(parents=True)
    difficult = _write_difficult(clips[0], folder, config)
    unreadable = _write_unreadable(folder)
    found = {clip.stem: clip for clip in clips}
    n_padding = round(len(unreadable) / MAX_UNREADABLE) - len(found) - len(difficult) - len(unreadable)
    padding = {f"trial-copy{i:03}": clips[i % len(clips)] for i in range(n_padding)}
    return Trial(found, difficult, unreadable, padding)


def write_data(folder: Path, files: dict[str, Path], config: Config) -> Path:
    """Lay out ``data/`` as a server does: ``test/`` and the sample submission, in the order of the files; the folder.

    Files and folders are made read-only.
    """
    (folder / "test").mkdir(parents=True)
    for id, file in files.items():
        shutil.copyfile(file, folder / "test" / f"{id}{file.suffix}")
    write_table(folder / SAMPLE, pd.DataFrame({"id": list(files)} | dict.fromkeys(config.outputs, 0.5)))
    for path in [*(Path(entry.path) for entry in artifacts.walk(folder)), folder / "test", folder]:
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def make_writable(folders: Iterable[Path]) -> None:
    """Undo `write_data`, so that the folders can be removed."""
    for folder in folders:
        for path in (folder, folder / "test"):
            path.chmod(0o755)


def _write_difficult(clip: Path, folder: Path, config: Config) -> dict[str, Path]:
    rate_hz = config.sample_rate_hz
    sound = read_audio(clip, rate_hz).waveform
    long = np.resize(sound, round(LONG_S * rate_hz))
    sounds = {
        "trial-stereo.wav": np.stack([sound, 0.5 * sound], axis=1),
        "trial-short.wav": sound[: round(SHORT_S * rate_hz)],
        f"{LONG}.wav": long,
        "trial-mp3.mp3": sound,
        "trial-flac.flac": sound,
        "TRIAL-UPPER.WAV": sound,
        "trial-cut.wav": sound,
    }
    for name, samples in sounds.items():
        kind = Path(name).suffix[1:].upper()
        soundfile.write(folder / name, np.clip(samples, -1, 1), rate_hz, format=kind)
    cut = folder / "trial-cut.wav"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return {Path(name).stem: folder / name for name in sounds}


def _write_unreadable(folder: Path) -> dict[str, Path]:
    damaged, empty = (folder / f"{name}.wav" for name in UNREADABLE)
    damaged.write_bytes(bytes(range(256)) * 16)
    empty.write_bytes(b"")
    return {path.stem: path for path in (damaged, empty)}
