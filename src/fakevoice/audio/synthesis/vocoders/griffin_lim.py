"""Mel spectrogram inverted by a few Griffin-Lim iterations: smeared bands, blurred phases."""

from functools import cache

import numpy as np

from fakevoice.audio import spectrum
from fakevoice.audio.pitch import frame_size, match_level


def resynthesize(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Squeeze a voice through a mel spectrogram and find phases for what comes back.

    Args:
        waveform: (n_samples,) float.
        rng: draws the number of mel bands, the iterations, the momentum and the first phases.

    Returns:
        (n_samples,) float32 at the input's RMS.

    Source:
        Perraudin, Balazs & Søndergaard, "A fast Griffin-Lim algorithm", WASPAA 2013.
    """
    n_fft = frame_size(sample_rate_hz)
    hop_length = n_fft // 4
    bank, inverse = _filters(sample_rate_hz, n_fft, int(rng.choice([40, 48, 64, 80, 100])))
    magnitude = np.maximum(0, inverse @ (bank @ np.abs(spectrum.stft(waveform, n_fft, hop_length))))
    noise = rng.standard_normal(len(waveform))
    phases = _unit(spectrum.stft(noise, n_fft, hop_length))
    phases = _iterate(magnitude, phases, hop_length, len(waveform), int(rng.integers(2, 6)), rng.uniform(0.3, 0.99))
    return match_level(waveform, spectrum.istft(magnitude * phases, hop_length, len(waveform)))


@cache
def _filters(sample_rate_hz: int, n_fft: int, n_mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mel filters (n_mels, n_bins) and their pseudo-inverse (n_bins, n_mels), both float32."""
    bank = spectrum.mel_filter_bank(sample_rate_hz, n_fft, n_mels, 0.0, sample_rate_hz / 2)
    return bank, np.linalg.pinv(bank)


def _unit(spectrogram: np.ndarray) -> np.ndarray:
    return spectrogram / np.maximum(np.abs(spectrogram), 1e-20)


def _iterate(
    magnitude: np.ndarray, phases: np.ndarray, hop_length: int, n_samples: int, n_iterations: int, momentum: float
) -> np.ndarray:
    """Project between the wanted magnitudes and the spectrograms that a waveform can have."""
    n_fft = 2 * (len(magnitude) - 1)
    previous = np.zeros((), np.complex64)
    for _ in range(n_iterations):
        consistent = spectrum.stft(spectrum.istft(magnitude * phases, hop_length, n_samples), n_fft, hop_length)
        phases = _unit(consistent + np.float32(momentum) * (consistent - previous))
        previous = consistent
    return phases
