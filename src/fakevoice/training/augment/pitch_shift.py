"""The same voice higher or lower, at the same tempo (Salamon & Bello 2017)."""

from collections.abc import Callable

import numpy as np
import soxr

from fakevoice.audio.phase_vocoder import stretch
from fakevoice.audio.pitch import frame_size
from fakevoice.audio.read import fix_length
from fakevoice.core.config_sections import Share, range_of

INPUT = "waveform"


def build(sample_rate_hz: int, *, semitones: range_of(-24, 24) = (-2.0, 2.0), probability: Share = 0.5) -> Callable:
    """Stretch in time, then resample to the length that it had; formants move with the pitch.

    Args:
        semitones: of which 12 double the frequency.

    Source: Salamon & Bello, "Deep convolutional neural networks and data augmentation for environmental sound
    classification", IEEE Signal Processing Letters 2017 (up to 2 semitones).
    """

    def augment(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= probability:
            return waveform
        factor = 2.0 ** (rng.uniform(*semitones) / 12)
        longer = stretch(waveform, 1 / factor, frame_size(sample_rate_hz))
        return fix_length(soxr.resample(longer, factor, 1.0), len(waveform))

    return augment
