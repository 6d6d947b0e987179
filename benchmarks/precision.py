"""Precision: what bf16 arithmetic and float16 shards save, and what they cost in score."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from made import Run, finished_run
from rows import Row, run_theme, say
from timing import milliseconds, take_turns

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_json, write_array, write_json
from fakevoice.core.tasks import targets
from fakevoice.data.groups import first_group
from fakevoice.features.extract import POOLED, extract
from fakevoice.features.store import CachedFeature
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.parallel.pool import run_parallel
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.loss import Objective
from fakevoice.training.networks import build_model, load_network, score_rows

CPU = torch.device("cpu")
TRAINED = {"n_epochs": 3, "learning_rate": 4e-3, "ema_decay": 0.9}  # of a network so small that it learns in seconds
NETWORK, WIDTH, N_DRAWS = "mfcc", 4, 500  # of the smaller picture
SAME_SPEED = 1.05  # a choice that costs less than that is not a wrong one
AS_IT_IS, OTHER_ARITHMETIC, FLOAT32, OTHER_SEED = "as it is", "the other arithmetic", "float32 shards", "another seed"


def measure(work: Path, tiny: bool) -> list[Row]:
    """Rows 6 and 13."""
    torch.set_num_threads(1)
    run = finished_run(work, tiny)
    steps = {name: _step_seconds(run, name, 2 if tiny else 3) for name in run.config.networks}
    training = {**TRAINED, "n_epochs": 1, "batch_size": 16} if tiny else TRAINED
    logits = _logits(run, work / "precision", training)
    differences = _compared(logits, run)
    return [_arithmetic(run, steps, differences), _shards(differences, logits)]


@dataclass(frozen=True)
class Difference:
    """Out-of-fold AUC of the product as it is, less that of a variant of it.

    Attributes:
        low, high: 95 % interval, by drawing groups of scenes.
    """

    value: float
    low: float
    high: float

    @property
    def noise(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def _step_seconds(run: Run, name: str, n_rounds: int) -> dict[str, np.ndarray]:
    """Seconds of one training step, forward and backward, in either arithmetic."""
    say(f"steps of {name} in both arithmetics, {n_rounds} rounds")
    network, config = run.config.networks[name], run.config
    shape = CachedFeature(run.features[network.feature], "scenes").shape
    model = build_model(network.model, shape, len(config.outputs)).to(memory_format=torch.channels_last)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.training.batch_size, 1, *shape), np.float32)
    y = rng.integers(2, size=(len(x), len(config.outputs))).astype(np.float32)
    calls = {}
    for arithmetic in ("fp32", "bf16"):
        training = network.training.model_copy(update={"precision": arithmetic})
        loss = Objective(model, network.model_copy(update={"training": training}), config, CPU, None)
        calls[arithmetic] = lambda loss=loss: loss(x, y, model, 0, 0, 0.0).backward()
    return take_turns(calls, n_rounds)


def _arithmetic(run: Run, steps: dict[str, dict[str, np.ndarray]], differences: dict[str, Difference]) -> Row:
    chosen = {name: run.precision(name) for name in steps}
    details, costs = {f"{name}: the product computes in": precision for name, precision in chosen.items()}, {}
    for name, seconds in steps.items():
        median = {arithmetic: milliseconds(values) for arithmetic, values in seconds.items()}
        details |= {f"{name}: a step in {arithmetic}, ms": value for arithmetic, value in median.items()}
        costs[name] = median[chosen[name]] / min(median.values())
    worst = max(costs, key=costs.get)
    return Row(
        *(
            6,
            f"a training step of {worst} in what was chosen, {chosen[worst]}",
            "the faster of fp32, bf16",
        ),
        value=costs[worst],
        reach=SAME_SPEED,
        holds=_is_noise(differences[OTHER_ARITHMETIC], differences[OTHER_SEED]),
        details=details | _shown(differences, OTHER_ARITHMETIC),
    )


def _shards(differences: dict[str, Difference], logits: dict[str, np.ndarray]) -> Row:
    cost = differences[FLOAT32]
    moved = np.abs(logits[FLOAT32] - logits[AS_IT_IS]).max() / logits[AS_IT_IS].std()
    return Row(
        *(13, "out-of-fold AUC that float16 shards cost", "float32 shards, same networks", -cost.value, "AUC"),
        spread=(-cost.high, -cost.low),
        reach=max(cost.noise, abs(differences[OTHER_SEED].value)),
        details=_shown(differences, FLOAT32) | {"largest change of a logit, in deviations of logits": float(moved)},
    )


def _is_noise(difference: Difference, between_seeds: Difference) -> bool:
    """Whether it is no more than other scenes, or another seed, would have made."""
    return abs(difference.value) <= max(difference.noise, abs(between_seeds.value))


def _shown(differences: dict[str, Difference], variant: str) -> dict[str, dict[str, float]]:
    compared = {name: differences[name] for name in (variant, OTHER_SEED)}
    return {f"AUC less that with {name}": {"is": d.value, "from": d.low, "to": d.high} for name, d in compared.items()}


def _logits(run: Run, folder: Path, training: dict) -> dict[str, np.ndarray]:
    """Variant → logits (n_scenes, n_outputs) out of fold."""
    say(f"training a small {NETWORK} on {run.config.folds.n_folds} folds in 3 variants")
    single = _in_float32(run, folder / "float32")
    seed = run.config.model_copy(update={"seed": run.config.seed + 1})
    other = "fp32" if run.precision(NETWORK) == "bf16" else "bf16"
    as_it_is = run.job(NETWORK, folder, training, WIDTH)
    trained = [
        (as_it_is, {AS_IT_IS: as_it_is.features, FLOAT32: single}),
        (run.job(NETWORK, folder, training | {"precision": other}, WIDTH), {OTHER_ARITHMETIC: as_it_is.features}),
        (replace(as_it_is, config=seed), {OTHER_SEED: as_it_is.features}),
    ]
    work = [
        (_placed(job, index, folder / f"{kind}-{index}"), shards)
        for index in range(run.config.folds.n_folds)
        for kind, (job, shards) in enumerate(trained)
    ]
    logits = {name: np.zeros((len(run.scenes), len(run.config.outputs))) for _, shards in trained for name in shards}
    for (job, _), held_out in zip(work, run_parallel(_train_and_score, work, "", ""), strict=True):
        for name, values in held_out.items():
            logits[name][job.fold == job.index] = values
    return logits


def _placed(job: FoldJob, index: int, folder: Path) -> FoldJob:
    return replace(job, index=index, folder=folder, tensorboard=folder / "tensorboard")


def _train_and_score(work: tuple[FoldJob, dict[str, Path]]) -> dict[str, np.ndarray]:
    """Logits (n_held_out, n_outputs) of a fold that is trained, by variant, from the shards that the variant reads."""
    job, shards = work
    network, _ = load_network(train_fold(job), CPU)
    rows = np.flatnonzero(job.fold == job.index)
    return {name: score_rows(network, CachedFeature(folder, "scenes"), rows) for name, folder in shards.items()}


def _compared(logits: dict[str, np.ndarray], run: Run) -> dict[str, Difference]:
    """Variant → how far the product as it is lies above it, out of fold."""
    label, groups = targets(run.scenes["state"], run.config), first_group(run.scenes, run.voices)
    auc, n = plugins.load("metrics", "auc").measure, label.shape[1]

    def gain(label: np.ndarray, both: np.ndarray) -> float:
        return auc(label, both[:, :n]) - auc(label, both[:, n:])

    found = {}
    for variant in (OTHER_ARITHMETIC, FLOAT32, OTHER_SEED):
        both = 1 / (1 + np.exp(-np.hstack([logits[AS_IT_IS], logits[variant]])))
        found[variant] = Difference(gain(label, both), *bootstrap_interval(gain, label, both, groups, N_DRAWS))
    say(f"out-of-fold AUC of the small networks as they are: {auc(label, both[:, :n]):.4f}")
    return found


def _in_float32(run: Run, folder: Path) -> Path:
    """Folder of what the cache holds of the scenes for the network, before it is rounded."""
    manifest = read_json(run.features[POOLED] / "manifest.json") | {"n_clips": {"scenes": len(run.scenes)}}
    starts = range(0, len(run.scenes), manifest["shard_size"])
    shards = [(run, folder, index, slice(start, start + manifest["shard_size"])) for index, start in enumerate(starts)]
    for _ in run_parallel(_write_shards, shards, "", ""):
        pass
    write_json(folder / "manifest.json", manifest)
    return folder


def _write_shards(shard: tuple[Run, Path, int, slice]) -> None:
    run, folder, index, part = shard
    feature = run.config.networks[NETWORK].feature
    waveforms = run.rendered(run.scenes.iloc[part], run.voices)
    arrays = [extract(waveform, run.config, [feature])[feature] for waveform in waveforms]
    write_array(folder / f"scenes-{index:05d}.npy", np.stack(arrays))


if __name__ == "__main__":
    run_theme(measure, __file__)
