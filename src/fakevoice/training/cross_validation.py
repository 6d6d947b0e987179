"""Trains every network on every fold, side by side, keeping what an earlier run finished."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core import artifacts, code_hash, plugins
from fakevoice.core.config import Config, digest
from fakevoice.core.config_sections import Network
from fakevoice.core.errors import ConfigError, LeakError
from fakevoice.core.paths import Paths
from fakevoice.core.progress import Progress
from fakevoice.core.tasks import head_states, network_targets, one_output_each, targets
from fakevoice.data import leakage
from fakevoice.features.embed import ENCODER, is_encoder
from fakevoice.features.extract import POOLED, pooled_names
from fakevoice.features.store import CachedFeature, scored_splits
from fakevoice.parallel import torchrun
from fakevoice.parallel.pool import run_parallel
from fakevoice.training.batches import WAVEFORM, build_augmentation, cropped_shape, waveform_plugins
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.networks import choose_device, load_network, score_rows, starting_weights
from fakevoice.training.precision import with_precision
from fakevoice.training.unlabeled_clips import MIN_CLIPS, last_linear
from fakevoice.training.warm_start import check_warm_start, weight_files

N_ROWS_LOOKED_AT = 4096  # for a column that tells the label


def check_networks(config: Config, shapes: dict[str, tuple[int, ...]]) -> None:
    """Build every network, augmentation and adaptation once, so that what is impossible stops a run before it starts.

    Args:
        shapes: feature → (n_bands, n_frames).

    Raises:
        ConfigError: unknown plug-in, unknown or impossible argument, an adaptation that the model cannot have,
            a batch that ranks of torchrun cannot share equally.
    """
    for name, network in config.networks.items():
        where, n_ranks = f"networks.{name}", torchrun.count()
        if network.training.batch_size % n_ranks or network.training.batch_size < 2 * n_ranks:
            raise ConfigError(f"{where}.training.batch_size: a multiple of {n_ranks} ranks, 2 clips or more for each")
        shape = cropped_shape(shapes[network.feature], network.crop, f"{where}.crop")
        n_columns = len(head_states(network, config) or config.outputs)
        build = plugins.load("models", network.model.name).build
        plugins.check_args(build, network.model.args, f"{where}.model.args")
        model = build(shape, n_columns, **network.model.args)
        if network.training.layer_decay < 1 and not hasattr(model, "layer_groups"):
            raise ConfigError(
                f"{where}.training.layer_decay: {network.model.name} has no layer groups, timm_backbone has; remove it"
            )
        if network.adapt:
            last_linear(model, n_columns)
        _check_plugins(network, config, shape, where)


def _check_plugins(network: Network, config: Config, shape: tuple[int, int], where: str) -> None:
    for plugin in network.adapt:
        build = plugins.load("adaptation", plugin.name).build
        plugins.check_args(build, plugin.args, f"{where}.adapt.{plugin.name}.args")
    for plugin in network.augment:
        build = plugins.load("augment", plugin.name).build
        plugins.check_args(build, plugin.args, f"{where}.augment.{plugin.name}.args")
        try:
            build_augmentation(plugin, shape, config.sample_rate_hz)
        except ValueError as error:  # albumentations' own check of the values
            raise ConfigError(f"{where}.augment.{plugin.name}.args: {error}") from error
    changing = waveform_plugins(network)
    if changing and WAVEFORM not in config.features:
        raise ConfigError(f"{where}.augment.{changing[0].name} changes the samples: add `waveform: {{}}` to features")


def train_networks(config: Config, paths: Paths, scenes: pd.DataFrame, features: dict[str, Path]) -> list[Path]:
    """Train what is not there yet, then score: out-of-fold for the scenes, by every fold for test and unlabeled.

    Args:
        scenes: the scene table.
        features: feature → its folder in the cache.

    Returns:
        The files written: weights, learning curves, ``oof-<network>.npy`` (n_scenes, n_outputs) and
        ``<split>-<network>.npy`` (n_folds, n_clips, n_outputs), float64 logits.

    Raises:
        ConfigError: a network needs unlabeled clips, and there are none; or as `warm_start.check_warm_start`.
    """
    _check_unlabeled(config, features)
    for network in config.networks.values():
        check_warm_start(network, config, paths)
    fold, folder = scenes["fold"].to_numpy(np.int64), paths.stage("train")
    target = {name: network_targets(scenes["state"], network, config) for name, network in config.networks.items()}
    networks = {name: _with_precision(name, config, features, target[name], folder) for name in config.networks}
    jobs = [
        FoldJob(
            *(name, network, config, features[network.feature], target[name], fold, index),
            folder=folder / name / f"fold{index}",
            tensorboard=paths.run / "tensorboard" / name / f"fold{index}",
            waveforms=features[WAVEFORM] if waveform_plugins(network) else None,
            warm_start=start,
        )
        for name, network in networks.items()
        for index, start in enumerate(weight_files(network, config, paths) or [None] * config.folds.n_folds)
    ]
    keys = {job.folder: _key(job) for job in jobs}
    waiting = [job for job in jobs if not _finished(job, keys[job.folder])]
    for job in waiting:
        _start_afresh(job, keys[job.folder])
    with _epochs_shown(waiting):
        for _ in _trained(waiting, config):
            pass
    outputs = [path for job in jobs for path in _outputs(job)]
    return outputs + [path for name in config.networks for path in _join(name, jobs, folder)]


def refuse_leaks(config: Config, scenes: pd.DataFrame, features: dict[str, Path]) -> None:
    """Look whether one column of a feature alone tells a label in every fold, and say which comes closest.

    Bands of spectra are looked at by their mean and deviation over time. In scenes that we mix ourselves no honest
    column does; in clips as they are given it may be a shortcut, and is only warned of.

    Raises:
        LeakError: one does so in mixed scenes; the message names it, and how to go on if it is right.
    """
    rows = np.unique(np.linspace(0, len(scenes) - 1, N_ROWS_LOOKED_AT).round().astype(int))
    target, fold = targets(scenes["state"], config)[rows], scenes["fold"].to_numpy(np.int64)[rows]
    used = dict.fromkeys([network.feature for network in config.networks.values()])
    best = (0.5, "no column", config.outputs[0])
    for name in (*used, POOLED):
        columns = _columns(CachedFeature(features[name], "scenes"), rows)
        if not columns.size:
            continue
        auc, column, output = leakage.best_column(columns, target, fold)
        shown = pooled_names(config)[column] if name == POOLED else f"{name}, {_band_text(column, columns)}"
        best = max(best, (auc, shown, config.outputs[output]))
    auc, column, output = best
    told = f"{column} alone tells {output} in every fold (AUC {auc:.4f} in the worst)"
    if auc >= config.leak_auc and config.scenes.states:
        raise LeakError(f"{told}: does it know the label? If the task is that easy, set leak_auc=2")
    if auc >= config.leak_auc:
        return print(f"warning: {told}: a shortcut of these clips, or a feature that knows the label", flush=True)
    print(f"no column tells a label alone: {column} best, AUC {auc:.3f} of {output} in its worst fold", flush=True)


def _columns(feature: CachedFeature, rows: np.ndarray) -> np.ndarray:
    """(n_rows, n_columns): pooled statistics as they are, of a spectrum the mean and the deviation of each band."""
    if len(feature.shape) < 2:
        return feature.take(rows)
    blocks = (feature.take(part) for part in np.array_split(rows, -(-len(rows) // feature.shard_size)))
    return np.concatenate([np.concatenate([block.mean(axis=2), block.std(axis=2)], axis=1) for block in blocks])


def _band_text(column: int, columns: np.ndarray) -> str:
    n_bands = columns.shape[1] // 2
    return f"{'mean' if column < n_bands else 'deviation'} of band {column % n_bands}"


def _with_precision(name: str, config: Config, features: dict[str, Path], target: np.ndarray, folder: Path) -> Network:
    network = config.networks[name]
    shape = cropped_shape(CachedFeature(features[network.feature], "scenes").shape, network.crop)
    return with_precision(network, folder / name, shape, target.shape[1], choose_device(config.device))


def _check_unlabeled(config: Config, features: dict[str, Path]) -> None:
    adapting = {name: network for name, network in config.networks.items() if network.adapt}
    for name, network in adapting.items():
        n_clips = len(CachedFeature(features[network.feature], "unlabeled"))
        if n_clips < MIN_CLIPS:
            raise ConfigError(
                f"networks.{name} learns from unlabeled clips, and {config.competition} has {n_clips} of them: "
                "take out adapt"
            )


def _trained(jobs: list[FoldJob], config: Config) -> Iterator[None]:
    """Train folds side by side, or one after another if a GPU or all ranks of torchrun train each of them."""
    if torchrun.count() > 1:
        return map(_train, jobs)
    return run_parallel(_train, jobs, "", "folds", 1 if choose_device(config.device).type == "cuda" else None)


def _train(job: FoldJob) -> None:
    torchrun.run_on_all_ranks(train_fold, job)
    network, _ = load_network(job.folder / "weights.safetensors", choose_device(job.config.device))
    rows = {"oof": np.flatnonzero(job.fold == job.index)} | {split: None for split in scored_splits(job.features)}
    for split, held_out in rows.items():
        feature = CachedFeature(job.features, "scenes" if split == "oof" else split)
        chosen = np.arange(len(feature)) if held_out is None else held_out
        logits = one_output_each(score_rows(network, feature, chosen), job.config.task)
        artifacts.write_array(job.folder / f"{split}.npy", logits)
    outputs = artifacts.describe(_outputs(job), job.folder)
    artifacts.write_json(job.folder / "manifest.json", {"key": _key(job), "outputs": outputs})


def _outputs(job: FoldJob) -> list[Path]:
    scored = [job.folder / f"{split}.npy" for split in ("oof", *scored_splits(job.features))]
    return [job.folder / "weights.safetensors", job.folder / "epochs.csv", *scored]


def _key(job: FoldJob) -> str:
    code = code_hash.digest_of(["training.cross_validation"], _plugins_of(job.network, job.config))
    folders = filter(None, (job.features, job.waveforms))
    data = [*(artifacts.checksum(folder / "manifest.json") for folder in folders)]
    data += map(artifacts.array_hash, (job.target, job.fold))
    config, network = job.config, job.network
    columns = [config.outputs, head_states(network, config), config.epoch_measures]
    files = map(Path, filter(None, [job.warm_start, starting_weights(network.model).get("weights")]))
    data += [artifacts.checksum(file) for file in files]
    return digest([job.name, network.model_dump(), job.index, config.seed, config.task, columns, code, data])


def _plugins_of(network: Network, config: Config) -> dict[str, list[str]]:
    """Plug-ins whose code decides what one network learns: kind → names."""
    return {
        "models": [network.model.name],
        "augment": [plugin.name for plugin in network.augment],
        "adaptation": [plugin.name for plugin in network.adapt],
        "metrics": config.epoch_measures,
        **_feature_code(network, config),
        "statistics": [],
    }


def _feature_code(network: Network, config: Config) -> dict[str, list[str]]:
    """The plug-in that computes a network's feature, where training does that; otherwise it is read from the cache."""
    code: dict[str, list[str]] = {"features": [], "encoders": []}
    args = config.features[network.feature]
    if waveform_plugins(network):
        kind, name = ("encoders", args[ENCODER]) if is_encoder(args) else ("features", network.feature)
        code[kind].append(name)
    return code


