"""The samples themselves, for networks that learn their own front end (Jung et al. 2022)."""

import numpy as np

INPUT = "waveform"


def compute(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """One band whose frames are the samples.

    Args:
        waveform: (n_samples,) float32.

    Returns:
        (1, n_samples) float32.
    """
    return waveform[None].astype(np.float32, copy=False)
