"""Noise bank: background noises for scenes, each used in the scenes of a single fold.

Noises are generated (`generated_noises`), recorded (segments of noise files) or mined: segments of unlabeled clips in
which no pitch is detected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio.channel import rms
from fakevoice.audio.read import read_audio
from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.audio.synthesis.noise_shapes import MINED, RECORDED
from fakevoice.audio.voicing import cepstral_peak
from fakevoice.core import artifacts
from fakevoice.core.errors import AudioError
from fakevoice.core.tables import read_table, write_table
from fakevoice.parallel.pool import run_parallel

SEGMENT_S = 1.5
MAX_PEAK_DB = 1.0  # white noise stays below 0.7, voiced speech rises above 2, faint voices lie between
MIN_RMS = 1e-3
MAX_SEGMENTS_PER_CLIP = 3
RECORDED_S, LEAST_RECORDED_S = 8.0, 1.0  # longest segment of a noise file, and shortest one after the first
CHUNK = 16  # clips per task of a worker
NAME, COLUMNS = "noise_bank", ["segment", "kind", "clip", "start_s", "n_samples", "fold"]
Found = tuple[str, str, float, int, np.ndarray]  # kind, clip, start_s, fold, sound


@dataclass(frozen=True)
class _Search:
    """One clip to look through; travels to a worker."""

    clip: str
    path: Path
    sample_rate_hz: int


class NoiseBank:
    """Noises of RMS 1, read by number; their sound may stay on the disk.

    Attributes:
        table: segment (0, 1, ...), kind ("mined", "recorded", or the plug-in), clip (of those two), start_s, n_samples,
            fold.
        samples: all noises one after the other, (sum of n_samples,) float16: rounding lies 70 dB below them.
    """

    def __init__(self, table: pd.DataFrame, samples: np.ndarray | artifacts.StoredArray):
        self.table, self.samples = table, samples
        self._edge = [0, *table["n_samples"].cumsum().tolist()]

    def __getitem__(self, segment: int) -> np.ndarray:
        """The sound of one noise, (n_samples,) float32."""
        start, stop = self._edge[segment : segment + 2]
        stored = isinstance(self.samples, artifacts.StoredArray)
        return (self.samples.rows(start, stop) if stored else self.samples[start:stop]).astype(np.float32)

    def kept(self, folder: Path) -> "NoiseBank":
        """Write noise_bank.csv and noise_bank.npy, and leave the sound there."""
        write_table(folder / f"{NAME}.csv", self.table)
        artifacts.write_array(folder / f"{NAME}.npy", self.samples)
        return NoiseBank.load(folder)

    @classmethod
    def load(cls, folder: Path) -> "NoiseBank":
        """Read what `kept` wrote."""
        table = read_table(folder / f"{NAME}.csv", ("kind", "clip"))
        return cls(table.astype({"n_samples": "int64"}), artifacts.StoredArray(folder / f"{NAME}.npy"))

    @classmethod
    def join(cls, found: Sequence[Found]) -> "NoiseBank":
        """A bank of (kind, clip, start_s, fold, sound) in the order given."""
        rows = [(i, *about[:3], len(sound), about[3]) for i, (*about, sound) in enumerate(found)]
        sounds = [np.asarray(sound, np.float16) for *_, sound in found]
        return cls(pd.DataFrame(rows, columns=COLUMNS), np.concatenate([np.empty(0, np.float16), *sounds]))

    def extended_by(self, other: "NoiseBank") -> "NoiseBank":
        """Both banks, none of them on the disk, in one; the other one's noises are numbered on."""
        table = pd.concat([self.table, other.table], ignore_index=True)
        return NoiseBank(table.assign(segment=range(len(table))), np.concatenate([self.samples, other.samples]))


def noise_folds(n_clips: int, n_folds: int) -> np.ndarray:
    """The fold of each unlabeled clip, in which all its noises are heard and in no other: (n_clips,) int."""
    return np.arange(n_clips) % n_folds


