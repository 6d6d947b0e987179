"""One fold: goes on after an interruption with the same bytes, never sees its held-out rows, refuses bad weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakevoice import storage, trainer
from fakevoice.cache import CachedFeature
from fakevoice.config import Network, Plugin, Training
from fakevoice.errors import FakevoiceError
from fakevoice.networks import load_network, score_rows
from fakevoice.trainer import FoldJob, loss_function, train_fold

CPU = torch.device("cpu")
N_ROWS, N_BANDS, N_FRAMES = 48, 8, 12
FOLD = np.arange(N_ROWS) % 3
# (n_rows, 2), the outputs exclude each other
TARGET = (np.arange(N_ROWS)[:, None] // 3 % 2 == [0, 1]).astype(np.float32)
NETWORK = Network(
    feature="mel",
    model=Plugin(name="resnet", args={"width": 4}),
    augment=[Plugin(name="spec_augment")],
    training=Training(n_epochs=3, batch_size=8, learning_rate=0.01, ema_decay=0.8),
)


def write_feature(folder, rows: np.ndarray):
    """A cache folder of one shard."""
    storage.write_array(folder / "scenes-00000.npy", rows.astype(np.float16))
    storage.write_json(folder / "manifest.json", {"n_clips": {"scenes": len(rows)}, "shard_size": len(rows)})
    return folder


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Noise; the upper bands are louder where the second output holds."""
    x = np.random.default_rng(0).normal(size=(N_ROWS, N_BANDS, N_FRAMES))
    x[:, N_BANDS // 2 :] += 2 * TARGET[:, 1, None, None]
    return x


@pytest.fixture
def job(finished_run, rows, tmp_path) -> FoldJob:
    feature = write_feature(tmp_path / "mel", rows)
    return FoldJob(
        *("mel", NETWORK, finished_run.config, feature, TARGET, FOLD, 1),
        folder=tmp_path / "fold1",
        tensorboard=tmp_path / "tensorboard",
    )


def elsewhere(job: FoldJob, place: str, **changes) -> FoldJob:
    return replace(job, folder=job.folder / place, tensorboard=job.tensorboard / place, **changes)


def with_training(job: FoldJob, **settings) -> FoldJob:
    training = job.network.training.model_copy(update=settings)
    return replace(job, network=job.network.model_copy(update={"training": training}))


def test_it_learns_and_leaves_weights_curve_and_events(job):
    weights = train_fold(with_training(job, n_epochs=8))
    network, settings = load_network(weights, CPU)
    logits = score_rows(network, CachedFeature(job.features, "scenes"), np.flatnonzero(FOLD == 1))
    assert ((logits > 0) == TARGET[FOLD == 1]).mean() > 0.9
    assert settings["outputs"] == ["fake", "real"]
    curve = (job.folder / "epochs.csv").read_text().splitlines()
    assert len(curve) == 1 + 8
    assert float(curve[-1].split(",")[1]) < float(curve[1].split(",")[1])
    assert {path.name for path in job.folder.iterdir()} == {"weights.safetensors", "epochs.csv"}
    assert list(job.tensorboard.glob("events.*"))


def interrupt_after(n_epochs: int, monkeypatch) -> None:
    """Stop the training as Ctrl-C would, right after a checkpoint."""
    save, count = trainer._save_checkpoint, []

    def save_and_stop(*args):
        save(*args)
        count.append(1)
        if len(count) == n_epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_save_checkpoint", save_and_stop)


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_an_interrupted_training_ends_with_the_same_bytes(job, monkeypatch, n_epochs):
    undisturbed = elsewhere(job, "undisturbed")
    train_fold(undisturbed)
    with monkeypatch.context() as patch:
        interrupt_after(n_epochs, patch)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    assert not (job.folder / "weights.safetensors").exists()
    epochs, epoch = [], trainer._Fit.epoch
    monkeypatch.setattr(
        trainer._Fit, "epoch", lambda fit, batches, number: epochs.append(number) or epoch(fit, batches, number)
    )
    train_fold(job)
    assert epochs == list(range(n_epochs, 3))  # it did go on, not start again
    for name in ("weights.safetensors", "epochs.csv"):
        assert (job.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "text", "other architecture"])
