"""Several ranks under torchrun train one fold: the same step on each, resumed, and ended together.

torchrun runs this file too: rank 0 then trains the folds that a fixture has prepared.
"""

import hashlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
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
from fakevoice.core.errors import ConfigError, DataError, FakevoiceError
from fakevoice.features.store import CachedFeature
from fakevoice.parallel import torchrun
from fakevoice.pipeline.runner import stale_stages
from fakevoice.training import batches, fold_trainer, loop
from fakevoice.training.cross_validation import check_networks
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.networks import choose_device, load_network, score_rows

PATIENCE_S = 300
N_ROWS, N_BANDS, N_FRAMES = 48, 8, 12
TARGET = (np.arange(N_ROWS)[:, None] // 3 % 2 == [0, 1]).astype(np.float32)
PLAIN = Network(
    feature="mel",
    model=Plugin(name="mlp", args={"width": 8, "dropout": 0.0}),
    training=Training(n_epochs=1, batch_size=8, learning_rate=0.01),
)
NETWORK = Network(
    feature="mel",
    model=Plugin(name="resnet", args={"width": 4}),
    augment=[Plugin(name="spec_augment")],
    training=Training(n_epochs=3, batch_size=8, learning_rate=0.01, ema_decay=0.8),
)
ADAPTING = NETWORK.model_copy(
    update={
        "augment": [Plugin(name="spec_augment"), Plugin(name="mixup")],
        "adapt": [Plugin(name="dann"), Plugin(name="coral"), Plugin(name="mean_teacher")],
    }
)


def watched(task: tuple[str, FoldJob]) -> None:
    """Train a fold while each rank notes gradients, hashes of the parameters, and epochs; checkpoints are kept."""
    name, job = task
    gradients, seen = [], {"states": [], "epochs": [], "drawn": []}
    clip, save, epoch = nn.utils.clip_grad_norm_, fold_trainer._save_checkpoint, loop.TrainingLoop.epoch

    def clipped(parameters, norm):
        parameters = list(parameters)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]).numpy())
        seen["states"].append(hash_of(parameters))
        return clip(parameters, norm)

    def kept(folder, loop, curve):
        save(folder, loop, curve)
        shutil.copy(folder / fold_trainer.CHECKPOINT, folder.parent / f"{name}-{len(curve)}.pt")

    def noted(self, rows, number):
        seen["epochs"].append(number)
        seen["drawn"].append(torch.rand(1, generator=torch.Generator().manual_seed(torch.initial_seed())).item())
        loss = epoch(self, rows, number)
        seen["states"].append(hash_of(self.average.parameters()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", clipped)
        patch.setattr(fold_trainer, "_save_checkpoint", kept)
        patch.setattr(loop.TrainingLoop, "epoch", noted)
        if name == "plain":  # on CPUs each rank normalises its own part of a batch
            patch.setattr(nn, "BatchNorm1d", lambda n_values: nn.Identity())
        train_fold(job)
    np.save(job.folder.parent / f"{name}-{torchrun.rank()}.npy", gradients)
    write_json(job.folder.parent / f"{name}-{torchrun.rank()}.json", seen)


def hash_of(parameters: Iterable[torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parameters)).hexdigest()


def refuse(on: int) -> None:
    """Fail on one rank, while the other one waits for it."""
    if torchrun.rank() == on:
        raise DataError("no disk")
    torchrun.mean(torch.zeros(1))


def lead(folder: Path) -> int:
    """Train every job of the fixture one after another; called by rank 0."""
    for name, job in pickle.loads((folder / "jobs.pkl").read_bytes()).items():
        if name == "resumed":
            job.folder.mkdir()
            shutil.copy(folder / "whole-1.pt", job.folder / fold_trainer.CHECKPOINT)
        torchrun.run_on_all_ranks(watched, (name, job))
    print("led")
    return 0


def lead_to_failure(on: int) -> int:
    """As the command line does: an error is printed, and is the exit code."""
    try:
        torchrun.run_on_all_ranks(refuse, on)
    except FakevoiceError as error:
        print(f"fakevoice: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    word = sys.argv[1]
    led = partial(lead_to_failure, int(word)) if word.isdigit() else partial(lead, Path(word))
    sys.exit(torchrun.run(led, lambda: None))


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
        "plain": made(folder, "plain", PLAIN),
        "whole": made(folder, "whole", NETWORK),
        "resumed": made(folder, "resumed", NETWORK),
    }
    (folder / "jobs.pkl").write_bytes(pickle.dumps(jobs))
    code, out, errors = end(start(__file__, str(folder), TORCH_CPP_LOG_LEVEL="ERROR"))
    assert (code, out, errors) == (0, "led\n", "")  # the other rank prints nothing
    return folder


def notes(folder: Path, name: str, rank: int = 0) -> dict:
    return read_json(folder / f"{name}-{rank}.json")


@pytest.mark.parametrize("name", ["adapting", "plain", "whole"])
def test_every_rank_makes_the_same_step(trained, name):
    gradients = [np.load(trained / f"{name}-{rank}.npy") for rank in (0, 1)]  # (n_steps, n_parameters)
    assert len(gradients[0]) and np.array_equal(*gradients)
    states, others = (notes(trained, name, rank)["states"] for rank in (0, 1))
    assert len(states) > len(gradients[0]) and states == others


def test_the_mean_gradient_of_two_ranks_is_that_of_one_process_on_the_same_batch(trained, tmp_path):
    watched(("plain", made(tmp_path, "plain", PLAIN)))
    ours, theirs = (np.load(folder / "plain-0.npy") for folder in (trained, tmp_path))
    assert np.abs(theirs[0]).max() > 0.01
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6, rtol=0)
    losses = [float((folder / "plain/epochs.csv").read_text().split(",")[-2]) for folder in (trained, tmp_path)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)  # of whole batches, not of a part


def test_two_ranks_learn_what_one_process_learns(trained):
    logits = [logits_of(trained, name)[:, 1] for name in ("whole", "alone")]
    for values in logits:
        ones, zeros = (values[TARGET[:, 1] == label] for label in (1, 0))
        assert np.mean(ones[:, None] > zeros) > 0.8  # AUC


def logits_of(folder: Path, name: str) -> np.ndarray:
    network, _ = load_network(folder / name / fold_trainer.WEIGHTS, torch.device("cpu"))
    return score_rows(network, CachedFeature(folder / "mel", "scenes"), np.arange(N_ROWS))


def test_ranks_drop_other_units(trained):
    first, second = (notes(trained, "whole", rank)["drawn"] for rank in (0, 1))
    assert first == notes(trained, "alone")["drawn"] and not {*first} & {*second}


def test_a_loss_that_is_not_finite_on_one_rank_skips_the_step_on_all(trained):
    n_steps = 3 * (32 // 8)
    assert n_steps - 3 <= len(np.load(trained / "adapting-0.npy")) < n_steps
    losses = (trained / "adapting/epochs.csv").read_text().splitlines()[1:]
    assert np.isfinite([float(line.split(",")[1]) for line in losses]).all()


@pytest.mark.parametrize("on", [0, 1])
def test_a_rank_that_fails_ends_the_command_with_its_message(on):
    code, out, errors = end(start(__file__, str(on)))
    assert code != 0 and out == ""
    who = "fakevoice: " if on == 0 else f"fakevoice: rank 1 on {socket.gethostname()}: "
    assert errors.count("no disk") == 1 and f"{who}no disk\n" in errors


def test_an_interrupted_training_of_all_ranks_ends_with_the_same_bytes(trained):
    assert notes(trained, "resumed")["epochs"] == [1, 2]
    for name in (fold_trainer.WEIGHTS, "epochs.csv"):
        assert (trained / "resumed" / name).read_bytes() == (trained / "whole" / name).read_bytes()


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


@pytest.mark.parametrize("environment", [{"WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "1"}, {"RANK": "0"}])
def test_alone_a_command_is_run_as_it_is(monkeypatch, environment):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torchrun.run(lambda: 3, lambda: pytest.fail("cleaned up")) == 3
    assert torchrun.count() == 1 and torchrun.is_first_rank()


def test_other_commands_are_refused():
    code, _, errors = end(start("-m", "fakevoice", "all", "--config", "demo"))
    assert code != 0 and errors.count("fakevoice: torchrun starts `-m fakevoice train` only") == 1
    assert "exitcode  : 2" in errors


def test_a_batch_that_two_ranks_cannot_share_is_refused(second_of_two):
    config = load_config("demo", ["networks.mel.training.batch_size=9"])
    with pytest.raises(ConfigError, match=r"networks\.mel\.training\.batch_size: a multiple of 2 ranks"):
        check_networks(config, {"mel": (64, 32), "mfcc": (40, 32)})


def test_an_error_is_printed_once_and_ends_all_ranks():
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
