"""Chroma: how strong each of the twelve pitch classes is, all octaves together (Ellis 2007)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fakevoice.audio.spectrum import Exponent, n_fft_of, pitch_class_bank, project, relative_to_peak, relative_to_sum

TAKES_TENSORS = True


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    exponent: Exponent = 2,
    norm: Literal["max", "sum"] = "max",
    tuning: Annotated[float, Field(ge=-12, le=12)] = 0.0,
) -> np.ndarray:
    """Strength of each pitch class, relative to the frame's strongest one or to the sum of all.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.
        exponent: 2 sums powers, 1 magnitudes.
        norm: what a frame is divided by.
        tuning: of the music against 440 Hz, in semitones.

    Returns:
        (..., 12, n_frames) float32 from 0 to 1, C first; 0 where the frame is silent.
    """
    bank = pitch_class_bank(sample_rate_hz, n_fft_of(power), tuning)
    classes = project(bank, power if exponent == 2 else power**0.5)
    return relative_to_peak(classes) if norm == "max" else relative_to_sum(classes)
