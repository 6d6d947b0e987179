"""Trains one fold of one network.

The loop is short on purpose: AdamW, linear warm-up then cosine, an exponential moving average of the
weights. The last epoch's average is kept: choosing an epoch by the held-out fold would make the
out-of-fold score a lie.

Under torchrun each rank takes an equal part of each batch, and gradients are the mean over ranks. Batch normalisation
sees the whole batch on GPUs, and a rank's part of it on CPUs, as do augmentations of batches and losses on unlabeled
clips.
"""

import copy
import io
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from fakevoice.core import artifacts
from fakevoice.core.artifacts import write_text
from fakevoice.core.config import Config
from fakevoice.core.config_sections import Network
from fakevoice.core.random import Stream, generator, integer
from fakevoice.core.tasks import head_states, membership, normalise, one_output_each
from fakevoice.core.third_party import ready_torchvision
from fakevoice.data.leakage import hide_labels, refuse_hidden_labels
from fakevoice.features.store import CachedFeature
from fakevoice.metrics.slices import measure_for
from fakevoice.parallel import torchrun
from fakevoice.training import tensorboard as curves
from fakevoice.training.batches import (
    Augmentation,
    TrainingClips,
    training_batches,
    unlabeled_batch,
)
from fakevoice.training.loop import TrainingLoop, running_average
from fakevoice.training.loss import Objective
from fakevoice.training.networks import TrainedNetwork, build_model, choose_device, save_network, score_rows, start_from
from fakevoice.training.standardize import Standardizer, cropped_shape
from fakevoice.training.unlabeled_clips import MIN_CLIPS, unlabeled_size

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"
N_WATCHED = 1000  # held-out scenes behind a point of the learning curve, so that looking costs little (LOG.md)


@dataclass(frozen=True)
class FoldJob:
    """Everything that training one fold needs; travels to a worker process.

    Attributes:
        target: (n_scenes, n_outputs) float32, or (n_scenes, n_states) where the network's head is the states.
        fold: (n_scenes,) int; rows of `index` are held out.
        folder: where weights and learning curve go.
        waveforms: cache of the clips' samples, where an augmentation changes them.
        warm_start: weights that the network starts from, where it does not start from nothing.
    """

    name: str
    network: Network
    config: Config
    features: Path
    target: np.ndarray
    fold: np.ndarray
    index: int
    folder: Path
    tensorboard: Path
    waveforms: Path | None = None
    warm_start: Path | None = None


