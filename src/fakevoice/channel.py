"""What lies between a mouth and a file: room, microphone, bandwidth, codec, clipping."""

import io

import numpy as np
import scipy.fft
import scipy.signal
import soundfile as sf
import soxr

from fakevoice.errors import ConfigError, nearest

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
TELEPHONE_RATE_HZ, TELEPHONE = 8000, ("ulaw", "alaw", "gsm")  # ITU-T G.711, GSM 06.10


def rms(waveform: np.ndarray) -> float:
    """Root mean square; 0 for an empty waveform."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0


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
    tail = rng.standard_normal(n_taps) * np.exp(-6.9 * time_s / rt60_s)
    # Walls swallow high frequencies first: the late part is mixed with a low-passed copy of itself.
    dull = scipy.signal.lfilter([0.3], [1.0, -0.7], tail)
    tail = tail * np.exp(-3.0 * time_s / rt60_s) + 2.0 * dull * (1 - np.exp(-3.0 * time_s / rt60_s))
    tail[: int(0.002 * sample_rate_hz)] = 0.0
    direct_to_reverberant_db = rng.uniform(-3.0, 12.0)
    response = tail * gain(-direct_to_reverberant_db) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    delays = rng.integers(int(0.001 * sample_rate_hz), max(int(0.03 * sample_rate_hz), 40), size=6)
    response[np.minimum(delays, n_taps - 1)] += rng.uniform(-0.4, 0.4, size=6) * gain(-direct_to_reverberant_db / 2)
    response[0] = 1.0
    return response.astype(np.float32)


def reverberate(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve with an impulse response, keep length and level."""
    wet = scipy.signal.fftconvolve(waveform, response)[: len(waveform)]
    return (wet * (rms(waveform) / max(rms(wet), 1e-9))).astype(np.float32)


def _filtered(waveform: np.ndarray, response_of_hz, sample_rate_hz: int) -> np.ndarray:
    n_fft = scipy.fft.next_fast_len(len(waveform), real=True)
    spectrum = scipy.fft.rfft(waveform, n_fft)
    frequency_hz = np.arange(len(spectrum)) * sample_rate_hz / n_fft
    return scipy.fft.irfft(spectrum * response_of_hz(frequency_hz), n_fft)[: len(waveform)].astype(np.float32)


def equalize(waveform: np.ndarray, sample_rate_hz: int, max_db: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random gain curve over log-frequency: another microphone, another studio.

    Args:
        max_db: standard deviation of the curve's eight support points, in dB, is half of it.
    """
    support_hz = np.geomspace(60.0, sample_rate_hz / 2, 8)
    curve_db = np.clip(rng.normal(0.0, max_db / 2, size=8), -max_db, max_db)
    tilt_db = rng.uniform(-max_db / 2, max_db / 2) * np.linspace(-1, 1, 8)

    def response(frequency_hz: np.ndarray) -> np.ndarray:
        log_hz = np.log(np.maximum(frequency_hz, 20.0))
        return 10.0 ** (np.interp(log_hz, np.log(support_hz), curve_db + tilt_db) / 20.0)

    return _filtered(waveform, response, sample_rate_hz)


def band_limit(waveform: np.ndarray, sample_rate_hz: int, cutoff_hz: float, low_cut_hz: float) -> np.ndarray:
    """Remove what is above `cutoff_hz` and below `low_cut_hz`, with soft edges a tenth of the cutoff wide."""

    def response(frequency_hz: np.ndarray) -> np.ndarray:
        upper = 1.0 / (1.0 + np.exp(np.clip((frequency_hz - cutoff_hz) / (0.02 * cutoff_hz), -50, 50)))
        lower = 1.0 / (1.0 + np.exp(np.clip((low_cut_hz - frequency_hz) / 10.0, -50, 50))) if low_cut_hz > 0 else 1.0
        return upper * lower

    return _filtered(waveform, response, sample_rate_hz)


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
    file = io.BytesIO()
    sf.write(file, np.clip(waveform, -1.0, 1.0), sample_rate_hz, format=container, subtype=subtype, **options)
    file.seek(0)
    return sf.read(file, dtype="float32")[0]


def clip(waveform: np.ndarray, fraction: float) -> np.ndarray:
    """Clip at the level that `fraction` of the samples exceed."""
    limit = float(np.quantile(np.abs(waveform), 1.0 - fraction))
    return np.clip(waveform, -limit, limit) if limit > 0 else waveform
