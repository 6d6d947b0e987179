"""Small shifts in time and frequency, the border filled with the mean; through albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A


def build(
    shape: tuple[int, int],
    *,
    max_time_fraction: float = 0.1,
    max_frequency_fraction: float = 0.02,
    probability: float = 0.5,
) -> A.BasicTransform:
    """Shift a standardised spectrogram by up to a fraction of its size.

    Args:
        shape: (n_bands, n_frames); not needed here, each augmentation is told.
    """
    limits = {
        "x": (-max_time_fraction, max_time_fraction),
        "y": (-max_frequency_fraction, max_frequency_fraction),
    }
    return A.Affine(translate_percent=limits, fill=0, p=probability)
