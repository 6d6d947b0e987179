"""SpecAverage: bands of time and frequency filled with the mean of the clip (Cohen et al. 2022), by albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A
import numpy as np

from fakevoice.core.config_sections import Depth, Share

INPUT = "picture"


class _SpecAverage(A.XYMasking):
    def apply(self, img: np.ndarray, holes: np.ndarray, **params) -> np.ndarray:
        filled, mean = img.copy(), img.mean()
        for left, top, right, bottom in holes:
            filled[top:bottom, left:right] = mean
        return filled


def build(
    shape: tuple[int, int],
    *,
    n_time: Depth = 2,
    n_frequency: Depth = 2,
    max_time_fraction: Share = 0.12,
    max_frequency_fraction: Share = 0.12,
    probability: Share = 0.5,
) -> A.BasicTransform:
    """Masks that keep the level of the picture, where those of SpecAugment bring each band to its mean over all clips.

    Args:
        shape: (n_bands, n_frames) of what will be masked.

    Source: Cohen, Rimon, Aflalo & Permuter, "A study on data augmentation in voice anti-spoofing", Speech
    Communication 2022, which fills the masks so.
    """
    n_bands, n_frames = shape
    return _SpecAverage(
        num_masks_x=(1, n_time),
        num_masks_y=(1, n_frequency),
        mask_x_length=(1, max(1, int(max_time_fraction * n_frames))),
        mask_y_length=(1, max(1, int(max_frequency_fraction * n_bands))),
        p=probability,
    )
