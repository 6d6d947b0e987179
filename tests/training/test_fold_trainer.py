"""One fold: goes on after an interruption with the same bytes, never sees its held-out rows, refuses bad weights."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from fakevoice.core import artifacts, plugins
from fakevoice.core.config_sections import Network, Plugin, Training
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.features.store import CachedFeature
from fakevoice.training import fold_trainer, loop
from fakevoice.training.fold_trainer import FoldJob, train_fold
from fakevoice.training.networks import load_network, score_rows

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
ADAPT = [Plugin(name="dann"), Plugin(name="coral"), Plugin(name="mean_teacher")]
ADAPTING = NETWORK.model_copy(update={"adapt": ADAPT})


def write_feature(folder, rows: np.ndarray, **others: np.ndarray):
    """A cache folder of one shard per split."""
    splits = {"scenes": rows, **others}
    for split, values in splits.items():
        artifacts.write_array(folder / f"{split}-00000.npy", values.astype(np.float16))
    n_clips = {split: len(values) for split, values in splits.items()}
    artifacts.write_json(folder / "manifest.json", {"n_clips": n_clips, "shard_size": len(rows), "outputs": {}})
    return folder


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Noise; the upper bands are louder where the second output holds."""
    x = np.random.default_rng(0).normal(size=(N_ROWS, N_BANDS, N_FRAMES))
    x[:, N_BANDS // 2 :] += 2 * TARGET[:, 1, None, None]
    return x


def noise(seed: int, n_clips: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, (n_clips, N_BANDS, N_FRAMES))


@pytest.fixture
def job(finished_run, rows, tmp_path) -> FoldJob:
    feature = write_feature(tmp_path / "mel", rows, unlabeled=noise(1), test=noise(2))
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


def test_looking_at_the_held_out_fold_changes_no_weight(job):
    looked, not_looked = elsewhere(job, "looked"), elsewhere(job, "not")
    config = job.config.model_copy(update={"epoch_measures": []})
    assert job.config.epoch_measures
    weights = [train_fold(each).read_bytes() for each in (looked, replace(not_looked, config=config))]
    assert weights[0] == weights[1]
    assert (
        "auc" in (looked.folder / "epochs.csv").read_text()
        and "auc" not in (not_looked.folder / "epochs.csv").read_text()
    )


def test_the_curve_watches_the_same_few_of_the_held_out_rows_in_every_epoch(job, monkeypatch):
    scored = []
    monkeypatch.setattr(fold_trainer, "N_WATCHED", 5)
    monkeypatch.setattr(fold_trainer, "score_rows", lambda *asked: scored.append(asked[2]) or score_rows(*asked))
    train_fold(with_training(job, n_epochs=2))
    first, second = scored
    assert len(first) == len(set(first)) == 5
    assert np.array_equal(first, second) and set(first) <= set(np.flatnonzero(FOLD == 1))


def interrupt_after(n_epochs: int, monkeypatch) -> None:
    """Stop the training as Ctrl-C would, right after a checkpoint."""
    save, count = fold_trainer._save_checkpoint, []

    def save_and_stop(*args):
        save(*args)
        count.append(1)
        if len(count) == n_epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(fold_trainer, "_save_checkpoint", save_and_stop)


@pytest.mark.parametrize(("n_epochs", "network"), [(1, NETWORK), (2, NETWORK), (1, ADAPTING), (2, ADAPTING)])
def test_an_interrupted_training_ends_with_the_same_bytes(job, monkeypatch, n_epochs, network):
    job = replace(job, network=network)
    undisturbed = elsewhere(job, "undisturbed")
    train_fold(undisturbed)
    with monkeypatch.context() as patch:
        interrupt_after(n_epochs, patch)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    assert not (job.folder / "weights.safetensors").exists()
    epochs, epoch = [], loop.TrainingLoop.epoch
    monkeypatch.setattr(
        loop.TrainingLoop, "epoch", lambda self, batches, number: epochs.append(number) or epoch(self, batches, number)
    )
    train_fold(job)
    assert epochs == list(range(n_epochs, 3))  # it did go on, not start again
    for name in ("weights.safetensors", "epochs.csv"):
        assert (job.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "other architecture"])
