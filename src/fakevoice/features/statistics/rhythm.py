"""How much of the loudness moves at which rate: speech peaks at 2-8 syllables a second (Houtgast & Steeneken 1985)."""

from functools import cache

import numpy as np

MODULATION_HZ = ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 30.0))
N_REGIONS = 4
NAMES = [
    [*(f"rhythm_{region}_{low:g}hz" for low, _ in MODULATION_HZ), f"rhythm_{region}_depth_db"]
    for region in range(N_REGIONS)
]


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Share of each rate in what moves the loudness of a quarter of the spectrum, and how deeply in dB it moves.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.
    """
    regions = np.stack([part.sum(axis=0) for part in np.array_split(power, N_REGIONS)])  # (n_regions, n_frames)
    envelope_db = 10 * np.log10(regions + 1e-8)
    spectrum = np.abs(np.fft.rfft(envelope_db - envelope_db.mean(axis=1, keepdims=True))) ** 2
    inside = spectrum @ _rate_bank(envelope_db.shape[1], hop_length / sample_rate_hz)  # (n_regions, n_rates)
    share = inside / (spectrum.sum(axis=1, keepdims=True) + 1e-6)
    rows = np.column_stack([share, envelope_db.std(axis=1)]).tolist()
    return {name: value for names, row in zip(NAMES, rows, strict=True) for name, value in zip(names, row, strict=True)}


@cache
def _rate_bank(n_frames: int, hop_s: float) -> np.ndarray:
    """Which bins of the envelope's spectrum belong to which rate, (n_frames // 2 + 1, n_rates) float64 of 0 and 1."""
    rate_hz = np.fft.rfftfreq(n_frames, hop_s)
    return np.column_stack([(rate_hz >= low) & (rate_hz < high) for low, high in MODULATION_HZ]).astype(np.float64)
