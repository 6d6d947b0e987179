"""The 26 columns of the DEEP-VOICE dataset: means over the frames of librosa's features (Bird & Lotfi 2023)."""

import numpy as np

from fakevoice.audio.spectrum import (
    dct_matrix,
    decibels,
    mel_filter_bank,
    pitch_class_bank,
    power_spectrogram,
    relative_to_peak,
)
from fakevoice.audio.timbre import bin_frequencies_hz, crossing_rate, rms, spectral_shape

N_FFT, HOP_LENGTH, N_MELS, N_MFCC = 2048, 512, 128, 20
DEPTH_DB = 80.0  # what lies deeper under the clip's loudest band is cut
PITCHES_HZ, PEAK_SHARE = (150.0, 4000.0), 0.1
TUNINGS = np.linspace(-0.5, 0.5, 101)  # in semitones


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Chroma, RMS, centroid, bandwidth, roll-off, crossings and 20 MFCC, under the dataset's names and in its order.

    The dataset has them of windows of one second, from librosa with its defaults: frames of 2048 samples every 512,
    whatever those of the run.

    Args:
        waveform: (n_samples,) float32.
        power: (n_fft // 2 + 1, n_frames) and `hop_length`; not looked at.

    Source: Bird & Lotfi, "Real-time detection of AI-generated speech for DeepFake voice conversion", 2023, section 3.
    """
    power = power_spectrogram(waveform, N_FFT, HOP_LENGTH)
    shape = spectral_shape(power, sample_rate_hz)
    classes = pitch_class_bank(sample_rate_hz, N_FFT, _tuning(power, sample_rate_hz)) @ power
    frames = {
        "chroma_stft": relative_to_peak(classes),
        "rms": rms(waveform, N_FFT, HOP_LENGTH),
        "spectral_centroid": shape["centroid_hz"],
        "spectral_bandwidth": shape["bandwidth_hz"],
        "rolloff": shape["rolloff_hz"],
        "zero_crossing_rate": crossing_rate(waveform, N_FFT, HOP_LENGTH),
    }
    mel_db = decibels(mel_filter_bank(sample_rate_hz, N_FFT, N_MELS, 0.0, sample_rate_hz / 2) @ power)
    mfcc = dct_matrix(N_MFCC, N_MELS) @ np.maximum(mel_db, mel_db.max() - DEPTH_DB)
    frames |= {f"mfcc{order}": row for order, row in enumerate(mfcc, 1)}
    return {name: float(values.mean()) for name, values in frames.items()}


def _tuning(power: np.ndarray, sample_rate_hz: int) -> float:
    """How far the louder half of the spectral peaks lie off the nearest semitones, mostly: as librosa's chroma asks."""
    inner = power[1:-1]
    slope, curvature = (power[2:] - power[:-2]) / 2, power[2:] + power[:-2] - 2 * inner
    shift = np.where(np.abs(slope) < np.abs(curvature), -slope / np.where(curvature, curvature, 1), 0)  # parabola's top
    bins_hz = bin_frequencies_hz(len(power), sample_rate_hz)[1:-1, None]
    is_peak = (inner > power[:-2]) & (inner >= power[2:]) & (inner > PEAK_SHARE * power.max(axis=0))
    is_peak &= (bins_hz >= PITCHES_HZ[0]) & (bins_hz < PITCHES_HZ[1])
    height = (inner + slope * shift / 2)[is_peak]
    if not len(height):
        return 0.0
    pitch_hz = (bins_hz + shift * sample_rate_hz / N_FFT)[is_peak][height >= np.median(height)]
    deviation = (12 * np.log2(pitch_hz / 440.0) + 0.5) % 1 - 0.5
    return float(TUNINGS[np.histogram(deviation, TUNINGS)[0].argmax()])
