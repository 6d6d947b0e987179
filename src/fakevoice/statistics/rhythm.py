"""How much of the loudness moves at which rate: speech peaks at 2-8 syllables a second (Houtgast & Steeneken 1985)."""

import numpy as np

MODULATION_HZ = ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 30.0))
N_REGIONS = 4


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Share of each rate in what moves the loudness of a quarter of the spectrum, and how deeply in dB it moves.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.
    """
    result, frame_rate_hz = {}, sample_rate_hz / hop_length
    for region, part in enumerate(np.array_split(power, N_REGIONS)):
        envelope = 10 * np.log10(part.sum(axis=0) + 1e-8)
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2
        rate_hz = np.fft.rfftfreq(len(envelope), 1 / frame_rate_hz)
        total = spectrum.sum() + 1e-6
        for low, high in MODULATION_HZ:
            inside = spectrum[(rate_hz >= low) & (rate_hz < high)].sum()
            result[f"rhythm_{region}_{low:g}hz"] = float(inside / total)
        result[f"rhythm_{region}_depth_db"] = float(envelope.std())
    return result
