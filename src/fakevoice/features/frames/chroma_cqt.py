"""Chroma from a constant-Q transform, whose bins are pitches as they are (Ellis 2007; Brown 1991)."""

from typing import Annotated

import numpy as np
from pydantic import Field

from fakevoice.audio.constant_q import C1_HZ, EXACTNESS, bins_that_fit, constant_q
from fakevoice.audio.spectrum import relative_to_peak
from fakevoice.core.config_sections import Width
from fakevoice.core.errors import ConfigError

INPUT = "waveform"


def compute(
    waveform: np.ndarray,
    sample_rate_hz: int,
    *,
    n_octaves: Annotated[int, Field(ge=1, le=20)] = 7,
    fmin_hz: Annotated[float, Field(ge=10, le=96000)] = C1_HZ,
    bins_per_octave: Annotated[int, Field(ge=1, le=240)] = 36,
    hop_length: Width = 256,
) -> np.ndarray:
    """Magnitude of each pitch class, summed over the octaves, over that of the frame's strongest one.

    What is 80 dB under the loudest bin of the clip counts as silence.

    Args:
        waveform: (n_samples,) float32.
        n_octaves: fewer where they do not fit below half the sample rate.
        bins_per_octave: a multiple of 12; those nearest to a semitone make it up.
        hop_length: samples from frame to frame, whatever the hop of the spectrogram.

    Returns:
        (12, 1 + n_samples // hop_length) float32 from 0 to 1, C first; 0 where the frame is silent.

    Raises:
        ConfigError: another number of bins per octave, or as `constant_q.constant_q`.
    """
    if bins_per_octave < 12 or bins_per_octave % 12:
        raise ConfigError(f"chroma_cqt: bins_per_octave {bins_per_octave} must be a multiple of 12")
    n_bins = bins_that_fit(sample_rate_hz, fmin_hz, bins_per_octave, n_octaves)
    magnitude = np.abs(constant_q(waveform, sample_rate_hz, hop_length, n_bins, fmin_hz, bins_per_octave))
    magnitude[magnitude < EXACTNESS * magnitude.max()] = 0.0  # else silent frames would show what leaks into them
    above_lowest = np.floor(np.arange(n_bins) * 12 / bins_per_octave + 0.5)  # a bin between two semitones: the upper
    semitone = round(12 * np.log2(fmin_hz / C1_HZ)) + above_lowest
    is_of_class = np.arange(12)[:, None] == semitone % 12  # (12, n_bins)
    return relative_to_peak(is_of_class.astype(np.float32) @ magnitude)
