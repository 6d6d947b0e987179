"""From waveform to power spectrogram, and the filter banks on top: one STFT shared by all features.

Pure NumPy and SciPy, since librosa's first call costs many seconds of compilation; the tests hold
these functions against librosa. What comes after the power takes PyTorch's tensors too, which may lie on a GPU.
"""

import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Literal

import numpy as np
import scipy.fft
import scipy.signal
from pydantic import Field

from fakevoice.core.errors import ConfigError

LOWEST_HZ = 20.0  # that mel bands begin with

Exponent = Literal[1, 2]
Unit = Literal["db", "ln"]
Floor = Annotated[float, Field(ge=1e-30, le=1e6)]
Reference = Annotated[float, Field(ge=1e-30, le=1e9)] | Literal["max"]
TopDb = Annotated[float, Field(gt=0, le=1e4)]


def n_frames(n_samples: int, hop_length: int) -> int:
    """Frames of a centred STFT: one per started hop."""
    return 1 + n_samples // hop_length


@cache
def _window(n_fft: int) -> np.ndarray:
    return scipy.signal.get_window("hann", n_fft).astype(np.float32)


def _frames(waveform: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    padded = np.zeros(len(waveform) + n_fft, np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    shape, step = (n_frames(len(waveform), hop_length), n_fft), padded.strides[0]
    # a tenth of what sliding_window_view takes
    return np.lib.stride_tricks.as_strided(padded, shape, (hop_length * step, step), writeable=False) * _window(n_fft)


def stft(waveform: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Centred, zero-padded STFT with a periodic Hann window.

    Args:
        waveform: (n_samples,) float.

    Returns:
        (n_fft // 2 + 1, n_frames) complex64, as ``librosa.stft`` gives.
    """
    return scipy.fft.rfft(_frames(waveform, n_fft, hop_length), axis=1).T


def istft(spectrogram: np.ndarray, hop_length: int, n_samples: int) -> np.ndarray:
    """Inverse of `stft` by weighted overlap-add (Griffin & Lim 1984, eq. 6).

    Args:
        spectrogram: (n_fft // 2 + 1, n_frames) complex.

    Returns:
        (n_samples,) float32.
    """
    n_fft = 2 * (spectrogram.shape[0] - 1)
    window = _window(n_fft)
    frames = scipy.fft.irfft(spectrogram.T, n=n_fft, axis=1).astype(np.float32) * window  # (n_frames, n_fft)
    weight = _overlap_add(np.broadcast_to(window**2, frames.shape), hop_length)
    waveform = (_overlap_add(frames, hop_length) / np.maximum(weight, 1e-8))[n_fft // 2 :]
    return np.pad(waveform, (0, max(0, n_samples - len(waveform))))[:n_samples]


def _overlap_add(frames: np.ndarray, hop_length: int) -> np.ndarray:
    """Frames (n_frames, n_fft) laid `hop_length` apart and summed, (n_fft + hop_length · (n_frames - 1),) float32.

    A frame is cut into pieces of a hop, and all frames' pieces of the same number are added at once.
    """
    n_frames, n_fft = frames.shape
    n_pieces = -(-n_fft // hop_length)
    total = np.zeros((n_frames + n_pieces - 1, hop_length), np.float32)
    for piece in range(n_pieces):
        part = frames[:, piece * hop_length : (piece + 1) * hop_length]
        total[piece : piece + n_frames, : part.shape[1]] += part
    return total.ravel()[: n_fft + hop_length * (n_frames - 1)]


def power_spectrogram(waveform: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Squared magnitude of the STFT.

    Returns:
        (n_fft // 2 + 1, n_frames) float32.
    """
    spectrum = stft(waveform, n_fft, hop_length)
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


def decibels(power: np.ndarray, floor: float = 1e-10) -> np.ndarray:
    """10·log10 of a power, floored so that silence stays finite; of a tensor on its device."""
    if hasattr(power, "clamp"):
        return 10.0 * power.clamp(min=floor).log10()
    level = np.asarray(np.maximum(power, floor))
    np.log(level, out=level)  # in place, since new arrays cost more than the logarithm; log10 takes four times as long
    level *= 10.0 / np.log(10.0)
    return level


@dataclass(frozen=True)
class Level:
    """How the bands of a filter bank become levels.

    Attributes:
        unit: ``"db"``: 10·log10 of a power, floored, as ``librosa.power_to_db`` (20·log10 of a magnitude, as
            ``librosa.amplitude_to_db``). ``"ln"``: ln(band + floor).
        exponent: of the spectrogram that the filters weigh: 2 is power, 1 magnitude.
        floor: smallest power in dB, or what is added before the natural logarithm.
        reference: power of 0 dB; ``"max"`` is the loudest band of the clip.
        top_db: all that is further below the loudest band of the clip is raised to this distance; None keeps it.

    Raises:
        ConfigError: a floor, reference or distance that is not positive; a reference or distance without dB.
    """

    unit: Unit = "db"
    exponent: Exponent = 2
    floor: float = 1e-10
    reference: Reference = 1.0
    top_db: float | None = None

    def __post_init__(self) -> None:
        if self.floor <= 0:
            raise ConfigError(f"floor {self.floor} must be above 0")
        if self.reference != "max" and self.reference <= 0:
            raise ConfigError(f'reference {self.reference} must be above 0, or "max"')
        if self.top_db is not None and self.top_db <= 0:
            raise ConfigError(f"top_db {self.top_db} must be above 0")
        if self.unit == "ln" and (self.reference != 1.0 or self.top_db is not None):
            raise ConfigError("reference and top_db need unit: db")


POWER_DB = Level()


def band_levels(bank: np.ndarray, power: np.ndarray, level: Level = POWER_DB) -> np.ndarray:
    """Levels of the bands of a filter bank.

    Args:
        bank: (n_bands, n_fft // 2 + 1) float32.
        power: (..., n_fft // 2 + 1, n_frames) float32 power spectrogram, array or tensor.

    Returns:
        (..., n_bands, n_frames) float32.
    """
    bands = project(bank, power if level.exponent == 2 else power**0.5)
    if level.unit == "ln":
        return _library(bands).log(bands + level.floor)
    levels = decibels(bands if level.exponent == 2 else bands**2, level.floor)
    if level.reference == "max":
        levels = levels - _clip_maximum(levels)
    elif level.reference != 1.0:
        levels = levels - float(10 * np.log10(max(level.reference, level.floor)))
    if level.top_db is not None:
        levels = _library(levels).maximum(levels, _clip_maximum(levels) - level.top_db)
    return levels


def _clip_maximum(levels):
    return _library(levels).amax(levels, axis=(-2, -1), keepdims=True)


def with_derivatives(feature: np.ndarray, n_orders: int) -> np.ndarray:
    """A feature and its first time derivatives below, per frame.

    The derivative is half the difference of a frame's neighbours, where the first and last frame are their own
    neighbours: ``librosa.feature.delta(width=3, mode="nearest")``. The second one is the derivative of the first.

    Args:
        feature: (..., n_bands, n_frames) float, array or tensor.
        n_orders: how many derivatives.

    Returns:
        (..., n_bands * (1 + n_orders), n_frames) float.

    Source: Furui, "Speaker-independent isolated word recognition using dynamic features of speech spectrum", 1986.
    """
    xp, orders = _library(feature), [feature]
    for _ in range(n_orders):
        last = orders[-1]
        following = xp.concatenate([last[..., 1:], last[..., -1:]], axis=-1)
        orders.append((following - xp.concatenate([last[..., :1], last[..., :-1]], axis=-1)) / 2)
    return xp.concatenate(orders, axis=-2)


def _library(array):
    """The module whose functions take the array: NumPy, or PyTorch where that made it."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def project(matrix: np.ndarray, array):
    """A filter bank, or another matrix (m, n), times an array or tensor (..., n, n_frames), on its device."""
    return matrix @ array if isinstance(array, np.ndarray) else array.new_tensor(matrix) @ array


def n_fft_of(power) -> int:
    """Of the STFT whose power (..., n_fft // 2 + 1, n_frames) this is."""
    return 2 * (power.shape[-2] - 1)


def _hz_to_mel(frequency_hz: np.ndarray) -> np.ndarray:
    linear = frequency_hz / (200.0 / 3.0)
    logarithmic = 15.0 + np.log(np.maximum(frequency_hz, 1e-9) / 1000.0) / (np.log(6.4) / 27.0)
    return np.where(frequency_hz < 1000.0, linear, logarithmic)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15.0, mel * (200.0 / 3.0), 1000.0 * np.exp((mel - 15.0) * (np.log(6.4) / 27.0)))


@cache
def mel_filter_bank(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Triangular filters on Slaney's mel scale, each of unit area (Slaney, Auditory Toolbox, 1998).

    Returns:
        (n_mels, n_fft // 2 + 1) float32, as ``librosa.filters.mel`` gives.
    """
    edges_hz = _mel_edges_hz(n_mels, fmin_hz, fmax_hz)
    bins_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    rising = (bins_hz[None] - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz[None]) / np.diff(edges_hz)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]).astype(np.float32)


def mel_centres_hz(n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Where each filter of `mel_filter_bank` is highest, (n_mels,) float64."""
    return _mel_edges_hz(n_mels, fmin_hz, fmax_hz)[1:-1]


def _mel_edges_hz(n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    return _mel_to_hz(np.linspace(*_hz_to_mel(np.array([fmin_hz, fmax_hz])), n_mels + 2))


def log_mel(
    power: np.ndarray,
    sample_rate_hz: int,
    n_mels: int,
    fmin_hz: float = LOWEST_HZ,
    fmax_hz: float | None = None,
    level: Level = POWER_DB,
) -> np.ndarray:
    """Level of each mel band.

    Args:
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.
        fmax_hz: upper edge; half the sample rate if None.

    Returns:
        (n_mels, n_frames) float32, read-only.

    Raises:
        ConfigError: the edges leave no room, or there are so many bands that some would be empty.
    """
    return _log_mel(Same(power), sample_rate_hz, n_mels, fmin_hz, fmax_hz or sample_rate_hz / 2, level)


class Same:
    """An array as a key: equal to itself alone."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.array is other.array


@lru_cache(maxsize=1)  # cepstra ask for what was computed a moment ago
def _log_mel(same: Same, sample_rate_hz: int, n_mels: int, fmin_hz: float, fmax_hz: float, level: Level) -> np.ndarray:
    bank = usable_mel_bank(sample_rate_hz, n_fft_of(same.array), n_mels, fmin_hz, fmax_hz)
    mel = band_levels(bank, same.array, level)
    if isinstance(mel, np.ndarray):
        mel.flags.writeable = False  # since it has two readers
    return mel


@cache
def usable_mel_bank(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """`mel_filter_bank`, where it has as many filters as asked for.

    Raises:
        ConfigError: the edges leave no room, or there are so many bands that some would be empty.
    """
    if n_mels < 1:
        raise ConfigError(f"n_mels {n_mels}: at least one band is needed")
    nyquist_hz = sample_rate_hz / 2
    if not 0 <= fmin_hz < fmax_hz <= nyquist_hz:
        raise ConfigError(f"need 0 <= fmin_hz {fmin_hz} < fmax_hz {fmax_hz} <= {nyquist_hz} (half the sample rate)")
    bank = mel_filter_bank(sample_rate_hz, n_fft, n_mels, fmin_hz, fmax_hz)
    if not bank.any(axis=1).all():
        raise ConfigError(
            f"n_mels {n_mels} is too many for this n_fft: some bands are empty; use fewer or a longer n_fft"
        )
    return bank


@cache
def linear_filter_bank(sample_rate_hz: int, n_fft: int, n_filters: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Triangular filters of unit height at equal distances in Hz (Sahidullah et al. 2015, section 2.1).

    Returns:
        (n_filters, n_fft // 2 + 1) float32.

    Raises:
        ConfigError: the edges leave no room, or there are so many filters that some would be empty.
    """
    nyquist_hz = sample_rate_hz / 2
    if not (n_filters >= 1 and 0 <= fmin_hz < fmax_hz <= nyquist_hz):
        raise ConfigError(
            f"need n_filters {n_filters} >= 1 and 0 <= fmin_hz {fmin_hz} < fmax_hz {fmax_hz} <= {nyquist_hz}"
        )
    distance_hz = (fmax_hz - fmin_hz) / (n_filters + 1)
    centres_hz = fmin_hz + distance_hz * np.arange(1, n_filters + 1)
    bins_hz = np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft
    bank = np.maximum(0.0, 1.0 - np.abs(bins_hz[None] - centres_hz[:, None]) / distance_hz)
    if not bank.any(axis=1).all():
        raise ConfigError(f"n_filters {n_filters} is too many for n_fft {n_fft}: some filters are empty")
    return bank.astype(np.float32)


@cache
def dct_matrix(n_coefficients: int, n_bands: int) -> np.ndarray:
    """Orthonormal DCT-II as a matrix, so that a cepstrum is one product.

    Returns:
        (n_coefficients, n_bands) float32.
    """
    return scipy.fft.dct(np.eye(n_bands), type=2, norm="ortho", axis=0)[:n_coefficients].astype(np.float32)


@cache
def pitch_class_bank(sample_rate_hz: int, n_fft: int, tuning: float = 0.0) -> np.ndarray:
    """How much each bin of the STFT counts for each pitch class, C first.

    A bin is shared by the classes that lie within its width; bins count most five octaves above 27.5 Hz (an A),
    and half a deviation less for each octave off.

    Args:
        tuning: of the music against 440 Hz, in semitones.

    Returns:
        (12, n_fft // 2 + 1) float32, as ``librosa.filters.chroma`` gives.

    Source: Ellis, "Chroma feature analysis and synthesis", 2007.
    """
    bins_hz = np.arange(1, n_fft // 2 + 2) * sample_rate_hz / n_fft
    semitone = 12 * np.log2(bins_hz / 27.5) - tuning
    semitone = np.concatenate([[semitone[0] - 18], semitone])  # 0 Hz has no pitch: between two classes, and wide
    width = np.maximum(np.diff(semitone), 1.0)
    semitone = semitone[:-1]  # (n_bins,) above an A, which is the ninth class
    distance = (semitone - 3 - np.arange(12)[:, None] + 6) % 12 - 6
    share = np.exp(-2 * (distance / width) ** 2)
    share /= np.linalg.norm(share, axis=0)
    return (share * np.exp(-((semitone / 12 - 5) ** 2) / 8)).astype(np.float32)


def relative_to_peak(feature: np.ndarray) -> np.ndarray:
    """Each frame of (..., n_bands, n_frames), none negative, over its largest value; a silent frame stays 0."""
    return _over(feature, _library(feature).amax(feature, axis=-2, keepdims=True))


def relative_to_sum(feature: np.ndarray) -> np.ndarray:
    """Each frame of (..., n_bands, n_frames), none negative, over the sum of its values; a silent frame stays 0."""
    return _over(feature, feature.sum(axis=-2, keepdims=True))


def _over(feature, divisor):
    return feature / _library(feature).where(divisor > np.finfo(np.float32).tiny, divisor, 1)
