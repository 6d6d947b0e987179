"""SpecAugment: bands of time and frequency filled with the mean (Park et al. 2019), through albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A

from fakevoice.core.config_sections import Depth, Share

INPUT = "picture"


def build(
    shape: tuple[int, int],
    *,
    n_time: Depth = 2,
    n_frequency: Depth = 2,
    max_time_fraction: Share = 0.12,
    max_frequency_fraction: Share = 0.12,
    probability: Share = 0.8,
) -> A.BasicTransform:
    """Masks for standardised spectrograms, where 0 is the mean of each band.

    Args:
        shape: (n_bands, n_frames) of what will be masked.
    """
    n_bands, n_frames = shape
    return A.XYMasking(
        num_masks_x=(1, n_time),
        num_masks_y=(1, n_frequency),
        mask_x_length=(1, max(1, int(max_time_fraction * n_frames))),
        mask_y_length=(1, max(1, int(max_frequency_fraction * n_bands))),
        fill=0,
        p=probability,
    )
