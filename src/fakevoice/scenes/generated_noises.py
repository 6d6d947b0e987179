"""Fills the bank with synthetic noises: making one costs many times what laying it into a scene does.

There are as many as it takes for each to be heard a few times, every time from another moment on and through
another microphone.
"""

from dataclasses import dataclass

import numpy as np

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.random import Stream, generator
from fakevoice.parallel.pool import run_parallel
from fakevoice.scenes.noise_bank import Found, NoiseBank

LENGTH = 1.6  # in clips, so that no two scenes need to hear the same part
SCENES_PER_NOISE, MAX_OF_A_KIND = 4, 32  # the latter in a fold


@dataclass(frozen=True)
class _Order:
    """One task of a worker: so many noises of one kind for the scenes of one fold."""

    kind: str
    fold: int
    n_noises: int
    config: Config


def make_noises(config: Config) -> NoiseBank:
    """Noises of every kind that the config names, in every fold."""
    kinds, n_folds = plugins.chosen("noises", config.scenes.noises), config.folds.n_folds
    share = 1 - config.scenes.mined_noise_probability
    n_heard = share * (1 + config.scenes.event_probability) * config.scenes.n_scenes / (len(kinds) * n_folds)
    n_each = min(MAX_OF_A_KIND, max(1, int(np.ceil(n_heard / SCENES_PER_NOISE))))
    orders = [_Order(kind, fold, n_each, config) for kind in kinds for fold in range(n_folds)]
    made = run_parallel(_make, orders, "scenes: making noise", "orders")
    return NoiseBank.join([noise for noises in made for noise in noises])


def _make(order: _Order) -> list[Found]:
    config, make = order.config, plugins.load("noises", order.kind).make
    n_samples = round(LENGTH * config.n_samples)
    noises = []
    for index in range(order.n_noises):
        rng = generator(Stream.NOISE, config.seed, order.kind, order.fold, index)
        noise = make(n_samples, config.sample_rate_hz, rng).astype(np.float16)
        noises.append((order.kind, "", 0.0, order.fold, noise))
    return noises
