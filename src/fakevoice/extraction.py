"""Waveform → all features of a config, one STFT for all: the same function for training, test and new audio."""

import numpy as np

from fakevoice import lookup
from fakevoice.config import Config
from fakevoice.pooling import pool_bands, pool_rhythm, pool_voicing
from fakevoice.spectrum import power_spectrogram

POOLED = "pooled"


def extract(waveform: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    """Features by name.

    Args:
        waveform: (n_samples,) float32 at the config's rate.
        names: of features, or ``"pooled"``.

    Returns:
        Each feature as (n_bands, n_frames) float32, ``"pooled"`` as (n_columns,) float32.
    """
    power = power_spectrogram(waveform, config.spectrogram.n_fft, config.spectrogram.hop_length)
    needed = {*names, *config.pooled} - {POOLED} if POOLED in names else set(names)
    arrays = {name: _compute(name, power, config) for name in sorted(needed)}
    if POOLED in names:
        columns = pooled_values(arrays, power, config)
        arrays[POOLED] = np.fromiter(columns.values(), np.float32, len(columns))
    return {name: arrays[name] for name in names}


def pooled_values(arrays: dict[str, np.ndarray], power: np.ndarray, config: Config) -> dict[str, float]:
    """The stacker's columns by name, always in the same order."""
    frame_rate_hz = config.sample_rate_hz / config.spectrogram.hop_length
    columns: dict[str, float] = {}
    for name in config.pooled:
        columns |= pool_bands(arrays[name], name)
    return columns | pool_rhythm(power, frame_rate_hz) | pool_voicing(power, config.sample_rate_hz, frame_rate_hz)


def pooled_names(config: Config) -> list[str]:
    """Names of the stacker's columns, found by pooling a silent clip."""
    power = np.zeros((config.spectrogram.n_fft // 2 + 1, 8), np.float32)
    return list(pooled_values({name: _compute(name, power, config) for name in config.pooled}, power, config))


def check_features(config: Config) -> None:
    """Try every feature on a silent second, so that an impossible argument stops a run before it starts.

    Raises:
        ConfigError: unknown feature, unknown or impossible argument.
    """
    for name, args in config.features.items():
        module = lookup.load("features", name)
        lookup.check_args(module.compute, args, f"features.{name}")
    extract(np.zeros(config.sample_rate_hz, np.float32), config, [*config.features, POOLED])


def _compute(name: str, power: np.ndarray, config: Config) -> np.ndarray:
    args = config.features[name]
    return lookup.load("features", name).compute(power, config.sample_rate_hz, **args).astype(np.float32, copy=False)
