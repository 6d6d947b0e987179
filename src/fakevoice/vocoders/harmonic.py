"""WORLD-like vocoder: a regular harmonic source through a smoothed envelope, noise in coarse bands.

The other parametric vocoders take their pitch contour, pulse train and level from here.
"""

import numpy as np
import scipy.fft
import scipy.ndimage

from fakevoice import spectrum

PITCH_RANGE_HZ = (65.0, 420.0)
VOICED_STRENGTH = 0.45


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
    return at_level_of(waveform, spectrum.istft((voiced + unvoiced) * envelope, hop_length, len(waveform)))


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
    of_window = scipy.fft.irfft(spectrum.power_spectrogram(np.ones(n_fft), n_fft, n_fft)[:n_bins, 0], n=4 * n_bins)
    low, high = (int(lags_per_s / hz) for hz in reversed(PITCH_RANGE_HZ))
    energy = correlation[:, 0]
    taper = np.maximum(of_window[low : high + 1] / of_window[0], 0.1)
    periodicity = correlation[:, low : high + 1] / (np.maximum(energy, 1e-12)[:, None] * taper)
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


def at_level_of(reference: np.ndarray, waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform to the RMS of a reference; where nothing is left of it (a lone DC), pass that on.

    Returns:
        (n_samples,) float32.
    """
    wanted, found = (np.sqrt(np.mean(np.square(signal, dtype=np.float64))) for signal in (reference, waveform))
    if found <= 1e-6 * wanted:
        return reference.astype(np.float32)
    return (waveform * (wanted / found)).astype(np.float32)


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
