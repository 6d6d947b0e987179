"""Small shifts in time and frequency, the border filled with the mean (Simard et al. 2003); through albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A

from fakevoice.core.config_sections import Share

INPUT = "picture"


def build(
    shape: tuple[int, int],
    *,
    max_time_fraction: Share = 0.02,
    max_frequency_fraction: Share = 0.02,
    probability: Share = 0.5,
) -> A.BasicTransform:
    """Shift a standardised spectrogram by up to a fraction of its size.

    Args:
        shape: (n_bands, n_frames); not needed here, each augmentation is told.

    Source: Simard, Steinkraus & Platt, "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003, section 2 (translations).
    """
    limits = {
        "x": (-max_time_fraction, max_time_fraction),
        "y": (-max_frequency_fraction, max_frequency_fraction),
    }
    return A.Affine(translate_percent=limits, fill=0, p=probability)
