"""The same voice faster or slower, at the same pitch (Salamon & Bello 2017)."""

from collections.abc import Callable

import numpy as np

from fakevoice.audio.phase_vocoder import stretch
from fakevoice.audio.pitch import frame_size
from fakevoice.audio.read import fix_length
from fakevoice.core.config_sections import Share, range_of

INPUT = "waveform"


def build(sample_rate_hz: int, *, rate: range_of(0.1, 10) = (0.81, 1.23), probability: Share = 0.5) -> Callable:
    """Stretch in time; what becomes longer is cut at the end, what becomes shorter is followed by zeros.

    Args:
        rate: tempo; 2 is twice as fast.

    Source: Salamon & Bello, "Deep convolutional neural networks and data augmentation for environmental sound
    classification", IEEE Signal Processing Letters 2017 (rates of 0.81 to 1.23).
    """

    def augment(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= probability:
            return waveform
        return fix_length(stretch(waveform, rng.uniform(*rate), frame_size(sample_rate_hz)), len(waveform))

    return augment
