"""How far phases of neighbouring bins and frames belong together (Stark & Paliwal 2008; Saratxaga et al. 2016).

A glottis sets the phases of all harmonics at once; a network that predicts magnitudes, or upsamples, leaves its own.
"""

import numpy as np

from fakevoice.audio.spectrum import n_fft_of, stft
from fakevoice.audio.speech_frames import loud_frames

N_REGIONS = 16
LEAST = 1e-12


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Mean resultant length of four phase differences within 16 regions of the spectrum, of all and of loud frames.

    Differences are from frame to frame (instantaneous frequency) and from bin to bin (group delay), and the change of
    either from frame to frame. A length is 1 where the bins of a region agree, and near 0 where they do not.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Source: group delay and instantaneous frequency as magnitudes of phase: Stark & Paliwal, "Speech analysis using
    instantaneous frequency deviation", Interspeech 2008; phases as evidence of synthesis: Saratxaga et al., "Synthetic
    speech detection using phase information", Speech Communication 81, 2016.
    """
    n_fft, loud = n_fft_of(power), loud_frames(power, sample_rate_hz)
    spectrum = stft(waveform, n_fft, hop_length).T  # (n_frames, n_bins)
    unit = spectrum / (_length(spectrum) + np.float32(LEAST))
    advance = np.exp(-2j * np.pi * hop_length / n_fft * np.arange(unit.shape[1])).astype(np.complex64)
    turn = unit[1:] * unit[:-1].conj() * advance
    delay = unit[:, 1:] * unit[:, :-1].conj()
    differences = {
        "turn": turn,
        "turning": turn[1:] * turn[:-1].conj(),
        "delay": delay,
        "delaying": delay[1:] * delay[:-1].conj(),
    }
    columns = {}
    for name, phasor in differences.items():
        agreement = _agreement(phasor)
        is_loud = loud[len(loud) - len(agreement) :]
        for where, frames in (("all", agreement), ("loud", agreement[is_loud])):
            mean = frames.mean(axis=0) if len(frames) else np.zeros(N_REGIONS)
            columns |= {f"phase_{region:02d}_{name}_{where}": float(value) for region, value in enumerate(mean)}
    return columns


def _agreement(phasor: np.ndarray) -> np.ndarray:
    """Mean resultant length in each region, (n_frames, N_REGIONS) float32; the highest bins fall off."""
    size = max(1, phasor.shape[1] // N_REGIONS)
    regions = phasor[:, : size * N_REGIONS].reshape(len(phasor), N_REGIONS, size)
    return _length(np.einsum("ijk->ij", regions)) / np.float32(size)


def _length(phasor: np.ndarray) -> np.ndarray:
    """Absolute value, in half the time of ``np.abs``."""
    return np.sqrt(np.square(phasor.real) + np.square(phasor.imag))
