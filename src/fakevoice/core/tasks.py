"""What a task means: targets from labels, and logits that every later stage reads the same way."""

import numpy as np
import pandas as pd
from scipy.special import logit, softmax

from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network

EPSILON = 1e-6
EDGE_DISTANCE = 1e-6  # of a probability to the edge of a bin


def targets(labels: pd.Series, config: Config) -> np.ndarray:
    """Labels as numbers.

    Args:
        labels: per scene the classes heard, joined by ``+``, or ``none``.

    Returns:
        (n_scenes, n_outputs) float32 of 0 and 1.
    """
    return np.array([_holds(label, config.outputs) for label in labels], dtype=np.float32)


def _holds(label: str, outputs: list[str]) -> list[bool]:
    heard = label.split("+")
    return [output in heard for output in outputs]


def head_states(network: Network, config: Config) -> list[str]:
    """The states that a network puts out, one logit each; none where it puts out the labels themselves."""
    return sorted(config.scenes.states) if network.head == "states" else []


def network_targets(labels: pd.Series, network: Network, config: Config) -> np.ndarray:
    """What a network is trained on.

    Args:
        labels: as in `targets`.

    Returns:
        (n_scenes, n_states) float32 with one 1 in each row where the network's head is the states, else `targets`.
    """
    states = head_states(network, config)
    if not states:
        return targets(labels, config)
    return np.array([[label == state for state in states] for label in labels], dtype=np.float32)


def logit_column(member: str, output: int) -> str:
    """Name of the column that holds a member's logits of an output, which is given by its number.

    Names of classes may contain any character, and LightGBM accepts only some.
    """
    return f"logit_{member}_{output}"


def membership(states: list[str], outputs: list[str]) -> np.ndarray:
    """Which outputs hold in which state: (n_states, n_outputs) bool."""
    return np.array([_holds(state, outputs) for state in states], dtype=bool)


def one_output_each(logits: np.ndarray, task: str) -> np.ndarray:
    """Logits (n_clips, n_outputs) whose sigmoid is each output's probability.

    Softmax logits of a multiclass task mean something only beside each other; as one class against
    the rest they can be stacked, blended and calibrated like those of any other task.
    """
    return logit(np.clip(softmax(logits, axis=1), EPSILON, 1 - EPSILON)) if task == "multiclass" else logits


def normalise(probability: np.ndarray, task: str) -> np.ndarray:
    """Probabilities (n_clips, n_outputs) that sum to 1 where the classes exclude each other."""
    return probability / probability.sum(axis=1, keepdims=True) if task == "multiclass" else probability


def off_the_edges(probability: np.ndarray) -> np.ndarray:
    """Move probabilities off the edges of ten uniform bins, into [1e-6, 1 - 1e-6].

    The two binnings of the public scorer disagree on exact edges, which mis-weighs a bin or stops it.
    """
    nearest = np.round(probability * 10) / 10
    on_edge = np.abs(probability - nearest) < EDGE_DISTANCE
    moved = np.where(on_edge, nearest + EDGE_DISTANCE, probability)
    return np.clip(moved, EDGE_DISTANCE, 1 - EDGE_DISTANCE)