def test_a_damaged_checkpoint_starts_the_fold_again(job, monkeypatch, damage):
    undisturbed = elsewhere(job, "undisturbed")
    train_fold(undisturbed)
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    checkpoint = job.folder / trainer.CHECKPOINT
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif damage == "text":
        checkpoint.write_text("no checkpoint")
    else:
        state = torch.load(checkpoint, weights_only=True)
        state["fit"]["model"].popitem()
        torch.save(state, checkpoint)
    train_fold(job)
    assert (job.folder / "weights.safetensors").read_bytes() == (
        undisturbed.folder / "weights.safetensors"
    ).read_bytes()


def test_held_out_rows_are_never_seen(job, rows, tmp_path):
    held_out = np.equal(FOLD, job.index)
    other_rows, other_target = rows.copy(), TARGET.copy()
    other_rows[held_out] = 1000.0
    other_target[held_out] = 1 - other_target[held_out]
    poisoned = elsewhere(
        job, "poisoned", features=write_feature(tmp_path / "poisoned", other_rows), target=other_target
    )
    assert train_fold(poisoned).read_bytes() == train_fold(job).read_bytes()


def test_folds_and_networks_start_from_their_own_seeds(job):
    first = with_training(job, n_epochs=1)
    jobs = [elsewhere(first, "a"), elsewhere(first, "b", name="other"), elsewhere(first, "c", index=2)]
    assert len({train_fold(one).read_bytes() for one in jobs}) == 3


@pytest.mark.parametrize(("task", "outputs"), [("binary", ["fake"]), ("multiclass", ["fake", "real"])])
def test_other_tasks(job, task, outputs):
    config = job.config.model_copy(update={"task": task})
    weights = train_fold(with_training(replace(job, config=config, target=TARGET[:, : len(outputs)]), n_epochs=8))
    network, settings = load_network(weights, CPU)
    assert settings["outputs"] == outputs
    logits = score_rows(network, CachedFeature(job.features, "scenes"), np.flatnonzero(FOLD == 1))
    assert logits.shape == (16, len(outputs))
    fake = logits[:, 0] > (logits[:, 1] if task == "multiclass" else 0)
    assert (fake == TARGET[FOLD == 1, 0]).mean() > 0.9


def test_losses_by_hand():
    logits, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]])
    binary = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert loss_function(logits, target, "multilabel", 0.0).item() == pytest.approx(binary)
    assert loss_function(logits, target, "multiclass", 0.0).item() == pytest.approx(np.log1p(np.exp(-2)))
    smooth = np.log(2) / 2 + (np.log1p(np.exp(-2)) + 0.1 * 2) / 2  # target 0.9: a tenth of the logit more
    assert loss_function(logits, target, "multilabel", 0.2).item() == pytest.approx(smooth)


def test_a_batch_whose_loss_is_not_finite_is_skipped(job):
    target = TARGET.copy()
    target[0] = np.nan
    network, _ = load_network(train_fold(replace(job, target=target)), CPU)
    logits = score_rows(network, CachedFeature(job.features, "scenes"), np.arange(N_ROWS))
    assert np.isfinite(logits).all()
    assert network.model.state_dict()  # and it is a whole network, not the initial one without an update
    losses = [float(line.split(",")[1]) for line in (job.folder / "epochs.csv").read_text().splitlines()[1:]]
    assert np.isfinite(losses).all()


def test_too_many_such_batches_stop_the_training(job, monkeypatch):
    monkeypatch.setattr(trainer, "MAX_BAD_BATCHES", 5)
    with pytest.raises(FakevoiceError, match=r"not finite in 6 batches: lower training\.learning_rate"):
        train_fold(replace(job, target=np.full_like(TARGET, np.nan)))
    assert not (job.folder / "weights.safetensors").exists()


def test_fewer_rows_than_a_batch(job):
    with pytest.raises(FakevoiceError, match="batch_size"):
        train_fold(with_training(job, batch_size=64))
