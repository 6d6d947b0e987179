"""Kept networks: score the same whatever ran before, refuse weights that are not theirs."""

import json
import pickle

import numpy as np
import pytest
import safetensors
import torch
from scipy.special import expit, logit, softmax

from fakevoice.core.config_sections import Network, Plugin
from fakevoice.core.errors import ArtifactError, FakevoiceError
from fakevoice.features.store import CachedFeature
from fakevoice.training.networks import (
    TrainedNetwork,
    build_model,
    choose_device,
    label_log_odds,
    load_network,
    save_network,
    score_rows,
    state_membership,
)
from fakevoice.training.standardize import Standardizer

CPU = torch.device("cpu")


class _Malicious:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was run')",)


def test_logits_do_not_depend_on_what_ran_before_in_this_process(finished_run):
    """Training leaves torch with one thread, a fresh process has as many as there are cores."""
    network, _ = load_network(finished_run.paths.stage("train") / "mel/fold0/weights.safetensors", CPU)
    (folder,) = finished_run.paths.cache.glob("mel-*")
    feature, before, logits = CachedFeature(folder, "test"), torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            logits.append(np.concatenate([score_rows(network, feature, np.arange(n)) for n in (1, 5, 8, 16)]))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*logits)


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "cut", "pickle", "torch pickle", "other architecture", "no settings"]
)
def test_weights_that_do_not_fit_are_refused_with_their_path(finished_run, tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    good = (finished_run.paths.stage("train") / "mel/fold0/weights.safetensors").read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(_Malicious()))
    elif damage == "torch pickle":
        torch.save(_Malicious(), path)
    elif damage == "other architecture":
        assert good.count(b'\\"width\\": 4') == 1
        path.write_bytes(good.replace(b'\\"width\\": 4', b'\\"width\\": 5'))
    elif damage == "no settings":
        path.write_bytes(good.replace(b'"settings":', b'"sittings":'))
    with pytest.raises(ArtifactError, match=str(path)):
        load_network(path, CPU)


def test_an_absent_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(FakevoiceError, match="no GPU"):
        choose_device("cuda")


STATES, OUTPUTS = ["fake", "fake+fake", "none", "real", "real+fake", "real+real"], ["fake", "real"]


def test_label_log_odds_against_sums_of_probabilities():
    logits = np.random.default_rng(0).normal(0, 3, (50, len(STATES)))
    probability = softmax(logits, axis=1)
    expected = np.zeros((50, 2))
    for column, output in enumerate(OUTPUTS):
        for state, share in zip(STATES, probability.T, strict=True):
            expected[:, column] += share * (output in state.split("+"))
    odds = label_log_odds(torch.from_numpy(logits), state_membership(STATES, OUTPUTS, CPU)).numpy()
    np.testing.assert_allclose(odds, logit(expected), atol=1e-9)
    assert np.abs(expit(odds) - expected).max() < 1e-12


def test_label_log_odds_neither_overflow_nor_round_to_certainty():
    logits = torch.tensor([[0.0, 0, 300, 0, 0, 0], [1e4, -1e4, 0, 0, 0, 0], [0.0] * 6], requires_grad=True)
    odds = label_log_odds(logits, state_membership(STATES, OUTPUTS, CPU))
    heard = np.log(3) - 300
    np.testing.assert_allclose(odds[0].detach(), [heard, heard], rtol=1e-6)
    np.testing.assert_allclose(odds[2].detach(), [0, 0], atol=1e-6)
    odds.sum().backward()
    assert torch.isfinite(odds).all() and torch.isfinite(logits.grad).all()


def test_a_constant_added_to_all_states_changes_nothing():
    logits, own = torch.randn(5, 6, dtype=torch.float64), state_membership(STATES, OUTPUTS, CPU)
    torch.testing.assert_close(label_log_odds(logits + 7, own), label_log_odds(logits, own))


def test_labels_alone_have_no_membership():
    assert state_membership([], OUTPUTS, CPU) is None


@pytest.mark.parametrize("head", ["labels", "states"])
def test_saved_weights_know_what_their_outputs_are(tmp_path, head):
    """Nothing but the file is needed: settings are read from it, not typed again."""
    states = STATES if head == "states" else []
    network = Network(feature="mel", model=Plugin(name="resnet", args={"width": 2}), head=head)
    model = build_model(network.model, (8, 12), len(states or OUTPUTS)).to(memory_format=torch.channels_last)
    standardizer = Standardizer("none", np.zeros((8, 1), np.float32), np.ones((8, 1), np.float32))
    trained = TrainedNetwork(model, standardizer, CPU, state_membership(states, OUTPUTS, CPU))
    path, batch = tmp_path / "weights.safetensors", np.random.default_rng(0).random((3, 1, 8, 12), np.float32)
    save_network(path, trained, network, (8, 12), OUTPUTS, states)
    loaded, _ = load_network(path, CPU)
    logits = loaded.logits(iter([batch]))
    assert logits.shape == (3, 2) and np.array_equal(logits, trained.logits(iter([batch])))
    with safetensors.safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["settings"])["states"] == states
