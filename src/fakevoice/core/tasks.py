"""What a task means: targets from labels, and logits that every later stage reads the same way."""

from collections.abc import Iterable

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
    held = {label: outputs_of(label, config) for label in labels.unique()}
    return np.array([[output in held[label] for output in config.outputs] for label in labels], dtype=np.float32)


def outputs_of(state: str, config: Config) -> list[str]:
    """The outputs that are 1 in a state, in the order of `config.outputs`.

    Args:
        state: the classes heard, joined by ``+``, or ``none``.
    """
    heard = state.split("+")
    if not config.answers:
        return [output for output in config.outputs if output in heard]
    return [answer.name for answer in config.answers if not set(heard).isdisjoint(answer.any_of)]


def classes_of(output: str, config: Config) -> list[str]:
    """The classes that make an output 1."""
    return next((answer.any_of for answer in config.answers if answer.name == output), [output])


def condition_of(output: str, config: Config) -> str:
    """The output that an output depends on (`answers.where`); "" if there is none."""
    return next((answer.where for answer in config.answers if answer.name == output), "")


def sides_of_states(states: Iterable[str], config: Config) -> dict[str, dict[str, bool]]:
    """For each output the states that it is scored in, and whether it is 1 there."""
    held = {state: outputs_of(state, config) for state in states}
    sides: dict[str, dict[str, bool]] = {}
    for output in config.outputs:
        where = condition_of(output, config)
        sides[output] = {state: output in names for state, names in held.items() if not where or where in names}
    return sides


def condition_columns(config: Config) -> list[int]:
    """For each output the column of the output that it depends on, -1 if there is none."""
    columns = {output: place for place, output in enumerate(config.outputs)}
    return [columns.get(condition_of(output, config), -1) for output in columns]


def rows_by_output(label: np.ndarray, config: Config) -> np.ndarray:
    """Which rows count for which output: all, or those where the output that it depends on is 1.

    Args:
        label: (n_clips, n_outputs) of 0 and 1.

    Returns:
        (n_clips, n_outputs) bool.
    """
    rows = np.ones(label.shape, bool)
    for output, condition in enumerate(condition_columns(config)):
        if condition >= 0:
            rows[:, output] = label[:, condition] == 1
    return rows


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
    return np.array([[output in state.split("+") for output in outputs] for state in states], dtype=bool)


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
    """Move probabilities that are within 1e-6 of an edge of ten uniform bins off it, without changing their order.

    The two binnings of the public scorer disagree on exact edges, which mis-weighs a bin or stops it. What is close
    to an edge is squeezed into the upper part of the same interval, below 1 into its lower part, so that different
    probabilities stay different.
    """
    nearest = np.round(probability * 10) / 10
    distance = probability - nearest
    shift = np.where(nearest == 1, -0.96, 0.96) * EDGE_DISTANCE
    squeezed = nearest + shift + distance / 25
    return np.where(np.abs(distance) < EDGE_DISTANCE, squeezed, probability)
