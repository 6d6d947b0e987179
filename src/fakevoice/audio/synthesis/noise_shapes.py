"""What the noises share: shaped and slowly wandering noise, impulses, resonances, harmonic stacks."""

from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.signal

MINED, RECORDED = "mined", "recorded"  # kinds of noises of unlabeled clips and of noise files
RECORDED_KINDS = (MINED, RECORDED)  # all others are made by the plug-in of that name


def shaped_noise(
    n_samples: int, sample_rate_hz: int, rng: np.random.Generator, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise of RMS 1 with a drawn spectrum.

    Args:
        gain: frequencies in Hz (from 20 up) → amplitudes.

    Returns:
        (n_samples,) float32.
    """
    length = scipy.fft.next_fast_len(max(n_samples, 1024), real=True)
    frequency_hz = np.maximum(scipy.fft.rfftfreq(length, 1 / sample_rate_hz), 20.0)
    spectrum = scipy.fft.rfft(rng.standard_normal(length, dtype=np.float32)) * gain(frequency_hz).astype(np.float32)
    noise = scipy.fft.irfft(spectrum, n=length)
    return noise[:n_samples] / np.sqrt(np.mean(noise**2))


def band(low_hz: float, high_hz: float) -> Callable[[np.ndarray], np.ndarray]:
    """Gain of a band with slopes of 12 dB per octave on both sides."""
    return lambda hz: 1 / (1 + (low_hz / hz) ** 2 + (hz / high_hz) ** 2)


def slow_curve(
    n_samples: int, sample_rate_hz: int, rng: np.random.Generator, rate_hz: float, low: float, high: float
) -> np.ndarray:
    """A curve that wanders between two bounds, with a new random target `rate_hz` times a second.

    Returns:
        (n_samples,) float64.
    """
    n_targets = int(np.ceil(n_samples / sample_rate_hz * rate_hz)) + 2
    position = np.arange(n_samples) * (rate_hz / sample_rate_hz) + rng.uniform(0, 1)
    return np.interp(position, np.arange(n_targets), rng.uniform(low, high, n_targets))


def impulses(n_samples: int, sample_rate_hz: int, rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    """Single samples of random sign and size at irregular times.

    Returns:
        (n_samples,) float64.
    """
    n_events = rng.poisson(rate_hz * n_samples / sample_rate_hz)
    train = np.zeros(n_samples)
    train[rng.integers(0, n_samples, n_events)] = rng.exponential(1.0, n_events) * rng.choice([-1, 1], n_events)
    return train


def ring(waveform: np.ndarray, sample_rate_hz: int, frequency_hz: float, decay_s: float) -> np.ndarray:
    """Pass a waveform through one resonance, which dies away by 60 dB in about `decay_s`."""
    radius = np.exp(-6.9 / (decay_s * sample_rate_hz))
    angle = 2 * np.pi * min(frequency_hz / sample_rate_hz, 0.45)
    return scipy.signal.lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], waveform)


def harmonics(frequency_hz: np.ndarray, sample_rate_hz: int, amplitudes: np.ndarray) -> np.ndarray:
    """Sum of a fundamental and its overtones, by Horner's rule on the powers of one phasor.

    Args:
        frequency_hz: (n_samples,) float, the fundamental.
        amplitudes: (n_harmonics,) complex, phases included; those above the Nyquist frequency are left out.

    Returns:
        (n_samples,) float32.
    """
    if not len(frequency_hz):
        return np.zeros(0, np.float32)
    n_heard = max(1, int(0.48 * sample_rate_hz / frequency_hz.max()))
    phasor = np.exp(2j * np.pi * np.cumsum(frequency_hz) / sample_rate_hz).astype(np.complex64)
    total = np.zeros_like(phasor)
    for amplitude in amplitudes[:n_heard][::-1].astype(np.complex64):
        total = (total + amplitude) * phasor
    return total.imag


def unit_rms(waveform: np.ndarray) -> np.ndarray:
    """Scale to RMS 1, as float32."""
    return (waveform / np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))).astype(np.float32)
