"""Where the pitch lies and how it moves: generated voices may be too flat, or too steady (Boersma 1993)."""

import numpy as np

from fakevoice.audio.pitch import f0_contour


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Median, spread, range and slope of the pitch, share of voiced frames, and the mean step between two of them.

    All but the median are in semitones, in which voices high and low move alike; a clip without a pitch has 0 in each.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames); not looked at, since pitch asks for longer frames.
    """
    f0_hz, _ = f0_contour(waveform, sample_rate_hz, hop_length)
    voiced = np.flatnonzero(f0_hz)
    contour = np.full(max(1, len(voiced)), 0.0)
    contour[: len(voiced)] = 12 * np.log2(f0_hz[voiced])
    low, high = np.percentile(contour, [5, 95])
    step = np.abs(np.diff(contour))[np.diff(voiced) == 1]
    return {
        "pitch_median_hz": float(np.median(f0_hz[voiced])) if len(voiced) else 0.0,
        "pitch_spread_semitones": float(contour.std()),
        "pitch_range_semitones": float(high - low),
        "pitch_slope_semitones_per_s": _slope(voiced * hop_length / sample_rate_hz, contour),
        "pitch_voiced_share": len(voiced) / len(f0_hz),
        "pitch_step_semitones": float(step.mean()) if len(step) else 0.0,
    }


def _slope(time_s: np.ndarray, contour: np.ndarray) -> float:
    """Of the line through the contour by least squares."""
    if len(time_s) < 2:
        return 0.0
    centred_s = time_s - time_s.mean()
    return float(centred_s @ contour / (centred_s @ centred_s))
