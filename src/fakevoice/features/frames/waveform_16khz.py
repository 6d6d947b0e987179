"""The samples at 16 kHz, for networks that were pretrained or published at this rate, whatever the run's rate is."""

import numpy as np

from fakevoice.audio.read import resample
from fakevoice.core.models import SAMPLE_RATE_HZ

INPUT = "waveform"


def compute(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """One band whose frames are the samples.

    Args:
        waveform: (n_samples,) float32.

    Returns:
        (1, n_samples at 16 kHz) float32.
    """
    if sample_rate_hz != SAMPLE_RATE_HZ:
        waveform = resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ)
    return waveform[None].astype(np.float32, copy=False)
