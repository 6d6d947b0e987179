"""Real noise without labels: the parts of the unlabeled clips in which nothing voice-like is heard."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio import read_audio
from fakevoice.channel import rms
from fakevoice.errors import AudioError
from fakevoice.spectrum import power_spectrogram
from fakevoice.voicing import cepstral_peak
from fakevoice.workers import run_parallel

SEGMENT_S = 1.5
MAX_PEAK_DB = 1.0  # white noise stays below 0.7, voiced speech rises above 2, faint voices lie between
MIN_RMS = 1e-3
MAX_SEGMENTS_PER_CLIP = 3


@dataclass(frozen=True)
class _Search:
    """One clip to look through; travels to a worker."""

    clip: str
    path: Path
    sample_rate_hz: int


def mine_noises(
    clips: pd.DataFrame, folder: Path, sample_rate_hz: int, n_folds: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Cut voiceless segments out of the unlabeled clips.

    A clip's segments all belong to one fold, so that no noise is heard in training and in validation.

    Args:
        clips: clip table; only rows of the split ``unlabeled`` are read.

    Returns:
        A table segment, clip, start_s, fold, and the segments (n_segments, n_samples) float32 of RMS 1.
    """
    unlabeled = clips[clips["split"] == "unlabeled"]
    searches = [_Search(c, folder / p, sample_rate_hz) for c, p in zip(unlabeled["id"], unlabeled["path"], strict=True)]
    rows, segments = [], []
    for index, found in enumerate(run_parallel(_voiceless, searches, "scenes: mining noise", "clips")):
        for start_s, segment in found:
            rows.append((len(rows), searches[index].clip, start_s, index % n_folds))
            segments.append(segment)
    table = pd.DataFrame(rows, columns=["segment", "clip", "start_s", "fold"])
    return table, np.array(segments, np.float32).reshape(len(rows), round(SEGMENT_S * sample_rate_hz))


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
