"""Kept networks: score the same whatever ran before, refuse weights that are not theirs."""

import pickle

import numpy as np
import pytest
import torch

from fakevoice.cache import CachedFeature
from fakevoice.errors import ArtefactError, FakevoiceError
from fakevoice.networks import choose_device, load_network, score_rows

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
    with pytest.raises(ArtefactError, match=str(path)):
        load_network(path, CPU)


def test_an_absent_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(FakevoiceError, match="no GPU"):
        choose_device("cuda")
