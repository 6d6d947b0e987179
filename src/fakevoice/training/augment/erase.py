"""Random erasing: a rectangle filled with silence (Zhong et al. 2020), as a transform of albumentations."""

import os
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise

import albumentations as A
import numpy as np

from fakevoice.core.config_sections import Part, Share

INPUT = "picture"
MAX_LOG_ASPECT = np.log(10 / 3)  # from 3:10 to 10:3, as Zhong et al. have it


class _Erase(A.ImageOnlyTransform):
    def __init__(self, area: tuple[float, float], p: float):
        super().__init__(p=p)
        self.area = area

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        # Bands and frames have no common unit: a rectangle is as long and as high in shares of the picture, so
        # that one of this area fits into a picture of any shape.
        area, aspect = self.py_random.uniform(*self.area), self.py_random.uniform(-MAX_LOG_ASPECT, MAX_LOG_ASPECT)
        sides = np.sqrt(area * np.exp([aspect, -aspect]))
        hole = []
        for n, side in zip(params["shape"][:2], sides, strict=True):
            length = min(n, max(1, round(n * side)))
            start = self.py_random.randint(0, n - length)
            hole.append(slice(start, start + length))
        return {"hole": tuple(hole)}

    def apply(self, img: np.ndarray, hole: tuple[slice, slice], **params) -> np.ndarray:
        erased = img.copy()
        erased[hole] = img.min()
        return erased


def build(shape: tuple[int, int], *, area: Part = (0.02, 0.08), probability: Share = 0.25) -> A.BasicTransform:
    """Fill a rectangle with the lowest value of the picture, which is what silence looks like.

    Args:
        shape: (n_bands, n_frames); not needed here, each augmentation is told.
        area: of the rectangle, as a share of the picture.

    Source: Zhong, Zheng, Kang, Li & Yang, "Random erasing data augmentation", AAAI 2020, algorithm 1.
    """
    return _Erase(tuple(area), probability)
