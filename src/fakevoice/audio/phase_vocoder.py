"""Changes how long a sound lasts, and leaves its frequencies where they are."""

import numpy as np

from fakevoice.audio import spectrum


def stretch(waveform: np.ndarray, rate: float, n_fft: int) -> np.ndarray:
    """Play a waveform `rate` times as fast at the same pitch.

    Magnitudes are read between the frames. Phases go on by what each bin turned from frame to frame, which is
    the frequency that sounded there; around each peak of the spectrum they then lie to one another as they
    did, since bins that hold one tone would otherwise drift apart and cancel.

    Args:
        waveform: (n_samples,) float.
        rate: 2 is twice as fast, half as long.
        n_fft: samples of a frame, divisible by 4; several periods of the lowest sound.

    Returns:
        (n_samples / rate, rounded, at least 1) float32.

    Source:
        Flanagan & Golden, "Phase vocoder", Bell System Technical Journal 1966; Laroche & Dolson, "Improved phase
        vocoder time-scale modification of audio", IEEE TSAP 1999 (identity phase locking).
    """
    hop_length = n_fft // 4
    frames = spectrum.stft(waveform, n_fft, hop_length)  # (n_bins, n_frames)
    position = np.arange(0, frames.shape[1], rate)
    frames = np.pad(frames, ((0, 0), (0, 1)))  # the last frame dies away
    left = position.astype(int)
    weight = (position - left).astype(np.float32)
    magnitude, angle = np.abs(frames), np.angle(frames)
    peak = _nearest_peak(magnitude)[:, left]
    turned = _accumulated(angle, left, hop_length) - angle[:, left]
    phase = angle[:, left] + np.take_along_axis(turned, peak, axis=0)
    between = (1 - weight) * magnitude[:, left] + weight * magnitude[:, left + 1]
    return spectrum.istft(between * np.exp(1j * phase), hop_length, max(1, round(len(waveform) / rate)))


def _accumulated(angle: np.ndarray, left: np.ndarray, hop_length: int) -> np.ndarray:
    """Phases (n_bins, len(left)) float64 that begin with those of the first frame."""
    n_fft = 2 * (len(angle) - 1)
    expected = 2 * np.pi * hop_length / n_fft * np.arange(len(angle))[:, None]  # turn of a bin's centre per hop
    deviation = angle[:, left + 1] - angle[:, left] - expected
    turn = expected + deviation - 2 * np.pi * np.round(deviation / (2 * np.pi))
    before = np.cumsum(turn[:, :-1], axis=1, dtype=np.float64)
    return angle[:, :1] + np.pad(before, ((0, 0), (1, 0)))


def _nearest_peak(magnitude: np.ndarray) -> np.ndarray:
    """For each bin of (n_bins, n_frames) the nearest one that is louder than two on either side."""
    n_bins = len(magnitude)
    padded, bins = np.pad(magnitude, ((2, 2), (0, 0)), constant_values=-1.0), np.arange(n_bins)[:, None]
    is_peak = np.all([magnitude >= padded[start : start + n_bins] for start in (0, 1, 3, 4)], axis=0)
    below = np.maximum.accumulate(np.where(is_peak, bins, -2 * n_bins), axis=0)
    above = np.minimum.accumulate(np.where(is_peak, bins, 3 * n_bins)[::-1], axis=0)[::-1]
    return np.where(bins - below <= above - bins, below, above)
