"""Small shifts in time and frequency, the border filled with the mean (Simard et al. 2003)."""

import math
import os
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A
import numpy as np

from fakevoice.core.config_sections import Share

INPUT = "picture"


class _Shift(A.ImageOnlyTransform):
    # Not A.Affine: it truncates a shift to whole pixels, so that on small pictures most clips do not move.
    def __init__(self, limits: tuple[float, float], p: float):
        super().__init__(p=p)
        self.limits = limits

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        sizes = params["shape"][:2]
        return {
            "distances": [
                n * self.py_random.uniform(-limit, limit) for n, limit in zip(sizes, self.limits, strict=True)
            ]
        }

    def apply(self, img: np.ndarray, distances: list[float], **params) -> np.ndarray:
        for axis, distance in enumerate(distances):
            img = _shifted(img, axis, distance)
        return img


def _shifted(picture: np.ndarray, axis: int, distance: float) -> np.ndarray:
    """Move a picture along an axis by any distance in pixels: linear interpolation, zeros outside."""
    whole = math.floor(distance)
    part = np.float32(distance - whole)
    return (1 - part) * _moved(picture, axis, whole) + part * _moved(picture, axis, whole + 1)


def _moved(picture: np.ndarray, axis: int, n_pixels: int) -> np.ndarray:
    moved, n = np.zeros_like(picture), picture.shape[axis]
    n_kept = max(0, n - abs(n_pixels))
    source, target = max(0, -n_pixels), max(0, n_pixels)
    moved_first, picture_first = np.moveaxis(moved, axis, 0), np.moveaxis(picture, axis, 0)
    moved_first[target : target + n_kept] = picture_first[source : source + n_kept]
    return moved


def build(
    shape: tuple[int, int],
    *,
    max_time_fraction: Share = 0.02,
    max_frequency_fraction: Share = 0.02,
    probability: Share = 0.5,
) -> A.BasicTransform:
    """Shift a standardised spectrogram by up to a fraction of its size, uniformly and not only by whole pixels.

    Args:
        shape: (n_bands, n_frames); not used, each picture has its own.

    Source: Simard, Steinkraus & Platt, "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003, section 2 (translations with bilinear interpolation).
    """
    return _Shift((max_frequency_fraction, max_time_fraction), probability)
