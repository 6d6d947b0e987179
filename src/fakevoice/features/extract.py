"""Waveform → all features of a config, one STFT for all: the same function for training, test and new audio.

A feature is computed from the power spectrogram; one whose module says ``INPUT = "waveform"`` gets the samples.
One that says ``TAKES_TENSORS = True`` can be computed on a GPU, for many clips at once. A feature whose arguments name
an encoder is an embedding (see `embed`).
The stacker's columns are statistics of the bands of some features, and of the whole clip.
"""

import numpy as np

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.features import embed
from fakevoice.features.pooling import pool_bands

POOLED, POWER, WAVEFORM = "pooled", "power", "waveform"
N_SILENT_FRAMES = 8


def extract(waveform: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    """Features by name.

    Args:
        waveform: (n_samples,) float32 at the config's rate.
        names: of features, or ``"pooled"``.

    Returns:
        Each feature as (n_bands, n_frames) float32, ``"pooled"`` as (n_columns,) float32.
    """
    arrays = extract_on("cpu", waveform[None], config, names)
    return {name: array[0] for name, array in arrays.items()}


def _extract_one(waveform: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    inputs = _inputs(waveform, config)
    needed = {*names, *config.pooled} - {POOLED} if POOLED in names else set(names)
    arrays = {name: _compute(name, inputs, config) for name in sorted(needed)}
    if POOLED in names:
        columns = pooled_values(arrays, inputs, config)
        arrays[POOLED] = np.fromiter(columns.values(), np.float32, len(columns))
    return {name: arrays[name] for name in names}


def extract_on(device: str, waveforms: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    """Features of several clips, by name; on a GPU those that can be computed there, which changes their last digits.

    A clip's values do not depend on the other clips.

    Args:
        device: ``"cpu"`` is NumPy; others are PyTorch's, e.g. ``"cuda"``.
        waveforms: (n_clips, n_samples) float32 at the config's rate.
        names: as in `extract`.

    Returns:
        Each as (n_clips, ...) of what `extract` gives.

    Raises:
        FakevoiceError: there is no such device.
    """
    embedded = {name: config.features[name] for name in names if name in encoder_features(config)}
    arrays = {name: embed.embed(waveforms, config.sample_rate_hz, args, device) for name, args in embedded.items()}
    others = [name for name in names if name not in embedded]
    if device == "cpu":
        clips = [_extract_one(waveform, config, others) for waveform in waveforms]
        arrays |= {name: np.stack([clip[name] for clip in clips]) for name in others}
    elif others:
        arrays |= _extract_on_gpu(device, waveforms, config, others)
    return {name: arrays[name] for name in names}


def encoder_features(config: Config) -> list[str]:
    """Names of the features that pretrained encoders compute."""
    return [name for name, args in config.features.items() if embed.is_encoder(args)]


def _extract_on_gpu(device: str, waveforms: np.ndarray, config: Config, names: list[str]) -> dict[str, np.ndarray]:
    power = _power_on(device, waveforms, config)
    wanted = {*names, *config.pooled} - {POOLED} if POOLED in names else set(names)
    there = [name for name in sorted(wanted) if getattr(plugins.load("features", name), "TAKES_TENSORS", False)]
    arrays = {name: _compute(name, {POWER: power}, config).cpu().numpy() for name in there}
    here = [{POWER: clip, WAVEFORM: w} for clip, w in zip(power.cpu().numpy(), waveforms, strict=True)]
    for name in wanted - set(there):
        arrays[name] = np.stack([_compute(name, inputs, config) for inputs in here])
    if POOLED in names:
        rows = [{name: array[i] for name, array in arrays.items()} for i in range(len(waveforms))]
        columns = [pooled_values(row, inputs, config) for row, inputs in zip(rows, here, strict=True)]
        arrays[POOLED] = np.array([list(values.values()) for values in columns], np.float32)
    return {name: arrays[name] for name in names}


def _power_on(device: str, waveforms: np.ndarray, config: Config):
    """As `spectrum.power_spectrogram`, (n_clips, n_fft // 2 + 1, n_frames) tensor on a device."""
    import torch

    settings = config.spectrogram
    try:
        samples = torch.from_numpy(waveforms).to(device)
    except (RuntimeError, AssertionError) as error:
        raise FakevoiceError(f"features_device={device}: {str(error).splitlines()[0]}") from error
    window = torch.hann_window(settings.n_fft, device=device)
    stft = torch.stft(
        samples, settings.n_fft, settings.hop_length, window=window, pad_mode="constant", return_complex=True
    )
    return stft.real.square() + stft.imag.square()


def pooled_values(arrays: dict[str, np.ndarray], inputs: dict[str, np.ndarray], config: Config) -> dict[str, float]:
    """The stacker's columns by name: bands of the features to pool, then statistics, each in the config's order.

    Args:
        arrays: at least the features to pool, by name.
        inputs: ``"power"`` (n_fft // 2 + 1, n_frames) and ``"waveform"`` (n_samples,) of the clip.
    """
    columns: dict[str, float] = {}
    for name in config.pooled:
        columns |= pool_bands(arrays[name], name)
    for name in config.statistics:
        pool = plugins.load("statistics", name).pool
        columns |= pool(inputs[WAVEFORM], inputs[POWER], config.sample_rate_hz, config.spectrogram.hop_length)
    return columns


def pooled_names(config: Config) -> list[str]:
    """Names of the stacker's columns, found by pooling a silent clip."""
    inputs = _inputs(np.zeros((N_SILENT_FRAMES - 1) * config.spectrogram.hop_length, np.float32), config)
    arrays = {name: _compute(name, inputs, config) for name in config.pooled}
    return list(pooled_values(arrays, inputs, config))


def check_device(name: str) -> None:
    """Check that `features_device` is there.

    Raises:
        FakevoiceError: PyTorch does not find it.
    """
    if name == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise FakevoiceError(f"features_device={name}: {str(error).splitlines()[0]}") from error


def check_features(config: Config) -> dict[str, tuple[int, ...]]:
    """Try every feature and statistic on a silent clip, so that an impossible argument stops a run before it starts.

    Returns:
        Feature → its shape, (n_bands, n_frames).

    Raises:
        ConfigError: unknown feature or statistic, unknown or impossible argument, or a feature to pool that has no
            spectrum.
    """
    for name, args in config.features.items():
        if embed.is_encoder(args):
            embed.check_encoder(name, args)
        else:
            plugins.check_args(plugins.load("features", name).compute, args, f"features.{name}")
    shapes = feature_shapes(config, [*config.features, POOLED])
    for name in config.pooled:
        if name in encoder_features(config):
            raise ConfigError(f"pooled: {name!r} is an embedding; a network such as `linear` can read it")
        if shapes[name][0] == 1 and shapes[name][1] > config.n_samples // config.spectrogram.hop_length + 1:
            # its frames are samples
            raise ConfigError(f"pooled: {name!r} is no spectrum, so that it has no bands to take statistics of")
    return {name: shapes[name] for name in config.features}


def feature_shapes(config: Config, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of some features of a clip, (n_bands, n_frames), found on a silent one; of ``"pooled"`` (n_columns,)."""
    arrays = extract(np.zeros(config.n_samples, np.float32), config, names)
    return {name: array.shape for name, array in arrays.items()}


def _inputs(waveform: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    power = power_spectrogram(waveform, config.spectrogram.n_fft, config.spectrogram.hop_length)
    return {POWER: power, WAVEFORM: waveform}


def _compute(name: str, inputs: dict[str, np.ndarray], config: Config) -> np.ndarray:
    feature = plugins.load("features", name)
    array = feature.compute(inputs[getattr(feature, "INPUT", POWER)], config.sample_rate_hz, **config.features[name])
    return array.astype(np.float32, copy=False) if isinstance(array, np.ndarray) else array.float()
