"""Random streams: every random number of the project is drawn from a named stream.

A stream is seeded by its name, the config's seed and keys that say what is drawn (an epoch, a fold, the name of a
network). Two draws share their random numbers only if all of these are equal.

    rng = generator(Stream.SCENES, config.seed, index)
"""

import hashlib
import json
from enum import StrEnum, auto

import numpy as np

Key = int | str | np.integer
MAX_INTEGER = 2**31 - 1  # the largest seed that LightGBM accepts


class Stream(StrEnum):
    """What random numbers are drawn for; to rename a stream changes its draws."""

    # data
    DEMO_ORDER = auto()  # states of the demo's clips
    DEMO_CLIP = auto()  # one clip of the demo
    DEMO_SPEAKER = auto()  # one speaker of the demo
    LENGTH_BIAS_CLIP = auto()  # one clip of the length_bias data
    LENGTH_BIAS_SPEAKER = auto()  # one speaker of the length_bias data
    POOLS_CLIP = auto()  # one clip of the generated pools
    POOLS_SOURCE = auto()  # one speaker of the generated pools
    POOLS_TEST = auto()  # one test file of the generated pools
    FOLDS = auto()  # which groups go into which fold
    SHORTCUT_SPLIT = auto()  # the random split that ignores groups
    OVERLAP_PARTS = auto()  # parts on which the models of overlap weights are fitted
    # scenes
    SCENE = auto()  # what one scene consists of
    FILE = auto()  # duration of one simulated file, and what it consists of
    SCENE_RENDERING = auto()  # gains, rooms and channels of one scene
    NOISE = auto()  # one generated noise
    # training
    NETWORK = auto()  # seed of one fold of one network
    WEIGHTS = auto()  # initial weights
    DROPOUT = auto()  # dropout and other layers that draw, in one epoch of one rank
    BATCH_ORDER = auto()  # order of the training scenes in one epoch
    UNLABELED_CLIPS = auto()  # unlabeled clips of one training step
    WAVEFORM_AUGMENTATION = auto()  # of one clip in one epoch
    PICTURE_AUGMENTATION = auto()  # of one clip in one epoch
    BATCH_AUGMENTATION = auto()  # of one batch
    WATCHED_SCENES = auto()  # held-out scenes that are scored after each epoch
    # ensemble
    STACKER = auto()  # LightGBM's seed in one fold
    RANGE_SCENES = auto()  # scenes whose range of columns is learned
    SCENES_BY_SHARE = auto()  # scenes resampled to the shares of combinations
    SCENES_BY_WEIGHT = auto()  # scenes resampled by weight
    SIMULATED_TESTS = auto()  # tests behind the expected score
    # scores, reports and search
    BOOTSTRAP = auto()  # groups resampled for a confidence interval
    CALIBRATED_LABELS = auto()  # labels drawn from probabilities, for the ECE of a calibrated model
    COMPARED_SCENES = auto()  # scenes compared with the test clips in the report
    GAP_SCENES = auto()  # scenes compared with the unlabeled clips
    AUDITED_SCENES = auto()  # scenes rendered for the audit
    MONITORED_SCENES = auto()  # scenes that incoming clips are compared with
    TUNING = auto()  # values that one trial proposes
    IMPORTANCE = auto()  # importance of the searched keys


def generator(stream: Stream, seed: int, *keys: Key) -> np.random.Generator:
    """A generator at the start of a stream.

    Args:
        keys: integers and texts; ``1`` and ``"1"`` differ, and so do ``(1,)`` and ``(1, 0)``.
    """
    return np.random.default_rng(int.from_bytes(_digest(stream, seed, keys)[:16], "little"))


def integer(stream: Stream, seed: int, *keys: Key) -> int:
    """A seed in [0, `MAX_INTEGER`] for libraries that take an integer; arguments as in `generator`."""
    return int.from_bytes(_digest(stream, seed, keys)[:4], "little") & MAX_INTEGER


def _digest(stream: Stream, seed: int, keys: tuple[Key, ...]) -> bytes:
    text = json.dumps([stream, seed, *keys], default=int)  # default: NumPy's integers
    return hashlib.sha256(text.encode()).digest()