def train_fold(job: FoldJob) -> Path:
    """Train, then write weights (`.safetensors`) and the learning curve (`epochs.csv`).

    An interrupted training continues after the last whole epoch and ends with the same bytes. Under torchrun all ranks
    call this at once, and rank 0 writes.

    Raises:
        FakevoiceError: too many batches gave a loss that is not finite.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # 6 % of the time, for values that nobody reads
    torch.set_num_threads(1)  # sums depend on how they are split; cores are used by folds side by side
    data = _Data.of(job)
    fit, network = _start(job, data)
    curve = _resume(job.folder, fit)
    fit.share_gradients()
    with curves.written_to(job.tensorboard, len(curve)) if torchrun.is_first_rank() else nullcontext() as board:
        for epoch in range(len(curve), job.network.training.n_epochs):
            torch.manual_seed(integer(Stream.DROPOUT, data.seed, epoch, torchrun.rank()))
            row = {"epoch": epoch + 1, "loss": fit.epoch(_batches(job, data, epoch), epoch)}
            if torchrun.is_first_rank():
                row |= {"learning_rate": fit.learning_rate}
                curve.append(row | _held_out_measures(job, network, data, epoch + 1, board))
                _show_progress(job, data, epoch, curve[-1], board)
                _save_progress(job, fit, curve)  # after it is shown: what is made again hides what was shown
    if torchrun.is_first_rank():
        _finish(job, network, data)
    return job.folder / WEIGHTS


def _batches(job: FoldJob, data: "_Data", epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    batch_size = job.network.training.batch_size
    for x, y in training_batches(data.clips, data.labels, data.rows, batch_size, epoch, torchrun.batch_part()):
        refuse_hidden_labels(y, f"{job.name} of fold {job.index}")
        yield x, y


def _show_progress(job: FoldJob, data: "_Data", epoch: int, row: dict[str, float], board: Any) -> None:
    if epoch == 0:
        columns = head_states(job.network, job.config) or job.config.outputs
        curves.write_first_batch(board, *next(_batches(job, data, epoch)), columns)
    curves.write_epoch(board, row)


def _save_progress(job: FoldJob, fit: TrainingLoop, curve: list[dict[str, float]]) -> None:
    write_text(job.folder / "epochs.csv", _csv(curve))
    if len(curve) < job.network.training.n_epochs:
        _save_checkpoint(job.folder, fit, curve)


def _finish(job: FoldJob, network: TrainedNetwork, data: "_Data") -> None:
    path, states = job.folder / WEIGHTS, head_states(job.network, job.config)
    save_network(path, network, job.network, data.clips.feature.shape, job.config.outputs, states)
    (job.folder / CHECKPOINT).unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class _Data:
    """What one fold trains on.

    Attributes:
        rows: (n_rows,) int, of the scenes outside the fold.
        labels: (n_scenes, n_columns) float32, those of the fold hidden.
        shape: (n_bands, n_frames) of what the network sees.
        seed: of this fold of this network.
    """

    clips: TrainingClips
    unlabeled: TrainingClips
    rows: np.ndarray
    labels: np.ndarray
    shape: tuple[int, int]
    seed: int

    @classmethod
    def of(cls, job: FoldJob) -> "_Data":
        feature, rows = CachedFeature(job.features, "scenes"), np.flatnonzero(job.fold != job.index)
        standardizer = Standardizer.fit(feature, rows, job.network)
        shape = cropped_shape(feature.shape, job.network.crop)
        seed = integer(Stream.NETWORK, job.config.seed, job.name, job.index)
        augmentation = Augmentation(job.network, job.config, shape, seed)
        clips, unlabeled = (_clips(job, split, standardizer, augmentation) for split in ("scenes", "unlabeled"))
        labels = hide_labels(job.target, job.fold == job.index)
        return cls(clips, unlabeled, rows, labels, shape, seed)


def _clips(job: FoldJob, split: str, standardizer: Standardizer, augmentation: Augmentation) -> TrainingClips:
    waveforms = CachedFeature(job.waveforms, split) if job.waveforms else None
    return TrainingClips(CachedFeature(job.features, split), standardizer, augmentation, waveforms)


def _start(job: FoldJob, data: _Data) -> tuple[TrainingLoop, TrainedNetwork]:
    """The fit at its first step, and the running average as the network that it makes."""
    device, settings = choose_device(job.config.device), job.network.training
    if device.index is not None:
        torch.cuda.set_device(device)
    torch.manual_seed(integer(Stream.WEIGHTS, data.seed))
    model = build_model(job.network.model, data.shape, job.target.shape[1])
    if job.warm_start:
        start_from(model, job.warm_start)
    model = model.to(device, memory_format=torch.channels_last)
    average = running_average(model, settings.ema_decay)  # before an adaptation listens to the model
    if torchrun.count() > 1 and device.type == "cuda":
        model = _synchronised(model)
    n_unlabeled = max(unlabeled_size(settings.batch_size), MIN_CLIPS * torchrun.count())
    draw = partial(unlabeled_batch, data.unlabeled, n_unlabeled, part=torchrun.batch_part())
    objective = Objective(model, job.network, job.config, device, draw)
    fit = TrainingLoop(objective, average, settings, len(data.rows) // settings.batch_size)
    return fit, TrainedNetwork(average.module, data.clips.standardizer, device, objective.membership)


def _synchronised(model: torch.nn.Module) -> torch.nn.Module:
    """Batch normalisation over all ranks; timm's converter also knows its own layers, which add an activation."""
    ready_torchvision()
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(model)


def _held_out_measures(job: FoldJob, network: TrainedNetwork, data: _Data, epoch: int, board: Any) -> dict[str, float]:
    """How the running average does on the fold that is held back: to look at, nothing is chosen by it."""
    if not job.config.epoch_measures:
        return {}
    config, rows = job.config, _watched(np.flatnonzero(job.fold == job.index), data.seed)
    logits = one_output_each(score_rows(network, data.clips.feature, rows), config.task)
    states, label = head_states(job.network, config), job.target[rows]
    label = label @ membership(states, config.outputs) if states else label
    probability = normalise(expit(logits), config.task)
    curves.write_held_out(board, epoch, label, probability, config.outputs)
    return {name: measure_for(name, config)(label, probability) for name in config.epoch_measures}


def _watched(rows: np.ndarray, seed: int) -> np.ndarray:
    """The same of the held-out rows in every epoch, drawn so that no order of theirs counts."""
    return np.sort(generator(Stream.WATCHED_SCENES, seed).permutation(rows)[:N_WATCHED])


def _csv(curve: list[dict[str, float]]) -> str:
    lines = [",".join(map(repr, row.values())) for row in curve]
    return "\n".join([",".join(curve[0]), *lines]) + "\n"


def _save_checkpoint(folder: Path, fit: TrainingLoop, curve: list[dict[str, float]]) -> None:
    content = io.BytesIO()  # PyTorch's own writing to a full disk ends in an error that does not say so
    torch.save({"curve": curve, "fit": fit.state()}, content)
    artifacts.write_with_checksum(folder / CHECKPOINT, content.getvalue())


def _resume(folder: Path, fit: TrainingLoop) -> list[dict[str, float]]:
    checkpoint = torchrun.from_first_rank(_read_checkpoint(folder / CHECKPOINT))
    if checkpoint is None:
        return []
    fresh = copy.deepcopy(fit.state())
    try:
        fit.load_state(checkpoint["fit"])
    except Exception:  # of another architecture: the fold starts again, nothing else is lost
        fit.load_state(fresh)  # a state that does not fit is loaded in part before it is refused
        return []
    return checkpoint["curve"]


def _read_checkpoint(path: Path) -> dict | None:
    try:
        return torch.load(io.BytesIO(artifacts.read_with_checksum(path)), weights_only=True, map_location="cpu")
    except Exception:  # there is none, or it is damaged
        return None
