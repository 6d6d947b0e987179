"""Synthetic speakers that babble: a glottal source through a moving vocal tract, no word of any language."""

from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.signal

from fakevoice.audio import spectrum

SAMPLE_RATE_HZ = 16_000
N_FFT, HOP_LENGTH = 512, 128
# First three formants of ten vowels of adult males: Peterson & Barney, JASA 1952, table II.
VOWELS_HZ = np.array([
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
    (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
])  # fmt: skip


class Speaker(NamedTuple):
    """What stays the same in all utterances of one voice."""

    f0_hz: float
    tract_scale: float  # formants relative to an adult male
    open_quotient: float  # share of a period in which the glottis is open: the voice's tilt
    breath: float  # aspiration relative to the pulses
    jitter: float  # relative, from one period to the next
    shimmer: float
    phones_per_s: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """Somebody new, from a tall man to a child."""
    tallness = rng.uniform(-1, 1)  # long tracts go with low voices, loosely
    return Speaker(
        f0_hz=150 * 2 ** (-0.6 * tallness + rng.uniform(-0.25, 0.25)),
        tract_scale=1.1 - 0.12 * tallness + rng.uniform(-0.04, 0.04),
        open_quotient=rng.uniform(0.45, 0.8),
        breath=10 ** rng.uniform(-2.0, -1.0),
        jitter=rng.uniform(0.005, 0.02),
        shimmer=rng.uniform(0.02, 0.1),
        phones_per_s=rng.uniform(7, 13),
    )


def speak(speaker: Speaker, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Babble by a source-filter model: glottal pulses and turbulence through moving resonances.

    Returns:
        (n_samples,) float32 of RMS 1.

    Source:
        Fant, "Acoustic theory of speech production", 1960; Klatt, JASA 1980, for the synthesis.
    """
    n_samples = int(duration_s * SAMPLE_RATE_HZ)
    formants_hz, voicing, friction, hiss_hz = _articulation(speaker, spectrum.n_frames(n_samples, HOP_LENGTH), rng)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    turbulence = spectrum.stft(0.1 * rng.standard_normal(n_samples), N_FFT, HOP_LENGTH)
    hiss = np.exp(-0.5 * ((bins_hz[:, None] - hiss_hz) / 1300.0) ** 2)
    pulses = spectrum.stft(_glottis(speaker, n_samples, rng), N_FFT, HOP_LENGTH)
    voice = pulses * _tract(formants_hz, bins_hz) * voicing + turbulence * hiss * friction
    waveform = spectrum.istft(voice, HOP_LENGTH, n_samples)
    return waveform / (np.sqrt(np.mean(waveform**2)) + np.float32(1e-12))


def record(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same microphone for real and fake: a faint hiss, a drawn level, no clipping.

    Args:
        waveform: (n_samples,) at any level.

    Returns:
        (n_samples,) with a peak of at most 0.95.
    """
    waveform = waveform / (np.sqrt(np.mean(waveform**2)) + 1e-12)
    waveform = waveform + 10 ** rng.uniform(-3.5, -2.5) * rng.standard_normal(len(waveform))
    waveform *= 10 ** rng.uniform(-1.6, -0.9)
    return waveform * min(1.0, 0.95 / np.abs(waveform).max())


def _articulation(
    speaker: Speaker, n_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tracks of a random string of vowels, fricatives and pauses, blurred as a tongue moves.

    Returns:
        formants_hz (3, n_frames); voicing, friction and hiss_hz, each (n_frames,).
    """
    frames_per_phone = SAMPLE_RATE_HZ / HOP_LENGTH / speaker.phones_per_s
    length = np.maximum(4, frames_per_phone * rng.lognormal(0.0, 0.4, n_frames)).astype(int)
    n_phones = int(np.searchsorted(np.cumsum(length), n_frames)) + 1
    kind = rng.choice(["vowel", "voiced hiss", "hiss", "pause"], n_phones, p=[0.6, 0.1, 0.2, 0.1])
    phones = np.column_stack(
        [
            VOWELS_HZ[rng.integers(len(VOWELS_HZ), size=n_phones)] * speaker.tract_scale,
            np.select([kind == "vowel", kind == "voiced hiss"], [rng.uniform(0.5, 1.0, n_phones), 0.15], 0.0),
            np.where(np.char.find(kind, "hiss") >= 0, rng.uniform(0.1, 0.6, n_phones), 0.0),
            rng.uniform(2500, 6500, n_phones),
        ]
    )
    tracks = np.repeat(phones, length[:n_phones], axis=0)[:n_frames].T  # (6, n_frames)
    tracks[:3] = scipy.ndimage.gaussian_filter1d(tracks[:3], 4.0, axis=1)
    tracks[3:] = scipy.ndimage.gaussian_filter1d(tracks[3:], 1.5, axis=1)
    return tracks[:3], tracks[3], tracks[4], tracks[5]


def _glottis(speaker: Speaker, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Derivative of the airflow through the glottis, with aspiration while it is open: (n_samples,).

    Source:
        Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels", JASA 1971, pulse C.
    """
    time_s = np.arange(2 * n_samples) / (2 * SAMPLE_RATE_HZ)  # twice the rate keeps the aliases of the edges low
    knots_s = np.arange(0, time_s[-1] + 0.5, 0.25)
    melody = 2 ** (rng.normal(0.0, 0.15, len(knots_s)) - 0.06 * knots_s)
    phase = np.cumsum(speaker.f0_hz * np.interp(time_s, knots_s, melody)) / (2 * SAMPLE_RATE_HZ)
    n_periods = int(phase[-1]) + 2
    phase += np.interp(phase, np.arange(n_periods + 1), rng.normal(0.0, speaker.jitter, n_periods + 1))
    period = np.clip(np.floor(phase), 0, n_periods).astype(int)
    closing, opened = 0.67 * speaker.open_quotient, speaker.open_quotient
    within = phase - np.floor(phase)
    rise = 0.5 - 0.5 * np.cos(np.pi * within / closing)
    fall = np.cos(0.5 * np.pi * (within - closing) / (opened - closing))
    flow = np.select([within < closing, within < opened], [rise, fall], 0.0)
    flow *= rng.normal(1.0, speaker.shimmer, n_periods + 1)[period]
    breath = speaker.breath * rng.standard_normal(len(flow)) * (0.2 + flow)
    return scipy.signal.resample_poly(np.diff(flow, prepend=0.0) + breath, 1, 2)


def _tract(formants_hz: np.ndarray, bins_hz: np.ndarray) -> np.ndarray:
    """Response (n_bins, n_frames) complex64 of resonances in a row; those above the third stand still."""
    scale = np.mean(formants_hz[2]) / 2500
    upper_hz = np.arange(3500, SAMPLE_RATE_HZ / 2 / scale - 200, 1000) * scale
    delay = np.exp(-2j * np.pi * bins_hz / SAMPLE_RATE_HZ).astype(np.complex64)[:, None]
    response = np.ones((len(bins_hz), formants_hz.shape[1]), np.complex64)
    for centre_hz in (*formants_hz, *upper_hz):
        bandwidth_hz = 60 + 0.03 * np.mean(centre_hz)
        radius = np.float32(np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ))
        turn = np.float32(2 * radius * np.cos(2 * np.pi * centre_hz / SAMPLE_RATE_HZ))
        response *= (1 - turn + radius**2) / (1 - delay * (turn - radius**2 * delay))
    return response
