"""Statistics of a feature over time, for LightGBM: level, spread and movement of each band."""

import numpy as np


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
