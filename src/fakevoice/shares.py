"""Shares of the combinations of labels, as the ensemble keeps them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Shares:
    """How often each combination is heard: in the scenes, and by what the unlabeled clips show.

    Attributes:
        combinations: (n_combinations, n_outputs) of 0 and 1.
        simulated, expected: (n_combinations,) that sum to 1.
        errors: (n_counts, n_combinations) of such counts on folds held back; without rows where nothing was counted.
    """

    combinations: np.ndarray
    simulated: np.ndarray
    expected: np.ndarray
    errors: np.ndarray

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Shares":
        """The reverse of `to_dict`."""
        arrays = {name: np.array(value, float) for name, value in values.items()}
        return cls(arrays["combinations"].astype(int), arrays["simulated"], arrays["expected"], arrays["errors"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: array.tolist() for name, array in vars(self).items()}

    def of_outputs(self, outputs: list[str]) -> pd.DataFrame:
        """The same of each output: rows simulated, expected and, where there is one, error (root mean square)."""
        rows = {name: getattr(self, name) @ self.combinations for name in ("simulated", "expected")}
        if len(self.errors):
            rows["error"] = np.sqrt(np.square(self.errors @ self.combinations).mean(axis=0))
        return pd.DataFrame(rows, outputs).T

    def heard(self, target: np.ndarray) -> np.ndarray:
        """Which combination each row of labels (n_clips, n_outputs) is, (n_clips,) int."""
        return (target[:, None] == self.combinations).all(axis=2).argmax(axis=1)
