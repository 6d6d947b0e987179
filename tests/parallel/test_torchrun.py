"""Several ranks under torchrun make one training: the same step on each, resumed by any number, ended together.

torchrun runs this file too: the first rank then trains the folds that a fixture has prepared.
"""

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from fakevoice.core import artifacts
from fakevoice.core.artifacts import read_json, write_json
from fakevoice.core.config import REPOSITORY, load_config
from fakevoice.core.config_sections import Network, Plugin, Training
from fakevoice.core.errors import DataError, FakevoiceError
from fakevoice.features.store import CachedFeature
from fakevoice.parallel import torchrun
from fakevoice.pipeline.runner import stale_stages
from fakevoice.training import batch_norm, batches, fold_trainer, loop
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.networks import choose_device, load_network, score_rows

PATIENCE_S = 300
N_ROWS, N_BANDS, N_FRAMES = 48, 8, 12
TARGET = (np.arange(N_ROWS)[:, None] // 3 % 2 == [0, 1]).astype(np.float32)
PLAIN = Network(
    feature="mel",
    model=Plugin(name="mlp", args={"width": 8, "dropout": 0.0}),
    training=Training(n_epochs=1, batch_size=9, learning_rate=0.01),  # one clip more for the first of two ranks
)
CONVOLUTIONS = PLAIN.model_copy(update={"model": Plugin(name="resnet", args={"width": 4, "dropout": 0.0})})
NETWORK = Network(
    feature="mel",
    model=Plugin(name="resnet", args={"width": 4}),
    augment=[Plugin(name="spec_augment")],
    training=Training(n_epochs=3, batch_size=9, learning_rate=0.01, ema_decay=0.8),
)
ADAPTING = NETWORK.model_copy(
    update={
        "augment": [Plugin(name="spec_augment"), Plugin(name="mixup")],
        "adapt": [Plugin(name="dann"), Plugin(name="coral"), Plugin(name="mean_teacher")],
    }
)
HOPELESS = PLAIN.model_copy(update={"training": Training(n_epochs=3, batch_size=4)})


def watched(task: tuple[str, FoldJob]) -> None:
    """Train a fold while each rank notes gradients, hashes of what a step changes, and epochs; checkpoints are kept."""
    name, job = task
    gradients, seen = [], {"states": [], "epochs": [], "drawn": []}
    clip, save, epoch = nn.utils.clip_grad_norm_, fold_trainer._save_checkpoint, loop.TrainingLoop.epoch
    average_others = loop.average_others

    def clipped(parameters, norm):
        parameters = list(parameters)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]).numpy())
        return clip(parameters, norm)

    def averaged(model):
        average_others(model)
        seen["states"].append(hash_of(model.state_dict()))

    def kept(folder, loop, curve):
        save(folder, loop, curve)
        shutil.copy(folder / fold_trainer.CHECKPOINT, folder.parent / f"{name}-{len(curve)}.pt")

    def noted(self, rows, number):
        seen["epochs"].append(number)
        seen["drawn"].append(torch.rand(1, generator=torch.Generator().manual_seed(torch.initial_seed())).item())
        loss = epoch(self, rows, number)
        seen["states"].append(hash_of(self.average.state_dict()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", clipped)
        patch.setattr(loop, "average_others", averaged)
        patch.setattr(fold_trainer, "_save_checkpoint", kept)
        patch.setattr(loop.TrainingLoop, "epoch", noted)
        train_fold(job)
    np.save(job.folder.parent / f"{name}-{torchrun.rank()}.npy", gradients)
    write_json(job.folder.parent / f"{name}-{torchrun.rank()}.json", seen)


def hash_of(state: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest()


def refuse(on: int) -> None:
    with torchrun.raised_together():
        if torchrun.rank() == on:
            raise DataError("no disk")


def lead(folder: Path) -> int:
    """What the first rank does: every job of the fixture one after another, noting errors."""
    told = {}
    for name, job in pickle.loads((folder / "jobs.pkl").read_bytes()).items():
        if name == "resumed":
            job.folder.mkdir()
            shutil.copy(folder / "whole-1.pt", job.folder / fold_trainer.CHECKPOINT)
        try:
            torchrun.run_on_all_ranks(watched, (name, job))
        except FakevoiceError as error:
            told[name] = str(error)
    for on in (0, 1):
        try:
            torchrun.run_on_all_ranks(refuse, on)
        except FakevoiceError as error:
            told[f"refused by {on}"] = str(error)
    write_json(folder / "told.json", told)
    print("led")
    return 0


if __name__ == "__main__":
    sys.exit(torchrun.run(lambda: lead(Path(sys.argv[1])), lambda: None))


def made(folder: Path, name: str, network: Network, target: np.ndarray = TARGET, measures: str = "[]") -> FoldJob:
    """A fold of a small noisy feature, whose upper bands are louder where the second output holds."""
    if not (folder / "mel").exists():
        rng = np.random.default_rng(0)
        scenes = rng.normal(size=(N_ROWS, N_BANDS, N_FRAMES))
        scenes[:, N_BANDS // 2 :] += 2 * TARGET[:, 1, None, None]
        splits = {"scenes": scenes, "unlabeled": rng.normal(1, 2, (6, N_BANDS, N_FRAMES))}
        for split, values in splits.items():
            artifacts.write_array(folder / "mel" / f"{split}-00000.npy", values.astype(np.float16))
        n_clips = {split: len(values) for split, values in splits.items()}
        write_json(folder / "mel" / "manifest.json", {"n_clips": n_clips, "shard_size": N_ROWS, "outputs": {}})
    places = {"folder": folder / name, "tensorboard": folder / f"events-{name}"}
    config = load_config("demo", [f"epoch_measures={measures}"])
    return FoldJob("mel", network, config, folder / "mel", target, np.arange(N_ROWS) % 3, 1, **places)


def start(*words: str, **environment: str) -> subprocess.Popen:
    """Two ranks of a module or a script; what they say is kept."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, preexec_fn=_hear_ctrl_c, **pipes)


def _hear_ctrl_c() -> None:
    """A shell makes its background jobs ignore it, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code and what was said; nothing is left running, whatever happens."""
    known = family(process)
    try:
        out, errors = process.communicate(timeout=PATIENCE_S)
        _, left = psutil.wait_procs(known, timeout=10)
        assert not left, "processes were left behind"
    finally:
        for one in [*known, *family(process)]:
            if one.is_running():
                one.kill()
        process.kill()
        process.communicate()
    return process.returncode, out, errors


def family(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"it ended too early, or takes too long: {end(process)}")
        time.sleep(0.002)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folder of folds that two ranks have trained, with notes of both; see `lead`."""
    folder = tmp_path_factory.mktemp("ranks")
    bad = TARGET.copy()
    bad[0] = np.inf
    watched(("alone", made(folder, "alone", NETWORK)))
    jobs = {
        "adapting": made(folder, "adapting", ADAPTING, bad),
        "unmeasurable": made(folder, "unmeasurable", PLAIN, np.full_like(TARGET, 2), "[auc]"),
        "plain": made(folder, "plain", PLAIN),
        "convolutions": made(folder, "convolutions", CONVOLUTIONS),
        "whole": made(folder, "whole", NETWORK),
        "resumed": made(folder, "resumed", NETWORK),
        "taken over": made(folder, "taken over", NETWORK),
        "hopeless": made(folder, "hopeless", HOPELESS, np.full_like(TARGET, np.inf)),
    }
    jobs["taken over"].folder.mkdir()
    shutil.copy(folder / "alone-1.pt", jobs["taken over"].folder / fold_trainer.CHECKPOINT)
    (folder / "jobs.pkl").write_bytes(pickle.dumps(jobs))
    code, out, errors = end(start(__file__, str(folder), TORCH_CPP_LOG_LEVEL="ERROR"))
    assert (code, out, errors) == (0, "led\n", "")  # and no word of the other rank
    return folder


def notes(folder: Path, name: str, rank: int = 0) -> dict:
    return read_json(folder / f"{name}-{rank}.json")


@pytest.mark.parametrize("name", ["adapting", "plain", "convolutions", "whole"])
def test_every_rank_makes_the_same_step(trained, name):
    gradients = [np.load(trained / f"{name}-{rank}.npy") for rank in (0, 1)]  # (n_steps, n_parameters)
    assert len(gradients[0]) and np.array_equal(*gradients)
    states, others = (notes(trained, name, rank)["states"] for rank in (0, 1))
    assert len(states) > len(gradients[0]) and states == others


@pytest.mark.parametrize(("name", "network", "error"), [("plain", PLAIN, 1e-6), ("convolutions", CONVOLUTIONS, 1e-5)])
def test_a_step_of_two_ranks_is_that_of_one(trained, tmp_path, name, network, error):
    watched((name, made(tmp_path, name, network)))
    ours, theirs = (np.load(folder / f"{name}-0.npy") for folder in (trained, tmp_path))
    assert np.abs(theirs[0]).max() > 0.01
    np.testing.assert_allclose(ours[0], theirs[0], atol=error, rtol=0)  # batch normalisation included
    curves = [float((folder / name / "epochs.csv").read_text().split(",")[-2]) for folder in (trained, tmp_path)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)  # of whole batches, not of a part
    logits = [logits_of(folder, name) for folder in (trained, tmp_path)]  # of the running average
    np.testing.assert_allclose(*logits, atol=0.02)  # Adam makes steps of gradients that are rounding alone


def logits_of(folder: Path, name: str) -> np.ndarray:
    network, _ = load_network(folder / name / fold_trainer.WEIGHTS, torch.device("cpu"))
    return score_rows(network, CachedFeature(folder / "mel", "scenes"), np.arange(N_ROWS))


def test_ranks_drop_other_units(trained):
    first, second = (notes(trained, "whole", rank)["drawn"] for rank in (0, 1))
    assert first == notes(trained, "alone")["drawn"] and not {*first} & {*second}


def test_a_loss_that_is_not_finite_on_one_rank_skips_the_step_on_all(trained):
    n_steps = 3 * (32 // 9)
    assert n_steps - 3 <= len(np.load(trained / "adapting-0.npy")) < n_steps
    losses = (trained / "adapting/epochs.csv").read_text().splitlines()[1:]
    assert np.isfinite([float(line.split(",")[1]) for line in losses]).all()


def test_where_none_is_finite_the_first_rank_tells_and_goes_on_with_the_next_fold(trained):
    told = read_json(trained / "told.json")
    assert told["hopeless"] == "the loss was not finite in 21 batches: lower training.learning_rate"


def test_where_the_first_rank_cannot_measure_no_other_goes_on(trained):
    """It alone looks at the held-out fold; the others would wait for its next step for ever."""
    assert "label is other than 0 and 1" in read_json(trained / "told.json")["unmeasurable"]


def test_what_one_rank_refuses_all_refuse(trained):
    told = read_json(trained / "told.json")
    assert told["refused by 0"] == "no disk"
    assert told["refused by 1"].startswith("rank 1 on ") and told["refused by 1"].endswith(": no disk")


def test_an_interrupted_training_of_all_ranks_ends_with_the_same_bytes(trained):
    assert notes(trained, "resumed")["epochs"] == [1, 2]
    for name in (fold_trainer.WEIGHTS, "epochs.csv"):
        assert (trained / "resumed" / name).read_bytes() == (trained / "whole" / name).read_bytes()


def test_another_number_of_ranks_goes_on(trained, tmp_path):
    assert notes(trained, "taken over")["epochs"] == [1, 2]
    curves = [(trained / name / "epochs.csv").read_text().splitlines() for name in ("alone", "taken over")]
    assert curves[0][:2] == curves[1][:2] and curves[0][2] != curves[1][2]  # bytes are those of so many ranks
    job = made(tmp_path, "alone again", NETWORK)
    job.folder.mkdir()
    shutil.copy(trained / "whole-2.pt", job.folder / fold_trainer.CHECKPOINT)
    watched(("alone again", job))
    assert notes(tmp_path, "alone again")["epochs"] == [2]


def test_parts_of_a_batch_make_the_batch(tmp_path):
    data = fold_trainer._Data.of(made(tmp_path, "mel", NETWORK))

    def batch(part: tuple[int, int]) -> np.ndarray:
        return next(batches.training_batches(data.clips, TARGET, data.rows, 9, 0, part))[0]

    def unlabeled(part: tuple[int, int]) -> np.ndarray:
        return np.stack(batches.unlabeled_batch(data.unlabeled, 5, 1, 2, part), axis=1)

    for draw in (batch, unlabeled):
        whole = draw((0, 1))
        for rank in (0, 1):
            assert np.array_equal(draw((rank, 2)), whole[rank::2])


def test_parts_are_mixed_by_draws_of_their_own(tmp_path):
    network = NETWORK.model_copy(update={"augment": [Plugin(name="mixup", args={"alpha": 1.0})]})
    data, each = fold_trainer._Data.of(made(tmp_path, "mel", network)), np.eye(N_ROWS, dtype=np.float32)
    parts = [next(batches.training_batches(data.clips, each, data.rows, 8, 0, (rank, 2)))[1] for rank in (0, 1)]
    weights = [y.max(axis=1) for y in parts]  # of the clip that counts more
    assert (weights[0] < 1).any() and not np.allclose(*weights)
    x = np.zeros((8, 1, 1, 1), np.float32)
    drawn = [data.clips.augmentation.batch(x, each[:8], 0, 0, *rank)[1] for rank in ((), (0,))]
    assert np.array_equal(*drawn)  # the first rank draws as one process does


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setattr(torchrun, "_team", torchrun._Team(rank=1, count=2, local_rank=1))


def test_each_rank_has_a_gpu_of_its_own(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(FakevoiceError, match="1 GPUs here: torchrun --nproc_per_node must not be more"):
        choose_device("cuda")


class NormAndMore(nn.BatchNorm2d):
    """As timm has it."""


def test_layers_of_batch_normalisation_are_replaced_and_keep_names_and_values(second_of_two):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)), NormAndMore(2))
    model[1][0].weight.requires_grad_(False)
    before, weight = model.state_dict(), model[1][0].weight
    replaced = batch_norm.over_all_ranks(model)
    assert [type(layer) for layer in (replaced[1][0], replaced[2])] == [batch_norm.BatchNorm, NormAndMore]
    assert list(replaced.state_dict()) == list(before) and replaced[1][0].weight is weight


def test_other_layers_of_batch_normalisation_get_the_mean_of_their_statistics(second_of_two, monkeypatch):
    monkeypatch.setattr(torchrun, "mean", lambda value: value + 1)
    layer = NormAndMore(2)
    batch_norm.average_others(nn.Sequential(layer))
    assert layer.running_mean.tolist() == [1, 1] and layer.running_var.tolist() == [2, 2]


@pytest.mark.parametrize("environment", [{"WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "1"}, {"RANK": "0"}])
def test_alone_a_command_is_run_as_it_is(monkeypatch, environment):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torchrun.run(lambda: 3, lambda: pytest.fail("cleaned up")) == 3
    assert torchrun.count() == 1 and torchrun.is_first_rank()


def test_an_error_is_told_once_and_ends_all_ranks():
    code, out, errors = end(start("-m", "fakevoice", "train", "--config", "dacno"))
    assert code != 0 and out == ""
    assert errors.count("fakevoice: no config 'dacno'") == 1
    assert errors.count("Traceback") == 1 and "ChildFailedError" in errors  # torchrun's own
    assert "exitcode  : 2" in errors


@pytest.mark.slow
def test_stopped_and_killed_it_goes_on(damageable):
    """Ctrl-C after the first fold, then one rank killed after the second: what is finished is kept."""
    shutil.rmtree(damageable.paths.stage("train"))
    words = [f"networks.{name}.training.n_epochs=8" for name in ("mel", "mfcc")]
    words = ["train", "--config", "demo", *damageable.overrides, *words]

    def trained() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in damageable.paths.stage("train").glob("*/*/manifest.json")}

    process = start("-m", "fakevoice", *words)
    wait_for(trained, process)
    process.send_signal(signal.SIGINT)
    code, out, errors = end(process)
    assert code != 0 and errors.count("fakevoice: stopped; the same command goes on") == 1, errors
    stopped = trained()

    process = start("-m", "fakevoice", *words)
    wait_for(lambda: len(trained()) > len(stopped), process)
    (second,) = (one for one in family(process) if one.environ().get("RANK") == "1")
    second.kill()
    code, out, errors = end(process)
    assert code != 0 and "SIGKILL" in errors, errors
    killed = trained()
    assert stopped.items() < killed.items() and len(killed) < 4, (stopped, killed)

    code, out, errors = end(start("-m", "fakevoice", *words))
    assert code == 0 and out.count("── train") == 1, errors
    assert "find_unused_parameters" not in errors and "Traceback" not in errors, errors
    assert killed.items() < trained().items() and len(trained()) == 4
    assert not list(damageable.paths.stage("train").rglob("*.pt"))
    config = load_config("demo", words[3:])
    assert dict(stale_stages(config, verify=True))["train"] == ""  # for one process too
