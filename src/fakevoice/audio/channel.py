"""What lies between a mouth and a file: room, microphone, bandwidth, codec, clipping."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal
import soxr

from fakevoice.audio.encode import through_codec
from fakevoice.core.errors import ConfigError, nearest

# name → (libsndfile container, subtype); the mp3 and opus encoders give back the length that they got
CODECS = {
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ulaw": ("WAV", "ULAW"),
    "alaw": ("WAV", "ALAW"),
    "gsm": ("WAV", "GSM610"),
    "adpcm": ("WAV", "IMA_ADPCM"),
    "opus": ("OGG", "OPUS"),
}
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)  # all that the codec knows
EQUALIZER_DB = 8.0  # spread of scenes' equalizers: microphones differ by as much
N_SUPPORT = 8  # points of an equalizer's curve, evenly spaced over log-frequency
FFT_STEP, N_LENGTHS = 4096, 64  # lengths are rounded up, so that what depends on them alone is there already
Gain = Callable[[int], np.ndarray]  # n_fft → (n_fft // 2 + 1,) float32
TELEPHONE_RATE_HZ, TELEPHONE = 8000, ("ulaw", "alaw", "gsm")  # ITU-T G.711, GSM 06.10


def rms(waveform: np.ndarray) -> float:
    """Root mean square; 0 for an empty waveform."""
    waveform = np.asarray(waveform, np.result_type(waveform, np.float32))  # squares may lie beyond float16
    return float(np.sqrt(np.dot(waveform, waveform) / len(waveform))) if len(waveform) else 0.0


def gain(decibel: float) -> float:
    """Amplitude factor of a level change in dB."""
    return float(10.0 ** (decibel / 20.0))


def impulse_response(rt60_s: float, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A room as direct sound, a few early reflections and a decaying noise tail (Polack 1988).

    Args:
        rt60_s: time in which the tail falls by 60 dB.

    Returns:
        (n_taps,) float32; the direct sound is at 0 with amplitude 1.
    """
    n_taps = max(2, int(rt60_s * sample_rate_hz))
    time_s = np.arange(n_taps) / sample_rate_hz
    early = np.exp(-3.0 * time_s / rt60_s)
    tail = rng.standard_normal(n_taps) * np.exp(-6.9 * time_s / rt60_s)
    # Walls swallow high frequencies first: the late part is mixed with a low-passed copy of itself.
    dull = scipy.signal.lfilter([0.3], [1.0, -0.7], tail)
    tail = tail * early + 2.0 * dull * (1 - early)
    tail[: int(0.002 * sample_rate_hz)] = 0.0
    direct_to_reverberant_db = rng.uniform(-3.0, 12.0)
    response = tail * gain(-direct_to_reverberant_db) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    delays = rng.integers(int(0.001 * sample_rate_hz), max(int(0.03 * sample_rate_hz), 40), size=6)
    response[np.minimum(delays, n_taps - 1)] += rng.uniform(-0.4, 0.4, size=6) * gain(-direct_to_reverberant_db / 2)
    response[0] = 1.0
    return response.astype(np.float32)