def test_a_damaged_checkpoint_starts_the_fold_again(job, monkeypatch, damage):
    undisturbed = elsewhere(job, "undisturbed")
    train_fold(undisturbed)
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    checkpoint = job.folder / fold_trainer.CHECKPOINT
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif damage == "flip":  # of a weight: PyTorch would not notice
        content = bytearray(checkpoint.read_bytes())
        content[len(content) // 2] ^= 1
        checkpoint.write_bytes(content)
    elif damage == "text":
        checkpoint.write_text("no checkpoint")
    else:
        state = torch.load(io.BytesIO(artifacts.read_with_checksum(checkpoint)), weights_only=True)
        state["fit"]["objective"].popitem()
        content = io.BytesIO()
        torch.save(state, content)
        artifacts.write_with_checksum(checkpoint, content.getvalue())
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
    others = [{"name": "mel"}, {"name": "lem"}, {"name": "mel", "index": 2}]  # two names of the same letters
    jobs = [elsewhere(first, str(place), **other) for place, other in enumerate(others)]
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


STATES = {"fake": 0.25, "fake+fake": 0.25, "real": 0.25, "none": 0.25}


def with_states(job: FoldJob, head: str) -> FoldJob:
    """The same scenes; fake ones are in the first two states by turns, the others real."""
    config = job.config.model_copy(update={"scenes": job.config.scenes.model_copy(update={"states": STATES})})
    state = np.where(TARGET[:, 0] == 1, np.arange(N_ROWS) // 6 % 2, 3)  # of sorted states
    target = np.eye(4, dtype=np.float32)[state] if head == "states" else TARGET
    return replace(job, config=config, target=target, network=job.network.model_copy(update={"head": head}))


def test_a_head_of_states_learns_and_gives_the_labels(job):
    weights = train_fold(with_training(with_states(job, "states"), n_epochs=8))
    network, settings = load_network(weights, CPU)
    assert settings["states"] == sorted(STATES) and settings["outputs"] == ["fake", "real"]
    logits = score_rows(network, CachedFeature(job.features, "scenes"), np.flatnonzero(FOLD == 1))
    assert logits.shape == (16, 2) and logits.dtype == np.float64
    assert ((logits > 0) == TARGET[FOLD == 1]).mean() > 0.9


def test_where_labels_are_put_out_the_states_change_nothing(job):
    network, _ = load_network(train_fold(with_states(elsewhere(job, "states"), "labels")), CPU)
    other, _ = load_network(train_fold(job), CPU)
    assert all(map(torch.equal, network.model.state_dict().values(), other.model.state_dict().values()))


@pytest.mark.parametrize("plugin", ADAPT, ids=[plugin.name for plugin in ADAPT])
def test_an_adaptation_changes_the_weights_and_repeats_exactly(job, plugin):
    adapting = replace(job, network=NETWORK.model_copy(update={"adapt": [plugin]}))
    first, again = (train_fold(elsewhere(adapting, place)).read_bytes() for place in ("first", "again"))
    assert first == again
    network, _ = load_network(adapting.folder / "first" / "weights.safetensors", CPU)
    plain, _ = load_network(train_fold(job), CPU)
    weights = [one.model.stem[0].weight for one in (network, plain)]
    assert not torch.equal(*weights) and torch.isfinite(weights[0]).all()


def test_unlabeled_clips_count_and_test_clips_do_not(job, rows, tmp_path):
    def trained(place: str, **splits) -> bytes:
        return train_fold(elsewhere(job, place, features=write_feature(tmp_path / place, rows, **splits))).read_bytes()

    job = replace(job, network=ADAPTING)
    weights = train_fold(job).read_bytes()
    assert trained("other_test", unlabeled=noise(1), test=1000 * noise(3)) == weights
    assert trained("other_unlabeled", unlabeled=noise(3), test=noise(2)) != weights


def test_fewer_unlabeled_clips_than_a_batch_are_drawn_again(job, rows, tmp_path):
    few = write_feature(tmp_path / "few", rows, unlabeled=np.zeros((2, N_BANDS, N_FRAMES)))
    adapting = with_training(replace(job, network=ADAPTING, features=few), batch_size=16)
    network, _ = load_network(train_fold(adapting), CPU)
    assert all(torch.isfinite(tensor).all() for tensor in network.model.state_dict().values())


def test_a_batch_whose_loss_is_not_finite_is_skipped(job):
    target = TARGET.copy()
    target[0] = np.inf
    network, _ = load_network(train_fold(replace(job, target=target)), CPU)
    logits = score_rows(network, CachedFeature(job.features, "scenes"), np.arange(N_ROWS))
    assert np.isfinite(logits).all()
    assert network.model.state_dict()  # and it is a whole network, not the initial one without an update
    losses = [float(line.split(",")[1]) for line in (job.folder / "epochs.csv").read_text().splitlines()[1:]]
    assert np.isfinite(losses).all()


def forget_above(n_clips: int, monkeypatch) -> None:
    """As a GPU whose memory holds no larger batch."""
    forward = fold_trainer.Objective.forward

    def limited(self, x, *rest):
        if len(x) > n_clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(self, x, *rest)

    monkeypatch.setattr(fold_trainer.Objective, "forward", limited)


def test_a_batch_that_memory_cannot_hold_goes_through_in_pieces(job, monkeypatch, capsys):
    """Without what depends on a whole batch, or on chance, the network is the same."""
    monkeypatch.setattr(nn.BatchNorm1d, "forward", lambda self, x: x)
    network = job.network.model_copy(update={"model": Plugin(name="mlp", args={"dropout": 0.0})})
    job = with_training(replace(job, network=network), n_epochs=1)
    whole, _ = load_network(train_fold(elsewhere(job, "whole")), CPU)
    forget_above(2, monkeypatch)
    pieces, _ = load_network(train_fold(elsewhere(job, "pieces")), CPU)
    assert capsys.readouterr().out.splitlines() == [
        f"train: out of GPU memory; a batch goes through in {n} pieces from here on" for n in (2, 4)
    ]
    pairs = zip(whole.model.parameters(), pieces.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_memory_that_cannot_hold_two_clips_says_what_to_lower(job, monkeypatch):
    forget_above(1, monkeypatch)
    with pytest.raises(FakevoiceError, match=r"^CUDA out of memory: lower training\.batch_size"):
        train_fold(job)


def test_too_many_such_batches_stop_the_training(job, monkeypatch):
    monkeypatch.setattr(loop, "MAX_BAD_BATCHES", 5)
    with pytest.raises(FakevoiceError, match=r"not finite in 6 batches: lower training\.learning_rate"):
        config = job.config.model_copy(update={"epoch_measures": []})  # which would find nothing to measure
        train_fold(replace(job, target=np.full_like(TARGET, np.inf), config=config))
    assert not (job.folder / "weights.safetensors").exists()


def test_fewer_rows_than_a_batch(job):
    with pytest.raises(FakevoiceError, match="batch_size"):
        train_fold(with_training(job, batch_size=64))


def test_measures_of_the_held_out_fold_stand_beside_the_loss_and_change_nothing(job, tmp_path):
    config = job.config.model_copy(update={"epoch_measures": ["log_loss", "accuracy"]})
    measured = replace(job, config=config, folder=tmp_path / "measured")
    assert train_fold(measured).read_bytes() == train_fold(job).read_bytes()
    lines = (measured.folder / "epochs.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,learning_rate,log_loss,accuracy" and len(lines) == 1 + NETWORK.training.n_epochs
    network, _ = load_network(measured.folder / "weights.safetensors", CPU)
    held_out = np.flatnonzero(job.index == FOLD)
    logits = score_rows(network, CachedFeature(job.features, "scenes"), held_out)
    expected = plugins.load("metrics", "log_loss").measure(TARGET[held_out], expit(logits), multiclass=False)
    assert float(lines[-1].split(",")[3]) == pytest.approx(expected, abs=1e-6)


def test_a_warm_start_takes_the_layers_that_fit(job, tmp_path):
    first = train_fold(job)
    network = NETWORK.model_copy(update={"training": NETWORK.training.model_copy(update={"learning_rate": 1e-12})})
    again = replace(job, network=network, folder=tmp_path / "again", warm_start=first)
    kept, start = (load_network(path, CPU)[0].model.state_dict() for path in (train_fold(again), first))
    learned = [name for name in start if start[name].is_floating_point() and "running" not in name]
    assert all(torch.allclose(kept[name], start[name], atol=1e-6) for name in learned)


def test_a_warm_start_for_other_outputs_learns_its_head_anew(job, tmp_path):
    first = train_fold(job)
    target = np.hstack([TARGET, TARGET[:, :1]])
    three = replace(job, target=target, folder=tmp_path / "three", warm_start=first)
    three = replace(three, config=job.config.model_copy(update={"classes": ["a", "b", "c"]}))
    assert load_network(train_fold(three), CPU)[0].model.head[1].out_features == 3


def test_weights_of_another_model_are_refused(job, tmp_path):
    first = train_fold(job)
    other = NETWORK.model_copy(update={"model": Plugin(name="mlp")})
    with pytest.raises(ConfigError, match=r"no layer of .* fits MeanPerceptron"):
        train_fold(replace(job, network=other, folder=tmp_path / "other", warm_start=first))
