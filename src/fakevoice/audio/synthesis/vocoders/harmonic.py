"""WORLD-like vocoder: a regular harmonic source through a smoothed envelope, noise in coarse bands."""

import numpy as np
import scipy.fft
import scipy.ndimage

from fakevoice.audio import spectrum
from fakevoice.audio.pitch import VOICED_STRENGTH, f0_contour, frame_size, match_level, pulse_train, unit_power


def resynthesize(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Take a voice apart into pitch, envelope and aperiodicity, and put it together again.

    Args:
        waveform: (n_samples,) float.
        rng: draws the smoothing of the envelope and the bands of the aperiodicity.

    Returns:
        (n_samples,) float32 at the input's RMS.

    Source:
        Morise, Yokomori & Ozawa, "WORLD", IEICE Trans. 2016, section 2, with simpler estimators.
    """
    n_fft, hop_length = frame_size(sample_rate_hz) // 2, max(1, sample_rate_hz // 160)
    f0_hz, strength = f0_contour(waveform, sample_rate_hz, hop_length)
    envelope = _smooth_envelope(spectrum.power_spectrogram(waveform, n_fft, hop_length), sample_rate_hz, rng)
    pulses = pulse_train(f0_hz, sample_rate_hz, hop_length, len(waveform))
    noise = rng.standard_normal(len(waveform))
    aperiodicity = _aperiodicity(strength, n_fft, sample_rate_hz, rng)
    voiced = unit_power(spectrum.stft(pulses, n_fft, hop_length)) * np.sqrt(1 - aperiodicity)
    unvoiced = unit_power(spectrum.stft(noise, n_fft, hop_length)) * np.sqrt(aperiodicity)
    return match_level(waveform, spectrum.istft((voiced + unvoiced) * envelope, hop_length, len(waveform)))


def _smooth_envelope(power: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Magnitude envelope (n_bins, n_frames): quefrencies below the pitch's, averaged over a few frames."""
    log_power = np.log(power + 1e-7 * power.max() + 1e-30)
    cepstrum = scipy.fft.irfft(log_power, axis=0)
    n_kept = max(1, int(sample_rate_hz * rng.uniform(0.0013, 0.0024)))
    cepstrum[n_kept : len(cepstrum) - n_kept + 1] = 0
    smooth = scipy.fft.rfft(cepstrum, axis=0).real
    envelope = np.exp(0.5 * scipy.ndimage.uniform_filter1d(smooth, int(rng.integers(1, 5)), axis=1))
    # the mean of a logarithm lies under the logarithm of the mean: give each frame its energy back
    return envelope * np.sqrt(np.sum(power, axis=0) / np.sum(envelope**2, axis=0))


def _aperiodicity(strength: np.ndarray, n_fft: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Share of noise (n_bins, n_frames) in steps over a few bands, all of it where a frame is unvoiced."""
    edges_hz = np.sort(rng.uniform(1500, 0.5 * sample_rate_hz, rng.integers(2, 5)))
    band = np.searchsorted(edges_hz, np.arange(n_fft // 2 + 1) * sample_rate_hz / n_fft)
    share = np.cumsum(rng.uniform(0.0, 0.2, len(edges_hz) + 1))[band]  # more noise in each higher band
    return np.where(strength > VOICED_STRENGTH, np.minimum(share, 1)[:, None], 1.0)