def _finished(job: FoldJob, key: str) -> bool:
    path = job.folder / "manifest.json"
    if not path.is_file():
        return False
    manifest = artifacts.read_manifest(path, "key")
    return manifest["key"] == key and not artifacts.damaged(manifest["outputs"], job.folder, verify=True)


def _start_afresh(job: FoldJob, key: str) -> None:
    """Leave nothing of a training with other settings; keep the checkpoint of an interrupted one with these."""
    started = job.folder / "started.json"
    (job.folder / "manifest.json").unlink(missing_ok=True)
    if started.is_file() and artifacts.read_json(started) == {"key": key}:
        return
    for file in job.folder.glob("*"):
        file.unlink()
    artifacts.write_json(started, {"key": key})


def _join(name: str, jobs: list[FoldJob], folder: Path) -> list[Path]:
    """Put the logits of a network's folds together; every scene has one, from a model that never saw it."""
    own = [job for job in jobs if job.name == name]
    oof = np.zeros((len(own[0].fold), len(own[0].config.outputs)))
    scored_by = np.full(len(oof), -1)
    for job in own:
        rows = job.fold == job.index
        oof[rows], scored_by[rows] = artifacts.read_array(job.folder / "oof.npy"), job.index
    leakage.check_oof(oof, scored_by, own[0].fold)
    arrays = {"oof": oof}
    for split in scored_splits(own[0].features):
        arrays[split] = np.stack([artifacts.read_array(job.folder / f"{split}.npy") for job in own])
    for split, logits in arrays.items():
        artifacts.write_array(folder / f"{split}-{name}.npy", logits)
    return [folder / f"{split}-{name}.npy" for split in arrays]


