"""Magnitudes kept, phases made up: what a network sounds like that models no phase."""

import numpy as np
import scipy.fft

from fakevoice.audio import spectrum
from fakevoice.audio.pitch import f0_contour, frame_size, match_level, pulse_train


def resynthesize(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Turn the phases of a voice towards artificial ones, by a drawn strength.

    The artificial phases are those of in-phase harmonics, the same with the minimum phase of the
    envelope, zero in each frame, or random.

    Args:
        waveform: (n_samples,) float.
        rng: draws frame length, kind of phase and strength.

    Returns:
        (n_samples,) float32 at the input's RMS.
    """
    n_fft = frame_size(sample_rate_hz) // int(rng.choice([1, 2]))
    hop_length = n_fft // 4
    original = spectrum.stft(waveform, n_fft, hop_length)
    magnitude = np.abs(original)
    make_phase = PHASES[rng.integers(len(PHASES))]
    artificial = make_phase(waveform, magnitude, sample_rate_hz, hop_length, rng)
    strength = rng.uniform(0.6, 1.0)
    turned = (1 - strength) * original + strength * magnitude * artificial
    flattened = magnitude * _direction(turned)
    return match_level(waveform, spectrum.istft(flattened, hop_length, len(waveform)))


def _direction(spectrogram: np.ndarray) -> np.ndarray:
    """Unit phasors of a complex spectrogram; 1 where it is 0."""
    magnitude = np.abs(spectrogram)
    return np.where(magnitude > 1e-20, spectrogram / np.maximum(magnitude, 1e-20), 1.0)


def _synchronous(
    waveform: np.ndarray, magnitude: np.ndarray, sample_rate_hz: int, hop_length: int, rng: np.random.Generator
) -> np.ndarray:
    """Phases of a pulse train at the voice's pitch; random where it is unvoiced."""
    n_fft = 2 * (len(magnitude) - 1)
    f0_hz, _ = f0_contour(waveform, sample_rate_hz, hop_length)
    pulses = pulse_train(f0_hz, sample_rate_hz, hop_length, len(waveform))
    return _direction(spectrum.stft(pulses + 1e-2 * rng.standard_normal(len(pulses)), n_fft, hop_length))


def _minimum(
    waveform: np.ndarray, magnitude: np.ndarray, sample_rate_hz: int, hop_length: int, rng: np.random.Generator
) -> np.ndarray:
    """Pulse-synchronous phases plus the minimum phase that belongs to the smoothed magnitude."""
    cepstrum = scipy.fft.irfft(np.log(magnitude + 1e-4 * magnitude.max() + 1e-20), axis=0)
    n_kept = max(2, int(0.002 * sample_rate_hz))
    cepstrum[1:n_kept] *= 2  # folding the cepstrum to its causal half makes the phase minimal
    cepstrum[n_kept:] = 0
    phase = scipy.fft.rfft(cepstrum, axis=0).imag
    return _synchronous(waveform, magnitude, sample_rate_hz, hop_length, rng) * np.exp(1j * phase)


def _zero(
    waveform: np.ndarray, magnitude: np.ndarray, sample_rate_hz: int, hop_length: int, rng: np.random.Generator
) -> np.ndarray:
    """A pulse in the middle of each frame, drawn a little off it."""
    delay = rng.uniform(-0.1, 0.1) * len(magnitude)  # in samples around the middle
    ramp = np.arange(len(magnitude)) * (1 + delay / len(magnitude))  # the middle is at half a turn per bin
    return np.exp(-1j * np.pi * ramp)[:, None]


def _random(
    waveform: np.ndarray, magnitude: np.ndarray, sample_rate_hz: int, hop_length: int, rng: np.random.Generator
) -> np.ndarray:
    """The phases of white noise: consistent between frames, blind to the voice."""
    noise = rng.standard_normal(len(waveform))
    return _direction(spectrum.stft(noise, 2 * (len(magnitude) - 1), hop_length))


PHASES = (_synchronous, _minimum, _zero, _random)
