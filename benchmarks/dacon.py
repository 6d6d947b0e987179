"""DACON's size: hours and disk of configs/dacon.yaml, from what each part of it costs here, clip by clip."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
import torch
from made import clips, drawn_run
from rows import N_CORES, Row, run_theme, say
from scenes import features_of, features_of_scenes
from timing import take_turns

from fakevoice.audio.preprocess import read_clip
from fakevoice.core.config import Config, load_config
from fakevoice.data.audit import audit_clips
from fakevoice.ensemble.stacker import column_names, fit_fold
from fakevoice.features.extract import POOLED, check_features, pooled_names
from fakevoice.training.loss import Objective
from fakevoice.training.networks import build_model, to_device

# Of the published data: one voice each; to predict; of the test's kind without labels.
N_TRAIN, N_TEST, N_UNLABELED = 55_438, 50_000, 1_264
N_CLIPS, N_NEW = N_TRAIN + N_TEST + N_UNLABELED, N_TEST + N_UNLABELED
FLOAT16_BYTES, FLOAT32_BYTES = 2, 4
STACK_ROWS, STACK_ROUNDS = 1000, 5
N_SOUNDS = 16  # clips, and as many scenes
SMALL = ["networks.mel.model={name: resnet, args: {width: 4}}", "networks.mfcc.model.args={width: 4}"]
CPU = torch.device("cpu")


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 12, extrapolated: nothing here is run at that size."""
    config = load_config("dacon", SMALL if tiny else [])
    files, batch_size = clips(work / "recordings", N_SOUNDS), 2 if tiny else 8
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        hours = _of_sound(work / "dacon", files, config) | _of_networks(config, batch_size) | _of_stack(config, tiny)
    disk = disk_bytes(config)
    details = {f"{part}, h": value for part, value in hours.items()}
    details |= {f"{feature} {shape}, GB": size / 1e9 for feature, (shape, size) in disk.items()}
    n_scenes = config.scenes.n_scenes
    about = f"hours for DACON's {N_CLIPS:,} clips of 5 s and {n_scenes:,} scenes, extrapolated"
    gigabytes = sum(size for _, size in disk.values()) / 1e9
    return [
        Row(12, about, f"{N_CORES} cores, no GPU", sum(hours.values()), "h", details=details),
        Row(12, f"disk for shards of {N_NEW + n_scenes:,} clips and scenes, float16", "–", gigabytes, "GB"),
    ]


def _hours(call: Callable[[], Any], share: float) -> float:
    """What all of it takes where a call is some share of it, and all cores have a part."""
    return float(np.median(take_turns({"": call}, 2)[""])) / share / N_CORES / 3600


def _of_sound(home: Path, files: list[Path], config: Config) -> dict[str, float]:
    say(f"prepare and features of {len(files)} clips and as many scenes at DACON's rate")
    table = pd.DataFrame({"id": [f.stem for f in files], "split": "train", "path": [f.name for f in files]})
    run = drawn_run(home, files, {"folds": {"n_folds": 2}}, "dacon")
    parts = {
        "prepare": (lambda: audit_clips(table, files[0].parent, config.sample_rate_hz), N_CLIPS),
        "features of scenes": (partial(features_of_scenes, run, run.scenes, run.voices), config.scenes.n_scenes),
        "features of test and unlabeled clips": (
            lambda: [features_of(read_clip(file, config), config) for file in files],
            N_NEW,
        ),
    }
    return {name: _hours(call, len(files) / n) for name, (call, n) in parts.items()}


def _of_networks(config: Config, batch_size: int) -> dict[str, float]:
    """Training of all folds and epochs, and scoring: each scene once, each new clip by every fold."""
    shapes, hours, rng = check_features(config), {}, np.random.default_rng(0)
    n_scenes, n_folds = config.scenes.n_scenes, config.folds.n_folds
    for name, network in config.networks.items():
        say(f"steps of {name} in batches of {batch_size}")
        model = build_model(network.model, shapes[network.feature], len(config.outputs))
        model = model.to(memory_format=torch.channels_last)
        x = rng.standard_normal((batch_size, 1, *shapes[network.feature]), np.float32)
        y = rng.integers(2, size=(batch_size, len(config.outputs))).astype(np.float32)
        loss = Objective(model, network, config, CPU, None)
        optimizer = torch.optim.AdamW(model.parameters())
        n_seen = network.training.n_epochs * (n_folds - 1) * n_scenes
        hours[f"training {name}"] = _hours(partial(_step, loss, optimizer, model, x, y), batch_size / n_seen)
        n_scored = n_scenes + n_folds * N_NEW
        hours[f"scoring with {name}"] = _hours(partial(_score, model.eval(), x), batch_size / n_scored)
    return hours


def _step(loss: Objective, optimizer: torch.optim.Optimizer, model: torch.nn.Module, x, y) -> None:
    optimizer.zero_grad()
    loss(x, y, model, 0, 0, 0.0).backward()
    optimizer.step()


@torch.inference_mode()
def _score(model: torch.nn.Module, x: np.ndarray) -> torch.Tensor:
    return model(to_device(x, CPU))


def _of_stack(config: Config, tiny: bool) -> dict[str, float]:
    """Boosters of all folds on columns of noise, whose cost is that of any columns."""
    rows, names = 200 if tiny else STACK_ROWS, column_names(config)
    say(f"boosters on {rows} rows of {len(names)} columns")
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((rows, len(names)), np.float32)
    target = rng.integers(2, size=(rows, len(config.outputs))).astype(np.float32)
    settings = config.stacker.model_copy(update={"n_rounds": STACK_ROUNDS})
    fold = np.arange(rows) % config.folds.n_folds
    call = partial(fit_fold, columns, names, target, fold, 0, settings, 0)
    share = rows / config.scenes.n_scenes * STACK_ROUNDS / config.stacker.n_rounds / config.folds.n_folds
    return {"boosters": _hours(call, share)}


def disk_bytes(config: Config) -> dict[str, tuple[str, int]]:
    """Feature → its shape and the bytes of its shards; the pooled statistics are float32."""
    n_clips = config.scenes.n_scenes + N_NEW
    shapes = check_features(config)
    sizes = {name: (str(shape), n_clips * int(np.prod(shape)) * FLOAT16_BYTES) for name, shape in shapes.items()}
    n_columns = len(pooled_names(config))
    return sizes | {POOLED: (f"({n_columns},)", n_clips * n_columns * FLOAT32_BYTES)}


if __name__ == "__main__":
    run_theme(measure, __file__)
