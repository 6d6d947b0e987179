"""Chroma: how strong each of the twelve pitch classes is, all octaves together (Ellis 2007)."""

import numpy as np

from fakevoice.audio.spectrum import n_fft_of, pitch_class_bank, project, relative_to_peak

TAKES_TENSORS = True


def compute(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Power of each pitch class, over that of the frame's strongest one.

    Args:
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.

    Returns:
        (..., 12, n_frames) float32 from 0 to 1, C first; 0 where the frame is silent.
    """
    return relative_to_peak(project(pitch_class_bank(sample_rate_hz, n_fft_of(power)), power))
