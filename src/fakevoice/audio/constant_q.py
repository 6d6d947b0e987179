"""The constant-Q transform (Brown 1991): each bin has a frame of its own length, and all are equally sharp in pitch.

Computed in the frequency domain (Brown & Puckette 1992), at the full rate: one FFT of the waveform, and for each bin
a product with the few frequencies where its kernel is not silent. To keep every hop-th sample only is to fold that
product onto as many frequencies as there are frames, and the inverse FFT has that length.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.special

from fakevoice.audio.spectrum import n_frames
from fakevoice.core.errors import ConfigError

C1_HZ = 440.0 * 2 ** (-45 / 12)
HANN_BANDWIDTH = 1.5  # of the window's equivalent rectangle, in bins of its own length
SIDE_LOBES, EXACTNESS = 15.0, 1e-4  # a kernel is cut so many bins off its centre, where Hann has fallen that low


def bins_that_fit(sample_rate_hz: int, fmin_hz: float, bins_per_octave: int, n_octaves: int) -> int:
    """Bins of so many octaves, or those of them that lie below half the sample rate; at least one.

    Raises:
        ConfigError: the lowest frequency or the number of octaves or bins is not positive.
    """
    if fmin_hz <= 0 or bins_per_octave < 1 or n_octaves < 1:
        raise ConfigError(f"need fmin_hz {fmin_hz}, bins_per_octave {bins_per_octave}, n_octaves {n_octaves} > 0")
    edge_hz = fmin_hz * _reach(bins_per_octave)
    n_below = 1 + int(bins_per_octave * np.log2(max(sample_rate_hz / 2 / edge_hz, 1.0)))
    return min(n_octaves * bins_per_octave, n_below)


def constant_q(
    waveform: np.ndarray,
    sample_rate_hz: int,
    hop_length: int,
    n_bins: int,
    fmin_hz: float = C1_HZ,
    bins_per_octave: int = 12,
) -> np.ndarray:
    """Constant-Q transform of the zero-padded waveform, frame m centred on sample ``m * hop_length``.

    Bin k is the mean of its frame's samples, weighted by a Hann window and turned by its frequency, times the square
    root of the frame's length. Whatever lies 15 bins of that length or more off the frequency is left out; a sound
    there would be 80 dB under one in tune. So what is 80 dB under the loudest bin of a clip may be of its making.

    Args:
        waveform: (n_samples,) float.

    Returns:
        (n_bins, 1 + n_samples // hop_length) complex64, as ``librosa.cqt`` gives, which resamples and so is less exact.

    Raises:
        ConfigError: bins that reach beyond half the sample rate, or a number that must be positive and is not.

    Source: Brown & Puckette, "An efficient algorithm for the calculation of a constant Q transform", JASA 1992; length
    and scale of a frame as ``librosa.filters.wavelet_lengths`` and ``librosa.cqt(norm=1, scale=True)``.
    """
    if n_bins < 1 or fmin_hz <= 0 or bins_per_octave < 1 or hop_length < 1:
        raise ConfigError(
            f"need n_bins {n_bins}, fmin_hz {fmin_hz}, bins_per_octave {bins_per_octave}, hop_length {hop_length} > 0"
        )
    top_hz = fmin_hz * 2 ** ((n_bins - 1) / bins_per_octave) * _reach(bins_per_octave)
    if top_hz > sample_rate_hz / 2:
        raise ConfigError(
            f"n_bins {n_bins} from fmin_hz {fmin_hz:g} reach up to {top_hz:.0f} Hz, beyond half the sample rate "
            f"({sample_rate_hz / 2:g} Hz); use fewer or lower ones"
        )
    lengths = _quality(bins_per_octave) * sample_rate_hz / _centres_hz(n_bins, fmin_hz, bins_per_octave)
    n_padded = len(waveform) + int(lengths[0] / 2) + 1  # what reaches beyond either end meets zeros, not the other end
    n_folded = scipy.fft.next_fast_len(-(-n_padded // hop_length))
    spectrum = scipy.fft.fft(waveform.astype(np.float32, copy=False), n_folded * hop_length)
    folded = np.empty((n_bins, n_folded), np.complex64)
    kernels = _kernels(sample_rate_hz, len(spectrum), n_bins, fmin_hz, bins_per_octave)
    for row, (first, response) in zip(folded, kernels, strict=True):
        row[:] = _fold(spectrum.take(np.arange(first, first + len(response)), mode="wrap") * response, first, n_folded)
    frames = scipy.fft.ifft(folded, axis=1)[:, : n_frames(len(waveform), hop_length)]
    return frames * (np.sqrt(lengths) / hop_length)[:, None].astype(np.float32)


def _quality(bins_per_octave: int) -> float:
    """Centre frequency over bandwidth, where neighbouring bins touch."""
    ratio = 2 ** (2 / bins_per_octave)
    return (ratio + 1) / (ratio - 1)


def _reach(bins_per_octave: int) -> float:
    """Upper edge of a bin over its centre frequency."""
    return 1 + HANN_BANDWIDTH / 2 / _quality(bins_per_octave)


def _centres_hz(n_bins: int, fmin_hz: float, bins_per_octave: int) -> np.ndarray:
    return fmin_hz * 2 ** (np.arange(n_bins) / bins_per_octave)


@lru_cache(maxsize=8)
def _kernels(
    sample_rate_hz: int, n_fft: int, n_bins: int, fmin_hz: float, bins_per_octave: int
) -> list[tuple[int, np.ndarray]]:
    """For each bin the first FFT bin where its kernel is not silent, and the real spectrum of the kernel from there."""
    kernels = []
    for centre_hz in _centres_hz(n_bins, fmin_hz, bins_per_octave):
        length = 2 * int(_quality(bins_per_octave) * sample_rate_hz / centre_hz / 2) + 1  # odd, so that it has a middle
        n_kept = min(n_fft, int(2 * SIDE_LOBES * n_fft / length))
        first = round(centre_hz * n_fft / sample_rate_hz - n_kept / 2)
        angle = 2 * np.pi * (np.arange(first, first + n_kept) / n_fft - centre_hz / sample_rate_hz)
        kernels.append((first, _hann_spectrum(angle, length)))
    return kernels


def _hann_spectrum(angle: np.ndarray, length: int) -> np.ndarray:
    """Spectrum of a Hann window with its peak at sample 0, 1 at angle 0: three Dirichlet kernels side by side."""
    step = 2 * np.pi / length
    sides = scipy.special.diric(angle - step, length) + scipy.special.diric(angle + step, length)
    return (scipy.special.diric(angle, length) + sides / 2).astype(np.float32)


def _fold(product: np.ndarray, first: int, n_folded: int) -> np.ndarray:
    """Add up all frequencies that are the same after decimation: (n_folded,)."""
    start = first % n_folded
    padded = np.zeros(-(-(start + len(product)) // n_folded) * n_folded, product.dtype)
    padded[start : start + len(product)] = product
    return padded.reshape(-1, n_folded).sum(axis=0)
