"""Training: what loading, augmenting and logging add to the bare steps of the same network."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from made import Run, finished_run
from rows import Row, run_theme, say
from timing import median_ratio, take_turns
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fakevoice.features.store import CachedFeature
from fakevoice.training.batches import Augmentation, TrainingClips, training_batches
from fakevoice.training.fold_trainer import N_WATCHED, WEIGHTS, FoldJob, train_fold
from fakevoice.training.loss import loss_function
from fakevoice.training.networks import build_model, load_network, score_rows, to_device
from fakevoice.training.standardize import Standardizer

NETWORK = "mfcc"  # of those of `voices` the one whose loading is the larger part
N_EPOCHS = 2  # that are timed, after a first one which brings imports, statistics and the writing of weights with it
CPU = torch.device("cpu")
Tensors = list[tuple[torch.Tensor, torch.Tensor]]


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 5."""
    torch.set_num_threads(1)  # as `train_fold` does
    run, n_rounds = finished_run(work, tiny), 1 if tiny else 3
    short, long = (_job(run, work / "training" / str(n), n) for n in (1, 1 + N_EPOCHS))
    batches = in_memory(long)
    say(f"{NETWORK}: {len(batches)} steps an epoch, {n_rounds} rounds of {N_EPOCHS} epochs")
    calls = {
        "short": partial(_train, short),
        "long": partial(_train, long),
        "bare": partial(bare_epochs, long, batches),
    }
    seconds = take_turns(calls, n_rounds)
    epochs, n_steps = seconds["long"] - seconds["short"], N_EPOCHS * len(batches)
    fixed_s = float(np.median(seconds["short"] - epochs / N_EPOCHS))
    load_s = take_turns({"load": lambda: [*loaded(long)]}, max(2, n_rounds))["load"]
    details = {
        "a step with all around it, ms": float(np.median(epochs)) / n_steps * 1000,
        "a bare step, ms": float(np.median(seconds["bare"])) / n_steps * 1000,
        "loading and augmenting its batch, ms": float(np.median(load_s)) / len(batches) * 1000,
        "once per training, s": fixed_s,
        f"not among them: scoring {N_WATCHED} held-out scenes after an epoch, s": N_WATCHED * _scoring_s(long),
    }
    about = f"a training epoch of {NETWORK} with loader, augmentation, logging"
    ratio = median_ratio(epochs, seconds["bare"])
    against = "the same steps on tensors in memory"
    return [Row(5, about, against, **ratio, reach=1.10, moonshot=1.03, details=details)]


def _job(run: Run, folder: Path, n_epochs: int) -> FoldJob:
    """A training that does not score the held-out fold, whose share of an epoch this small run would overstate."""
    job = run.job(NETWORK, folder, {"n_epochs": n_epochs})
    return replace(job, config=job.config.model_copy(update={"epoch_measures": []}))


def _scoring_s(job: FoldJob) -> float:
    """Seconds that scoring a held-out scene takes."""
    (network, _), rows = load_network(job.folder / WEIGHTS, CPU), np.flatnonzero(job.fold == job.index)
    scoring = partial(score_rows, network, CachedFeature(job.features, "scenes"), rows)
    return float(np.median(take_turns({"": scoring}, 2)[""])) / len(rows)


def _train(job: FoldJob) -> None:
    train_fold(job)


def loaded(job: FoldJob, epoch: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches of one epoch, as the training gets them."""
    feature, rows = CachedFeature(job.features, "scenes"), np.flatnonzero(job.fold != job.index)
    standardizer = Standardizer.fit(feature, rows, job.network)
    clips = TrainingClips(feature, standardizer, Augmentation(job.network, job.config, feature.shape, 0))
    return training_batches(clips, job.target, rows, job.network.training.batch_size, epoch)


def in_memory(job: FoldJob) -> Tensors:
    """`loaded`, kept as tensors."""
    return [(to_device(x, CPU), torch.from_numpy(y)) for x, y in loaded(job)]


def bare_epochs(job: FoldJob, batches: Tensors) -> None:
    """The optimiser steps of `N_EPOCHS` epochs, and the running average; nothing else."""
    settings = job.network.training
    model = build_model(job.network.model, batches[0][0].shape[2:], batches[0][1].shape[1])
    model = model.to(memory_format=torch.channels_last).train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    for x, y in batches * N_EPOCHS:
        with torch.autocast(CPU.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = model(x).float()
        loss = loss_function(logits, y, job.config.task, settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(model)


if __name__ == "__main__":
    run_theme(measure, __file__)
