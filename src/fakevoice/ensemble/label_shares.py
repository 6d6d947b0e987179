"""Shares of the combinations of labels, as the ensemble keeps them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fakevoice.core.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class Shares:
    """How often each combination is heard: in the scenes, and by what the unlabeled clips show.

    Attributes:
        combinations: (n_combinations, n_outputs) of 0 and 1.
        simulated, expected: (n_combinations,) that sum to 1.
        n_counted: clips in which they were counted; 0 where the expected ones are the simulated ones.
    """

    combinations: np.ndarray
    simulated: np.ndarray
    expected: np.ndarray
    n_counted: int

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Shares":
        """The reverse of `to_dict`.

        Raises:
            ArtifactError: keys missing or unknown.
        """
        try:
            return cls(
                **{name: np.array(value) if isinstance(value, list) else value for name, value in values.items()}
            )
        except TypeError as error:
            raise ArtifactError(f"the saved shares do not fit this version: {error}; ./run.sh ensemble") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    def of_outputs(self, outputs: list[str]) -> pd.DataFrame:
        """The same of each output: rows simulated and expected."""
        rows = {name: getattr(self, name) @ self.combinations for name in ("simulated", "expected")}
        return pd.DataFrame(rows, outputs).T

    def heard(self, target: np.ndarray) -> np.ndarray:
        """Which combination each row of labels (n_clips, n_outputs) is, (n_clips,) int."""
        return (target[:, None] == self.combinations).all(axis=2).argmax(axis=1)
