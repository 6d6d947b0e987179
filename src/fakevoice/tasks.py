"""What a task means: targets from labels, and logits that every later stage reads the same way."""

import numpy as np
import pandas as pd
from scipy.special import logit, softmax

from fakevoice.config import Config

EPSILON = 1e-6


def targets(labels: pd.Series, config: Config) -> np.ndarray:
    """Labels as numbers.

    Args:
        labels: per scene the classes heard, joined by ``+``, or ``none``.

    Returns:
        (n_scenes, n_outputs) float32 of 0 and 1.
    """
    heard = [set(label.split("+")) for label in labels]
    return np.array([[output in classes for output in config.outputs] for classes in heard], dtype=np.float32)


def one_output_each(logits: np.ndarray, task: str) -> np.ndarray:
    """Logits (n_clips, n_outputs) whose sigmoid is each output's probability.

    Softmax logits of a multiclass task mean something only beside each other; as one class against
    the rest they can be stacked, blended and calibrated like those of any other task.
    """
    return logit(np.clip(softmax(logits, axis=1), EPSILON, 1 - EPSILON)) if task == "multiclass" else logits


def normalise(probability: np.ndarray, task: str) -> np.ndarray:
    """Probabilities (n_clips, n_outputs) that sum to 1 where the classes exclude each other."""
    return probability / probability.sum(axis=1, keepdims=True) if task == "multiclass" else probability
