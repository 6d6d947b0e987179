"""The faster arithmetic is found by trying, kept, and not tried where the config has chosen."""

import json

import pytest
import torch

from fakevoice.core.config import load_config
from fakevoice.training import precision
from fakevoice.training.precision import step_times_s, with_precision

CPU, SHAPE = torch.device("cpu"), (64, 32)
NETWORK = load_config("demo", ["networks.mel.model.args.width=4", "networks.mel.training.batch_size=4"]).networks["mel"]


def chosen(tmp_path, network=NETWORK, shape=SHAPE) -> str:
    return with_precision(network, tmp_path / "mel", shape, 2, CPU).training.precision


@pytest.mark.parametrize("has_bf16", [False, True])
@pytest.mark.parametrize(
    ("fp32_s", "bf16_s", "contradicts"),
    [(0.2, 0.1, "bf16"), (0.1, 0.2, "fp32"), (0.1, 0.1, ""), (0.11, 0.1, ""), (0.1, 0.11, ""), (0.01, 0.001, "")],
)
def test_what_the_processor_promises_holds_unless_a_try_says_otherwise(
    tmp_path, monkeypatch, capsys, has_bf16, fp32_s, bf16_s, contradicts
):
    monkeypatch.setattr(precision, "step_times_s", lambda *_: {"fp32": fp32_s, "bf16": bf16_s})
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert chosen(tmp_path) == (contradicts or ("bf16" if has_bf16 else "fp32"))
    assert f"a step of mel takes {1000 * fp32_s:.1f} ms in fp32" in capsys.readouterr().out


def test_what_was_found_holds_though_it_would_be_found_otherwise_now(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "step_times_s", lambda *_: {"fp32": 2.0, "bf16": 1.0})
    assert chosen(tmp_path) == "bf16"
    monkeypatch.setattr(precision, "step_times_s", lambda *_: {"fp32": 1.0, "bf16": 2.0})
    assert chosen(tmp_path) == "bf16"
    wider = NETWORK.model_copy(update={"model": NETWORK.model.model_copy(update={"args": {"width": 6}})})
    assert chosen(tmp_path, shape=(64, 40)) == chosen(tmp_path, wider) == "fp32"  # another network, found anew


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_what_is_asked_for_is_not_tried(tmp_path, monkeypatch, asked):
    monkeypatch.setattr(precision, "step_times_s", lambda *_: 1 / 0)
    training = NETWORK.training.model_copy(update={"precision": asked})
    assert chosen(tmp_path, NETWORK.model_copy(update={"training": training})) == asked
    assert not (tmp_path / "mel").exists()


def test_both_are_measured_and_nothing_else_changes(tmp_path):
    torch.manual_seed(5)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    times = step_times_s(NETWORK, SHAPE, 2, CPU)
    assert list(times) == ["fp32", "bf16"] and all(0 < time < 10 for time in times.values())
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == n_threads
    assert chosen(tmp_path) in ("fp32", "bf16")
    kept = json.loads((tmp_path / "mel" / "precision.json").read_text())
    assert kept["precision"] == chosen(tmp_path) and set(kept) == {"key", "precision"}
