"""Constant-Q transform in dB: bands a semitone apart, long frames below and short ones above (Brown 1991).

The front end of choice against replayed and converted speech (Todisco et al. 2017).
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fakevoice.audio.constant_q import C1_HZ, bins_that_fit, constant_q
from fakevoice.audio.spectrum import decibels, with_derivatives
from fakevoice.core.config_sections import Width

INPUT = "waveform"
N_OCTAVES = 7


def compute(
    waveform: np.ndarray,
    sample_rate_hz: int,
    *,
    n_bins: Width | None = None,
    fmin_hz: Annotated[float, Field(ge=10, le=96000)] = C1_HZ,
    bins_per_octave: Annotated[int, Field(ge=1, le=240)] = 12,
    hop_length: Width = 256,
    deltas: Literal[0, 1, 2] = 0,
) -> np.ndarray:
    """Squared magnitude of each constant-Q bin in dB, with as many time derivatives below as asked for.

    Args:
        waveform: (n_samples,) float32.
        n_bins: seven octaves, or what fits below half the sample rate, if None.
        hop_length: samples from frame to frame, whatever the hop of the spectrogram.
        deltas: 1 appends the derivative, 2 the second one as well.

    Returns:
        (n_bins * (1 + deltas), 1 + n_samples // hop_length) float32.

    Raises:
        ConfigError: as `constant_q.constant_q`.
    """
    if n_bins is None:
        n_bins = bins_that_fit(sample_rate_hz, fmin_hz, bins_per_octave, N_OCTAVES)
    bins = constant_q(waveform, sample_rate_hz, hop_length, n_bins, fmin_hz, bins_per_octave)
    return with_derivatives(decibels(bins.real**2 + bins.imag**2), deltas)
