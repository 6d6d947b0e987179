"""LPC vocoder: all-pole filters excited by bare pulses and noise, the classic buzz."""

import numpy as np
import scipy.fft

from fakevoice.audio import spectrum
from fakevoice.audio.linear_prediction import levinson
from fakevoice.audio.pitch import f0_contour, frame_size, match_level, pulse_train, unit_power


def resynthesize(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Replace a voice's excitation by a pulse train at its pitch mixed with noise.

    Args:
        waveform: (n_samples,) float.
        rng: draws filter order, frame rate, bandwidth widening, and the share of noise.

    Returns:
        (n_samples,) float32 at the input's RMS.

    Source:
        Atal & Hanauer, "Speech analysis and synthesis by linear prediction", JASA 1971.
    """
    n_fft = frame_size(sample_rate_hz) // 2
    hop_length = n_fft // int(rng.choice([3, 4, 5]))
    order = int(sample_rate_hz / 1000 * rng.uniform(0.9, 1.4)) + 2
    filters, gain = _all_pole_filters(spectrum.power_spectrogram(waveform, n_fft, hop_length), order, rng)
    excitation = _excitation(waveform, sample_rate_hz, n_fft, hop_length, rng)
    return match_level(waveform, spectrum.istft(excitation * filters * gain, hop_length, len(waveform)))


def _all_pole_filters(power: np.ndarray, order: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frequency responses (n_bins, n_frames) complex of 1 / A, and gains (n_frames,) of the residual."""
    n_fft = 2 * (len(power) - 1)
    order = min(order, n_fft // 2)
    correlation = scipy.fft.irfft(power.T, axis=1)[:, : order + 1].astype(np.float64)  # (n_frames, order + 1)
    correlation[:, 0] = correlation[:, 0] * (1 + 1e-5) + 1e-30  # a noise floor keeps the recursion stable
    coefficients, error, _ = levinson(correlation)
    widening = rng.uniform(0.97, 0.995) ** np.arange(order + 1)
    return 1 / scipy.fft.rfft(coefficients * widening, n=n_fft, axis=1).T, np.sqrt(error)


def _excitation(
    waveform: np.ndarray, sample_rate_hz: int, n_fft: int, hop_length: int, rng: np.random.Generator
) -> np.ndarray:
    """White frames (n_bins, n_frames) complex of mean power 1: pulses where voiced, noise elsewhere."""
    f0_hz, _ = f0_contour(waveform, sample_rate_hz, hop_length)
    pulses = pulse_train(f0_hz, sample_rate_hz, hop_length, len(waveform))
    voiced, noise = (
        unit_power(spectrum.stft(signal, n_fft, hop_length)) for signal in (pulses, rng.standard_normal(len(waveform)))
    )
    share = np.where(f0_hz > 0, rng.uniform(0.0, 0.25), 1.0)
    return np.sqrt(1 - share) * voiced + np.sqrt(share) * noise
