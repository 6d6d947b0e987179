"""Statistics of a clip over time, for LightGBM: level, spread and movement of each band, rhythm, voicing."""

import numpy as np

from fakevoice.voicing import cepstral_peak

MODULATION_HZ = ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 30.0))
N_REGIONS = 4
VOICED_DB = 1.5


def pool_bands(feature: np.ndarray, name: str) -> dict[str, float]:
    """Mean, standard deviation, 10th and 90th percentile, and mean absolute step of each band.

    Args:
        feature: (n_bands, n_frames) float.
        name: of the feature; the columns are called ``<name>_<band>_<statistic>``.
    """
    low, high = np.percentile(feature, [10, 90], axis=1)
    step = np.abs(np.diff(feature, axis=1)).mean(axis=1) if feature.shape[1] > 1 else np.zeros(len(feature))
    statistics = {"mean": feature.mean(axis=1), "std": feature.std(axis=1), "p10": low, "p90": high, "step": step}
    return {f"{name}_{band:02d}_{key}": float(v) for key, values in statistics.items() for band, v in enumerate(values)}


def pool_rhythm(power: np.ndarray, frame_rate_hz: float) -> dict[str, float]:
    """How much of the loudness moves at which rate: speech peaks at 2-8 syllables a second (Houtgast & Steeneken 1985).

    Args:
        power: (n_bins, n_frames) power spectrogram.
    """
    result = {}
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


def pool_voicing(power: np.ndarray, sample_rate_hz: int, frame_rate_hz: float) -> dict[str, float]:
    """How often and for how long something with a pitch is heard, and how much its pitch peak wavers."""
    peak = cepstral_peak(power, sample_rate_hz)
    voiced = peak > VOICED_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.view(np.int8), [0]])))
    runs = (edges[1::2] - edges[::2]) / frame_rate_hz
    result = {f"voicing_p{q}": float(np.percentile(peak, q)) for q in (10, 50, 75, 90, 97)}
    result["voicing_fraction"] = float(voiced.mean())
    result["voicing_longest_s"] = float(runs.max(initial=0.0))
    result["voicing_runs"] = float(len(runs))
    result["voicing_wavering_db"] = float(np.abs(np.diff(peak))[voiced[1:]].mean()) if voiced[1:].any() else 0.0
    return result
