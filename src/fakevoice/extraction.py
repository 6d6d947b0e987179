"""Waveform → all features of a config, one STFT for all: the same function for training, test and new audio.

A feature is computed from the power spectrogram; one whose module says ``INPUT = "waveform"`` gets the samples.
"""

from types import ModuleType

import numpy as np

from fakevoice import lookup
from fakevoice.config import Config
from fakevoice.errors import ConfigError
from fakevoice.pooling import pool_bands, pool_rhythm, pool_voicing
from fakevoice.spectrum import power_spectrogram

POOLED, POWER = "pooled", "power"


def extract(waveform: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    """Features by name.

    Args:
        waveform: (n_samples,) float32 at the config's rate.
        names: of features, or ``"pooled"``.

    Returns:
        Each feature as (n_bands, n_frames) float32, ``"pooled"`` as (n_columns,) float32.
    """
    power = power_spectrogram(waveform, config.spectrogram.n_fft, config.spectrogram.hop_length)
    inputs = {POWER: power, "waveform": waveform}
    needed = {*names, *config.pooled} - {POOLED} if POOLED in names else set(names)
    arrays = {name: _compute(name, inputs, config) for name in sorted(needed)}
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
    arrays = {name: _compute(name, {POWER: power}, config) for name in config.pooled}
    return list(pooled_values(arrays, power, config))


def check_features(config: Config) -> dict[str, tuple[int, ...]]:
    """Try every feature on a silent clip, so that an impossible argument stops a run before it starts.

    Returns:
        Feature → its shape, (n_bands, n_frames).

    Raises:
        ConfigError: unknown feature, unknown or impossible argument, or one to pool that has no spectrum.
    """
    for name, args in config.features.items():
        lookup.check_args(lookup.load("features", name).compute, args, f"features.{name}")
    for name in config.pooled:
        if _input(lookup.load("features", name)) != POWER:
            raise ConfigError(f"pooled: {name!r} is no spectrum, so that it has no bands to take statistics of")
    arrays = extract(np.zeros(config.n_samples, np.float32), config, [*config.features, POOLED])
    return {name: arrays[name].shape for name in config.features}


def _input(feature: ModuleType) -> str:
    return getattr(feature, "INPUT", POWER)


def _compute(name: str, inputs: dict[str, np.ndarray], config: Config) -> np.ndarray:
    feature = lookup.load("features", name)
    array = feature.compute(inputs[_input(feature)], config.sample_rate_hz, **config.features[name])
    return array.astype(np.float32, copy=False)