def reverberate(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve with an impulse response, keep length and level."""
    wet = filtered(waveform, [], response)
    return wet * np.float32(rms(waveform) / max(rms(wet), 1e-9))


def filtered(waveform: np.ndarray, gains: list[Gain], response: np.ndarray | None = None) -> np.ndarray:
    """Pass a waveform through filters without phase, and through a room, by one FFT there and one back.

    Args:
        waveform: (n_samples,) float32.
        gains: of `equalizer` and `band`.
        response: (n_taps,) float32 of the room; None outside.

    Returns:
        (n_samples,) float32.
    """
    length = len(waveform) + (0 if response is None else len(response) - 1)
    n_fft = scipy.fft.next_fast_len(-(-length // FFT_STEP) * FFT_STEP, real=True)
    spectrum = scipy.fft.rfft(waveform.astype(np.float32, copy=False), n_fft)
    for gain_of in gains:
        spectrum *= gain_of(n_fft)
    if response is not None:
        spectrum *= scipy.fft.rfft(response, n_fft)
    return scipy.fft.irfft(spectrum, n_fft, overwrite_x=True)[: len(waveform)]


def equalizer(sample_rate_hz: int, max_db: float, rng: np.random.Generator) -> Gain:
    """A smooth random gain curve over log-frequency: another microphone, another studio.

    Args:
        max_db: standard deviation of the curve's eight support points, in dB, is half of it.
    """
    curve_db = np.clip(rng.normal(0.0, max_db / 2, size=N_SUPPORT), -max_db, max_db)
    curve_db += rng.uniform(-max_db / 2, max_db / 2) * np.linspace(-1, 1, N_SUPPORT)
    curve = (curve_db * (np.log(10) / 20)).astype(np.float32)

    def gain_of(n_fft: int) -> np.ndarray:
        below, share = _between_support(n_fft, sample_rate_hz)
        level = curve[below]
        level += share * np.diff(curve)[below]
        return np.exp(level, out=level)

    return gain_of


def band(sample_rate_hz: int, cutoff_hz: float, low_cut_hz: float) -> Gain:
    """Removes what is above `cutoff_hz` and below `low_cut_hz`, with soft edges a tenth of the cutoff wide."""

    def gain_of(n_fft: int) -> np.ndarray:
        frequency_hz = _bins_hz(n_fft, sample_rate_hz)
        gain = _sigmoid((cutoff_hz - frequency_hz) / (0.02 * cutoff_hz))
        return gain * _sigmoid((frequency_hz - low_cut_hz) / 10.0) if low_cut_hz > 0 else gain

    return gain_of


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip(-x, -50, 50)))


@lru_cache(maxsize=N_LENGTHS)
def _bins_hz(n_fft: int, sample_rate_hz: int) -> np.ndarray:
    return (np.arange(n_fft // 2 + 1) * (sample_rate_hz / n_fft)).astype(np.float32)


@lru_cache(maxsize=N_LENGTHS)
def _between_support(n_fft: int, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """For each bin the support point below it, and how far it lies towards the next one: int, and 0 to 1 float32."""
    support = np.log(np.geomspace(60.0, sample_rate_hz / 2, N_SUPPORT))
    log_hz = np.log(np.maximum(_bins_hz(n_fft, sample_rate_hz), 20.0))
    place = np.interp(log_hz, support, np.arange(N_SUPPORT))
    below = np.minimum(place.astype(int), N_SUPPORT - 2)
    return below, (place - below).astype(np.float32)


def check_codec(name: str) -> None:
    """Raises ConfigError where there is no such codec."""
    if name not in CODECS:
        raise ConfigError(f"no codec {name!r}; {nearest(name, sorted(CODECS))}")


def transcode(waveform: np.ndarray, sample_rate_hz: int, name: str, quality: float = 0.5) -> np.ndarray:
    """Encode and decode in memory.

    Args:
        name: a key of `CODECS`.
        quality: 0 (worst) to 1 (best), used by vorbis alone: libsndfile's mp3 delays at other settings.

    Raises:
        ConfigError: no such codec.
    """
    check_codec(name)
    rate_hz = _codec_rate_hz(name, sample_rate_hz)
    decoded = _through_file(soxr.resample(waveform, sample_rate_hz, rate_hz), rate_hz, name, quality)
    decoded = soxr.resample(decoded, rate_hz, sample_rate_hz)[: len(waveform)]  # without effect at equal rates
    return np.pad(decoded, (0, len(waveform) - len(decoded)))


def _codec_rate_hz(name: str, sample_rate_hz: int) -> int:
    """The rate at which a codec works: a telephone's own, one that opus knows, else the recording's."""
    if name in TELEPHONE:
        return TELEPHONE_RATE_HZ
    return OPUS_RATES_HZ[-1] if name == "opus" and sample_rate_hz not in OPUS_RATES_HZ else sample_rate_hz


def _through_file(waveform: np.ndarray, sample_rate_hz: int, name: str, quality: float) -> np.ndarray:
    container, subtype = CODECS[name]
    options = {"compression_level": 1.0 - quality} if name == "vorbis" else {}
    return through_codec(np.clip(waveform, -1.0, 1.0), sample_rate_hz, format=container, subtype=subtype, **options)


def clip(waveform: np.ndarray, fraction: float) -> np.ndarray:
    """Clip at the level that `fraction` of the samples exceed."""
    limit = float(np.quantile(np.abs(waveform), 1.0 - fraction))
    return np.clip(waveform, -limit, limit) if limit > 0 else waveform