def mine_noises(clips: pd.DataFrame, folder: Path, sample_rate_hz: int, n_folds: int) -> NoiseBank:
    """Cut voiceless segments out of the unlabeled clips.

    Args:
        clips: id and path of the unlabeled clips.
        folder: that paths are relative to.
    """
    searches = [_Search(c, folder / p, sample_rate_hz) for c, p in zip(clips["id"], clips["path"], strict=True)]
    chunks = [searches[start : start + CHUNK] for start in range(0, len(searches), CHUNK)]
    found = run_parallel(_all_voiceless, chunks, "scenes: mining noise", "chunks")
    folds = noise_folds(len(searches), n_folds).tolist()
    segments = [
        (MINED, search.clip, start_s, fold, segment)
        for search, fold, its_own in zip(searches, folds, chain.from_iterable(found), strict=True)
        for start_s, segment in its_own
    ]
    return NoiseBank.join(segments)


def recorded_noises(clips: pd.DataFrame, folder: Path, sample_rate_hz: int, n_folds: int) -> NoiseBank:
    """Segments of noise files; all files of a source are in one fold.

    Args:
        clips: id, path and group of the noise files.
        folder: that paths are relative to.
    """
    searches = [_Search(c, folder / p, sample_rate_hz) for c, p in zip(clips["id"], clips["path"], strict=True)]
    folds = noise_folds(clips["group"].nunique(), n_folds)[pd.factorize(clips["group"])[0]].tolist()
    found = run_parallel(_segments, searches, "scenes: reading noise", "files")
    noises = [
        (RECORDED, search.clip, start_s, fold, segment)
        for search, fold, segments in zip(searches, folds, found, strict=True)
        for start_s, segment in segments
    ]
    return NoiseBank.join(noises)


def _segments(search: _Search) -> list[tuple[float, np.ndarray]]:
    """The first parts of a noise file that are not silent, each of RMS 1."""
    rate = search.sample_rate_hz
    waveform = read_audio(search.path, rate).waveform
    width = round(RECORDED_S * rate)
    found: list[tuple[float, np.ndarray]] = []
    for start in range(0, len(waveform), width):
        part = waveform[start : start + width]
        level = rms(part)
        is_long_enough = start == 0 or len(part) >= LEAST_RECORDED_S * rate
        if is_long_enough and level > MIN_RMS:
            found.append((start / rate, part / level))
    return found[:MAX_SEGMENTS_PER_CLIP]


def _all_voiceless(searches: list[_Search]) -> list[list[tuple[float, np.ndarray]]]:
    return [_voiceless(search) for search in searches]


def _voiceless(search: _Search) -> list[tuple[float, np.ndarray]]:
    rate, hop = search.sample_rate_hz, search.sample_rate_hz // 64
    try:
        waveform = read_audio(search.path, rate).waveform
    except AudioError:
        return []  # the audit has named it already
    peak = cepstral_peak(power_spectrogram(waveform, 1 << (rate // 20).bit_length(), hop), rate)
    width, found, start = round(SEGMENT_S * rate), [], 0
    while start + width <= len(waveform) and len(found) < MAX_SEGMENTS_PER_CLIP:
        segment, level = waveform[start : start + width], rms(waveform[start : start + width])
        if level > MIN_RMS and np.quantile(peak[start // hop : (start + width) // hop], 0.97) < MAX_PEAK_DB:
            found.append((start / rate, segment / level))
            start += width
        else:
            start += width // 3
    return found


def extend_noise(segment: np.ndarray, n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Lengthen a noise segment by cross-fading rolled and reversed copies, so that no period is heard.

    Args:
        segment: (n,) float32.

    Returns:
        (n_samples,) float32.
    """
    fade = min(round(0.1 * sample_rate_hz), len(segment) // 3)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))  # equal power, since copies are not in phase
    extended = np.roll(segment, rng.integers(len(segment)))
    while len(extended) < n_samples:
        following = np.roll(segment[:: rng.choice([-1, 1])], rng.integers(len(segment)))
        joint = extended[-fade:] * ramp[::-1] + following[:fade] * ramp
        extended = np.concatenate([extended[:-fade], joint, following[fade:]])
    return extended[:n_samples]
