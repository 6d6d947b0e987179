"""Windows of a file pooled into one answer, and the choice of how."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.ensemble.pooling import POOLINGS, choose_pooling, cross_fitted_files, pool

CONFIG = load_config("deepvoice")
LOG_ODDS = np.array([[-2.0, 1.0], [0.0, -1.0], [1.0, 3.0], [3.0, 0.0], [-1.0, 2.0]])
NAMES = list(POOLINGS)


def test_poolings_by_hand():
    probability = expit(LOG_ODDS)
    found = {name: pool(probability, [name, name], [-1, -1]) for name in NAMES}
    assert found["mean"] == pytest.approx(expit([0.2, 1.0]))
    assert found["max"] == pytest.approx(expit([3.0, 3.0]))
    assert found["top_k"] == pytest.approx(expit([2.0, 2.5]))  # a quarter of five windows is two
    weights = [softmax(LOG_ODDS[:, output]) for output in (0, 1)]
    assert found["attention"] == pytest.approx(expit([weights[0] @ LOG_ODDS[:, 0], weights[1] @ LOG_ODDS[:, 1]]))


def test_attention_follows_the_output_that_another_one_depends_on():
    pooled = pool(expit(LOG_ODDS), ["attention", "attention"], [1, -1])
    assert pooled[0] == pytest.approx(expit(softmax(LOG_ODDS[:, 1]) @ LOG_ODDS[:, 0]))


@pytest.mark.parametrize("name", NAMES)
def test_one_window_is_the_file_and_a_file_twice_as_long_gets_the_same(name):
    probability = expit(LOG_ODDS)
    assert pool(probability[:1], [name, name], [-1, -1]) == pytest.approx(probability[0])
    if name != "top_k":  # its share of the windows is rounded up
        twice = np.repeat(probability, 2, axis=0)
        assert pool(twice, [name, name], [-1, -1]) == pytest.approx(pool(probability, [name, name], [-1, -1]))


def files_with(signal: str, seed: int, n_files: int = 120) -> tuple[list[np.ndarray], np.ndarray]:
    """Windows whose mean, or whose largest value, tells the labels; the number of windows tells nothing."""
    rng = np.random.default_rng(seed)
    present = rng.integers(0, 2, (n_files, 2))
    fake = present & rng.integers(0, 2, (n_files, 2))
    label = np.column_stack([fake.any(axis=1), fake, present])
    windows = []
    for row in label:
        log_odds = rng.normal(0, 1, (rng.integers(4, 20), 5))
        if signal == "mean":
            log_odds += 1.5 * row
        else:
            log_odds[rng.integers(len(log_odds))] += 6.0 * row
        windows.append(expit(log_odds))
    return windows, label


def test_the_better_pooling_is_chosen_for_each_output():
    everywhere, label = files_with("mean", 0)
    once, _ = files_with("max", 0)
    config = CONFIG.model_copy(update={"files": CONFIG.files.model_copy(update={"pooling": ["mean", "max"]})})
    assert choose_pooling(everywhere, label, config) == ["mean"] * 5
    mixed = [np.column_stack([a[:1].repeat(len(b), 0)[:, :3], b[:, 3:]]) for a, b in zip(everywhere, once, strict=True)]
    assert choose_pooling(mixed, label, config)[3:] == ["max"] * 2


def test_a_metric_without_a_value_leaves_the_first_pooling():
    windows, label = files_with("mean", 1, 10)
    assert choose_pooling(windows, np.zeros_like(label), CONFIG) == ["mean"] * 5


def test_the_pooling_of_a_fold_is_chosen_on_the_others():
    windows, label = files_with("max", 2)
    fold = np.arange(len(windows)) % 3
    honest = cross_fitted_files(windows, label, fold, CONFIG)
    turned = np.where((fold == 0)[:, None], 1 - label, label)
    assert np.array_equal(cross_fitted_files(windows, turned, fold, CONFIG)[fold == 0], honest[fold == 0])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("files.hop_s=5", "files.hop_s: 5 s is longer than a clip"),
        ("files.pooling=[]", "files.pooling"),
        ("files.pooling=[median]", "files.pooling"),
        ("files.duration_s=[0,5]", "files.duration_s"),
    ],
)
def test_impossible_settings_of_files_are_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        load_config("deepvoice", [word])


def test_files_are_simulated_only_with_scenes():
    with pytest.raises(ConfigError, match=r"files.n_files: .*scenes\.states"):
        load_config("digits", ["files.n_files=10"])
