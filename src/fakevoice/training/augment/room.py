"""The voice in another room (Ko et al. 2017)."""

from collections.abc import Callable

import numpy as np

from fakevoice.audio.channel import impulse_response, reverberate
from fakevoice.core.config_sections import Share, range_of

INPUT = "waveform"


def build(sample_rate_hz: int, *, rt60_s: range_of(0.01, 10) = (0.1, 0.8), probability: Share = 0.5) -> Callable:
    """Convolve with a made impulse response; the level is kept.

    Args:
        rt60_s: time in which the room's sound falls by 60 dB.

    Source: Ko, Peddinti, Povey, Seltzer & Khudanpur, "A study on data augmentation of reverberant speech for
    robust speech recognition", ICASSP 2017 (made responses do as well as measured ones).
    """

    def augment(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= probability:
            return waveform
        return reverberate(waveform, impulse_response(rng.uniform(*rt60_s), sample_rate_hz, rng))

    return augment
