"""Checks of a config before any stage runs: whatever it names is loaded or computed once on a silent clip.

A run takes hours. A wrong name of a model, metric or codec, missing weights, a network that does not fit into memory or
a full disk stops it here, in seconds.
"""

import shutil
from pathlib import Path

import numpy as np

from fakevoice.audio import ffmpeg
from fakevoice.audio.channel import check_codec
from fakevoice.audio.files import EXTENSIONS
from fakevoice.core import plugins
from fakevoice.core.artifacts import listing
from fakevoice.core.config import Config
from fakevoice.core.errors import ConfigError, FakevoiceError, shortened
from fakevoice.core.paths import Paths, data_url
from fakevoice.ensemble.stacker import column_names, fitted_names
from fakevoice.features.extract import check_device, check_features
from fakevoice.metrics.slices import measure_all
from fakevoice.training.cross_validation import check_networks
from fakevoice.training.networks import choose_device
from fakevoice.training.warm_start import check_warm_start

BYTES_PER_VALUE = 2  # of a cached feature, float16
FREE_SHARE = 0.9  # of the free disk space that the cache may take


def check_config(config: Config, paths: Paths) -> None:
    """Try everything that a config names before the first stage.

    Raises:
        ConfigError: an unknown plug-in, an impossible argument, missing weights, or a network too large for the memory.
        FakevoiceError: a device is missing, or the cache does not fit on the disk.
    """
    shapes = check_plugins(config)
    check_device(config.features_device)
    choose_device(config.device)
    for network in config.networks.values():
        check_warm_start(network, config, paths)
    _check_files(config, paths, shapes)


def check_plugins(config: Config) -> dict[str, tuple[int, ...]]:
    """Load every plug-in that a config names and call it with its arguments.

    Returns:
        Feature → its shape, (n_bands, n_frames).

    Raises:
        ConfigError: as `check_config`.
    """
    adapter = plugins.load("datasets", config.dataset.name)
    plugins.check_args(getattr(adapter, "make", adapter.read), config.dataset.args, "dataset.args")
    plugins.load("calibrators", config.ensemble.calibrator)
    for kind, names in (("noises", config.scenes.noises), ("vocoders", config.scenes.vocoders)):
        for name in names:
            plugins.load(kind, name)
    for name in (*config.scenes.codecs, *config.scenes.resynthesis_codecs, *filter(None, [config.scenes.container])):
        check_codec(name)
    _check_metrics(config)
    try:
        shapes = check_features(config)
        check_networks(config, shapes)
    except (ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        used = shortened(config.features | {name: network.model.args for name, network in config.networks.items()})
        raise ConfigError(f"features or networks: {used} cannot be computed: {shortened(error)}") from error
    fitted_names(column_names(config), config.stacker.ignored)
    return shapes


def _check_metrics(config: Config) -> None:
    """Compute every metric on a few clips; each output holds in some of them."""
    names = (config.metric, *config.measures, *config.epoch_measures)
    for name in names:
        outputs = getattr(plugins.load("metrics", name), "OUTPUTS", None)
        if outputs and list(outputs) != config.outputs:
            raise ConfigError(f"{name} is a score of the answers {', '.join(outputs)}: give `answers` in this order")
    n_outputs = len(config.outputs)
    label = np.eye(n_outputs) if n_outputs > 1 else np.array([[0.0], [1.0]])
    measure_all(names, np.concatenate([label, label]), np.full((2 * len(label), n_outputs), 0.5 / n_outputs), config)


def _check_files(config: Config, paths: Paths, shapes: dict[str, tuple[int, ...]]) -> None:
    """Check the space for the feature cache, and that ffmpeg is there if videos are."""
    suffixes = [] if data_url(config) else [Path(name).suffix.lower() for name, _, _ in listing(paths.raw)]
    n_videos = sum(suffix in ffmpeg.EXTENSIONS for suffix in suffixes)
    if n_videos and shutil.which("ffmpeg") is None:
        print(f"warning: {n_videos} videos in {paths.raw}, and ffmpeg is not installed to read them", flush=True)
    n_clips = config.scenes.n_scenes + sum(suffix in EXTENSIONS for suffix in suffixes)
    needed = n_clips * BYTES_PER_VALUE * sum(int(np.prod(shape)) for shape in shapes.values())
    cached = sum(size for _, size, _ in listing(paths.cache))
    existing = next(folder for folder in (paths.cache, *paths.cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed - cached > FREE_SHARE * free:
        raise FakevoiceError(
            f"the features of {n_clips:,} clips need about {needed / 1e9:.1f} GB in {paths.cache}, and "
            f"{free / 1e9:.1f} GB are free: free some space, set FAKEVOICE_HOME to a folder on a larger disk, "
            "or lower scenes.n_scenes"
        )
