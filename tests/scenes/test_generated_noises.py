"""The bank holds enough noises of every kind, for each fold its own, always the same."""

import numpy as np
import pytest

from fakevoice.audio.channel import rms
from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.scenes.generated_noises import LENGTH, MAX_OF_A_KIND, SCENES_PER_NOISE, make_noises
from fakevoice.scenes.noise_bank import NoiseBank

WORDS = ["clip_duration_s=1", "sample_rate_hz=8000", "folds.n_folds=2", "scenes.noises=[hum,rain,wind]"]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def made(*words: str) -> NoiseBank:
    return make_noises(load_config("demo", [*WORDS, *words]))


def sounds(bank: NoiseBank) -> np.ndarray:
    return np.stack([bank[segment] for segment in bank.table["segment"]])


def test_every_fold_has_its_own_of_every_kind():
    bank = made("scenes.n_scenes=60")
    counts = bank.table.groupby(["kind", "fold"]).size()
    assert counts.index.tolist() == [(kind, fold) for kind in ("hum", "rain", "wind") for fold in (0, 1)]
    assert counts.nunique() == 1 and counts.iloc[0] > 1
    assert len(np.unique(sounds(bank), axis=0)) == len(bank.table)


def test_all_are_longer_than_a_scene_and_of_unit_level():
    bank = made("scenes.n_scenes=60")
    assert set(bank.table["n_samples"]) == {round(LENGTH * 8000)}
    assert [rms(bank[segment]) for segment in bank.table["segment"]] == pytest.approx([1.0] * len(bank.table), abs=0.01)


def test_the_more_scenes_the_more_noises_up_to_a_limit():
    words = ["scenes.noises=[coloured]", "scenes.mined_noise_probability=0", "scenes.event_probability=0"]
    each = [len(made(*words, f"scenes.n_scenes={n}").table) // 2 for n in (1, 10 * SCENES_PER_NOISE, 10**6)]
    assert each == [1, 5, MAX_OF_A_KIND]


def test_same_seed_same_noises():
    first, again, other = made("scenes.n_scenes=9"), made("scenes.n_scenes=9"), made("scenes.n_scenes=9", "seed=1")
    assert np.array_equal(first.samples, again.samples) and not np.array_equal(first.samples, other.samples)


def test_all_kinds_where_none_is_named():
    bank = make_noises(load_config("demo", [*WORDS[:3], "scenes.n_scenes=1"]))
    assert sorted(set(bank.table["kind"])) == plugins.names("noises")
