"""What the vocoders share: the pitch of a voice, a pulse train at it, and the level of the result."""

import numpy as np
import scipy.fft
import scipy.ndimage

from fakevoice.audio import spectrum

PITCH_RANGE_HZ = (65.0, 420.0)
VOICED_STRENGTH = 0.45  # periodicity above which a frame counts as voiced


def frame_size(sample_rate_hz: int) -> int:
    """Samples of an analysis frame: a power of two of about 64 ms, several periods of a low voice."""
    return 2 ** max(5, round(np.log2(0.064 * sample_rate_hz)))


def f0_contour(waveform: np.ndarray, sample_rate_hz: int, hop_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch by the highest peak of the normalised autocorrelation of each frame.

    Args:
        waveform: (n_samples,) float.

    Returns:
        f0_hz (n_frames,) float64, 0 where unvoiced; strength (n_frames,) float64 in [0, 1], how periodic.

    Source:
        Boersma, "Accurate short-term analysis of the fundamental frequency", IFA Proceedings 1993, eq. 9.
    """
    n_fft = frame_size(sample_rate_hz)
    power = spectrum.power_spectrogram(waveform, n_fft, hop_length)
    n_bins = min(len(power), int(2000 * n_fft / sample_rate_hz))  # the first formants carry the pitch
    lags_per_s = 4 * n_bins * sample_rate_hz / n_fft  # padding the short spectrum interpolates the lags
    correlation = scipy.fft.irfft(power[:n_bins].T, n=4 * n_bins, axis=1)  # (n_frames, n_lags)
    whole = spectrum.power_spectrogram(np.ones(2 * n_fft), n_fft, n_fft)[:n_bins, 1]  # the frame without padding
    of_window = scipy.fft.irfft(whole, n=4 * n_bins)
    low, high = (int(lags_per_s / hz) for hz in reversed(PITCH_RANGE_HZ))
    energy = correlation[:, 0]
    taper = np.maximum(of_window[low : high + 1] / of_window[0], 0.1)
    periodicity = correlation[:, low : high + 1] / (np.where(energy > 0, energy, 1.0)[:, None] * taper)
    octave_cost = 0.04 * np.log2(np.arange(low, high + 1) / low)  # among equal peaks the shortest period is the pitch
    lag = np.argmax(periodicity - octave_cost, axis=1)
    strength = np.clip(periodicity[np.arange(len(lag)), lag], 0.0, 1.0)
    voiced = (strength > VOICED_STRENGTH) & (energy > 1e-4 * energy.max())
    f0_hz = lags_per_s / (low + lag + _peak_offset(periodicity, lag))
    return np.where(voiced, scipy.ndimage.median_filter(f0_hz, 5, mode="nearest"), 0.0), strength


def _peak_offset(values: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Parabola through a peak and its neighbours: its top lies this fraction of a step to the right."""
    inner = np.clip(peak, 1, values.shape[1] - 2)
    left, centre, right = (values[np.arange(len(peak)), inner + step] for step in (-1, 0, 1))
    curvature = left - 2 * centre + right
    return np.clip(0.5 * (left - right) / np.where(curvature < -1e-9, curvature, -1e9), -0.5, 0.5)


def pulse_train(f0_hz: np.ndarray, sample_rate_hz: int, hop_length: int, n_samples: int) -> np.ndarray:
    """All harmonics of a pitch contour in phase, summed in closed form so that nothing aliases.

    Args:
        f0_hz: (n_frames,) float, 0 where unvoiced; the train is silent there.

    Returns:
        (n_samples,) float64.

    Source:
        Winham & Steiglitz, "Input generators for digital sound synthesis", JASA 1970.
    """
    if not f0_hz.any():
        return np.zeros(n_samples)
    voiced = np.flatnonzero(f0_hz)
    samples, frames = np.arange(n_samples), np.arange(len(f0_hz)) * hop_length
    f0 = np.interp(samples, frames[voiced], f0_hz[voiced])
    half_phase = np.pi * np.cumsum(f0) / sample_rate_hz
    n_harmonics = np.floor(0.48 * sample_rate_hz / f0)
    sine = np.sin(half_phase)
    sine = np.where(np.abs(sine) < 1e-6, 1e-6, sine)
    dirichlet = np.sin((2 * n_harmonics + 1) * half_phase) / sine - 1
    return dirichlet * (np.interp(samples, frames, f0_hz > 0) >= 0.5)


def unit_power(spectrogram: np.ndarray) -> np.ndarray:
    """Scale each frame of (n_bins, n_frames) to a mean power of 1; silent frames stay silent."""
    power = np.mean(np.abs(spectrogram) ** 2, axis=0)
    return spectrogram / np.sqrt(np.where(power > 1e-12, power, np.inf))


def match_level(reference: np.ndarray, waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform to the RMS of a reference; where nothing is left of it (a lone DC), pass that on.

    Returns:
        (n_samples,) float32.
    """
    wanted, found = (np.sqrt(np.mean(np.square(signal, dtype=np.float64))) for signal in (reference, waveform))
    if found <= 1e-6 * wanted:
        return reference.astype(np.float32)
    return (waveform * (wanted / found)).astype(np.float32)
