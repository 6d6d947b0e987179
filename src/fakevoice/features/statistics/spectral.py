"""Colour and level: centroid, bandwidth, roll-off, flatness, contrast, crossings, RMS (Tzanetakis & Cook 2002)."""

import numpy as np

from fakevoice.audio.timbre import contrast_db, crossing_rate, flatness, rms, spectral_shape


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Mean and standard deviation over the frames of what `timbre` finds in each.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram; crossings and RMS are of frames as long.
    """
    n_fft = 2 * (len(power) - 1)
    facts = spectral_shape(power, sample_rate_hz) | {"flatness": flatness(power)}
    facts |= {f"contrast_{band}_db": row for band, row in enumerate(contrast_db(power, sample_rate_hz))}
    facts["crossing_rate"] = crossing_rate(waveform, n_fft, hop_length)
    facts["rms"] = rms(waveform, n_fft, hop_length)
    means = {f"spectral_{name}_mean": float(frames.mean()) for name, frames in facts.items()}
    return means | {f"spectral_{name}_std": float(frames.std()) for name, frames in facts.items()}