@contextmanager
def _epochs_shown(jobs: list[FoldJob]) -> Iterator[None]:
    """Show epochs done in all folds together, counted in the learning curves that the workers write."""
    total = sum(job.network.training.n_epochs for job in jobs)
    progress, ended = Progress(total, "train", "epochs"), threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            progress.update(*_epochs_done(jobs))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        progress.update(*_epochs_done(jobs))
    finally:
        ended.set()
        watcher.join()
        progress.close()


def _epochs_done(jobs: list[FoldJob]) -> tuple[int, str]:
    """Epochs of all jobs, and the last one that ended: how far its fold is, its loss and its first measure."""
    done, newest = 0, (0.0, "")
    for job in jobs:
        curve = job.folder / "epochs.csv"
        if curve.is_file():
            header, *lines = curve.read_text().splitlines()
            done += len(lines)
            row = dict(zip(header.split(","), lines[-1].split(","), strict=True))
            told = ", ".join(f"{name} {float(row[name]):.3f}" for name in ("loss", *job.config.epoch_measures[:1]))
            of = f"{job.name} fold {job.index + 1}/{job.config.folds.n_folds} epoch {len(lines)}"
            text = f"{of}/{job.network.training.n_epochs}: {told}"
            newest = max(newest, (curve.stat().st_mtime, text))
    return done, newest[1]
