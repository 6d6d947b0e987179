"""Weights of another run: found, of the same fold, and never those of a model that saw what is held back."""

import pytest

from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError, LeakError
from fakevoice.core.paths import paths
from fakevoice.pipeline.runner import run_pipeline, stale_stages
from fakevoice.training.warm_start import check_warm_start, weight_files

WORDS = ["experiment=tuned", "networks.mel.warm_start=demo/default/mel"]


def config_of(run, *words: str):
    return load_config("demo", [*run.overrides, *WORDS, *words])


def test_fold_k_starts_from_fold_k(at_home):
    config = config_of(at_home)
    files = weight_files(config.networks["mel"], config, paths(config))
    train = at_home.paths.stage("train") / "mel"
    assert files == [train / f"fold{index}" / "weights.safetensors" for index in range(config.folds.n_folds)]
    assert weight_files(config.networks["mfcc"], config, paths(config)) == []


def test_a_run_that_is_not_there_is_named(at_home):
    config = config_of(at_home, "networks.mel.warm_start=demo/other/mel")
    with pytest.raises(ConfigError, match=r"\./run\.sh train --config demo experiment=other"):
        check_warm_start(config.networks["mel"], config, paths(config))


@pytest.mark.parametrize("word", ["mel", "demo/mel", "demo/default/mel/fold0"])
def test_a_warm_start_has_three_parts(at_home, word):
    with pytest.raises(ConfigError, match=r"networks\.mel\.warm_start"):
        config_of(at_home, f"networks.mel.warm_start={word}")


@pytest.fixture
def with_folds(damageable):
    """Writes folds.csv of the run that starts from another one, a change of that one's lines."""

    def write(change) -> None:
        own = paths(config_of(damageable)).stage("folds")
        own.mkdir(parents=True, exist_ok=True)
        header, *rows = (damageable.paths.stage("folds") / "folds.csv").read_text().splitlines()
        (own / "folds.csv").write_text("\n".join([header, *change(rows)]) + "\n")

    return write


def test_other_folds_of_the_same_competition_are_a_leak(damageable, with_folds):
    config = config_of(damageable)
    with_folds(lambda rows: [*rows[1:], rows[0][:-1] + str(1 - int(rows[0][-1]))])
    with pytest.raises(LeakError, match=r"saw held-out clips \(1 of them"):
        check_warm_start(config.networks["mel"], config, paths(config))


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows[::-1], lambda rows: [*rows, "demo,NEW,g999999,fake,1"], lambda rows: rows[3:]],
    ids=["order", "new", "gone"],
)
def test_folds_in_which_no_clip_has_moved_are_none(damageable, with_folds, change):
    config = config_of(damageable)
    with_folds(change)
    check_warm_start(config.networks["mel"], config, paths(config))


def test_a_tuned_run_goes_stale_with_the_weights_that_it_started_from(damageable):
    config = config_of(damageable)
    assert run_pipeline(config, "train")
    started = read_json(paths(config).stage("train") / "manifest.json")["inputs"]
    assert "runs/demo/default/train/mel/fold0/weights.safetensors" in started
    reasons = dict(stale_stages(config))
    assert reasons["train"] == ""
    (damageable.paths.stage("train") / "mel" / "fold0" / "weights.safetensors").write_bytes(b"others")
    assert "weights.safetensors" in dict(stale_stages(config))["train"]
