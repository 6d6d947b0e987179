"""Encode waveforms in memory, by libsndfile."""

import os
import tempfile
from typing import Any

import numpy as np
import soundfile


def encode(waveform: np.ndarray, sample_rate_hz: int, **how: Any) -> bytes:
    """A waveform as the bytes of a file.

    libsndfile gets a descriptor, not a Python object: the exception of a signal that arrives within a callback would be
    ignored, and the bytes would be incomplete.

    Args:
        waveform: (n_samples,) or (n_samples, n_channels).
        how: format, subtype and other options of `soundfile.write`.
    """
    with tempfile.TemporaryFile() as file:
        soundfile.write(os.dup(file.fileno()), waveform, sample_rate_hz, **how)
        file.seek(0)
        return file.read()


def through_codec(waveform: np.ndarray, sample_rate_hz: int, **how: Any) -> np.ndarray:
    """Encode and decode: (n,) float32, which may be longer or shorter than the waveform.

    Args:
        waveform: (n_samples,).
        how: as for `encode`.
    """
    with tempfile.TemporaryFile() as file:
        soundfile.write(os.dup(file.fileno()), waveform, sample_rate_hz, **how)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return soundfile.read(os.dup(file.fileno()), dtype="float32")[0]
