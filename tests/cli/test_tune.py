"""Searching values: words become ranges, trials go on where they were, and the best comes first."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from fakevoice.cli import tune as tuning
from fakevoice.cli.search_space import make_plan
from fakevoice.cli.tune import summary, tune
from fakevoice.core import artifacts
from fakevoice.core.artifacts import read_json, write_json
from fakevoice.core.config import REPOSITORY, Config
from fakevoice.core.errors import ArtifactError, ConfigError, DataError, LockedError
from fakevoice.core.paths import paths

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is an extra")

PATIENCE_S = 120
LEAVES = "stacker.n_leaves=3..31"
HANGS_IN_THE_SECOND = """
import sys, time
from fakevoice.cli import tune as tuning
from fakevoice.core.paths import paths
from fakevoice.core.artifacts import write_json

def run(config, last):
    if config.experiment.endswith("-1"):
        print("hangs", config.stacker.n_leaves, flush=True)
        time.sleep(600)
    write_json(paths(config).stage("ensemble") / "metrics.json", {"oof_score": 0.5})

tuning.run_pipeline = run
tuning.tune("demo", sys.argv[1:], 3)
"""


class Killed(BaseException):
    """As sudden as a kill: no `except Exception` stops it."""


class Line:
    """Stands for the line: a score at once.

    Attributes:
        score: of a config.
        ran: experiment and leaves of each run.
    """

    def __init__(self):
        self.score: Callable[[Config], float] = lambda config: abs(config.stacker.n_leaves - 17) / 100
        self.ran: list[tuple[str, int]] = []

    def __call__(self, config: Config, last: str) -> None:
        assert last == "ensemble"
        self.ran.append((config.experiment, config.stacker.n_leaves))
        metrics = {"oof_score": 99.0, "discounted_score": self.score(config)}
        write_json(paths(config).stage("ensemble") / "metrics.json", metrics)


@pytest.fixture
def line(tmp_path, monkeypatch) -> Line:
    """No stage is run and no plug-in is tried; all of it in a home of its own."""
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "check_features", lambda config: {})
    monkeypatch.setattr(tuning, "check_networks", lambda config, shapes: None)
    monkeypatch.setattr(tuning, "run_pipeline", stand_in := Line())
    return stand_in


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=1"], "nothing to search"),
        (["stacker.n_leaves=31..3"], "from a smaller to a larger number"),
        (["stacker.n_leaves=3..3"], "from a smaller to a larger number"),
        (["stacker.l2=0..1:log"], "from a smaller to a larger number above 0"),
        (["stacker.n_leafs=3..31"], "unknown key 'stacker.n_leafs'; did you mean 'n_leaves'"),
        (["stacker.n_leaves=1..31"], "stacker.n_leaves"),
        (["stacker.feature_fraction=0.1..1.5"], "stacker.feature_fraction"),
        (["folds.unit=group|chanel|channel"], "folds.unit"),
        ([LEAVES, "sed=1"], "did you mean 'seed'"),
        ([LEAVES, "stacker.l2=3..x"], "stacker.l2"),
    ],
)
def test_impossible_words_stop_before_any_trial(line, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        tune("demo", words, 3)
    assert line.ran == [] and not list(tmp_path.iterdir())


def test_a_wrong_argument_of_a_plugin_stops_before_any_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "run_pipeline", lambda *args: pytest.fail("a trial was run"))
    with pytest.raises(ConfigError, match=r"networks.mel.model.args: unknown key 'widht'; did you mean 'width'"):
        tune("demo", ["networks.mel.model.args.widht=4..8"], 3)


def test_the_best_comes_first(line):
    table = tune("demo", [LEAVES], 8)
    assert table.columns.tolist() == ["number", "stacker.n_leaves", "score", "difference", "seconds"]
    assert table["score"].is_monotonic_increasing and table["number"].sort_values().tolist() == list(range(8))
    assert (table["score"] - abs(table["stacker.n_leaves"] - 17) / 100).abs().max() < 1e-12
    assert table["difference"].tolist() == pytest.approx((table["score"] - table["score"].min()).tolist())
    assert table["stacker.n_leaves"].between(3, 31).all() and table["stacker.n_leaves"].nunique() > 3


def test_greater_may_be_better(line):
    line.score = lambda config: -abs(config.stacker.n_leaves - 17) / 100
    table = tune("demo", [LEAVES, "metric=auc"], 14)
    assert table["score"].is_monotonic_decreasing and (table["difference"] <= 0).all()
    assert abs(table["stacker.n_leaves"].iloc[0] - 17) <= 3  # the search goes the same way as the table


def test_the_score_as_simulated_where_there_is_no_other(line, monkeypatch):
    def run(config: Config, last: str) -> None:
        write_json(paths(config).stage("ensemble") / "metrics.json", {"oof_score": 0.25, "expected_score": 0.1})

    monkeypatch.setattr(tuning, "run_pipeline", run)
    assert tune("demo", [LEAVES], 1)["score"].tolist() == [0.25]


def test_it_goes_on_as_if_it_had_never_ended(line, tmp_path, monkeypatch):
    words = [LEAVES, "stacker.l2=0.1..100:log"]
    first = tune("demo", words, 3)
    assert len(line.ran) == 3
    resumed = tune("demo", words, 12)
    assert set(resumed["number"]) >= set(first["number"]) and len(line.ran) == len(resumed) == 12
    again = tune("demo", words, 12)
    assert len(line.ran) == 12 and again.equals(resumed)
    assert tune("demo", list(reversed(words)), 2)["number"].tolist() == resumed["number"].tolist()
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "another"))
    at_once = tune("demo", words, 12)
    assert at_once.drop(columns="seconds").equals(resumed.drop(columns="seconds"))


def test_what_is_fixed_is_another_study(line):
    tune("demo", [LEAVES], 2)
    assert len(tune("demo", [LEAVES, "stacker.l2=3"], 1)) == 1
    assert len({experiment.rpartition("-")[0] for experiment, _ in line.ran}) == 2


def test_equal_values_have_one_run(line):
    line.score = lambda config: 0.3
    table = tune("demo", ["stacker.n_leaves=3|7"], 8)
    runs = dict(line.ran)
    assert len(table) == 8 and sorted(runs.values()) == [3, 7]


def test_impossible_values_are_passed_over(line, capsys):
    def score(config: Config) -> float:
        if config.scenes.container == "mp3":
            raise ConfigError("no mp3 today")
        return math.nan if config.scenes.container == "opus" else 0.2

    line.score = score
    table = tune("demo", ["scenes.container=vorbis|mp3|opus"], 4)
    assert table["scenes.container"].tolist() == ["vorbis"] * 4
    shown = capsys.readouterr().out
    assert "impossible: no mp3 today" in shown and "impossible: dacon_score is nan" in shown


def test_where_nothing_is_possible_it_ends(line, monkeypatch):
    monkeypatch.setattr(tuning, "MAX_IMPOSSIBLE", 4)

    def score(config: Config) -> float:
        raise ConfigError("install Dask first")

    line.score = score
    with pytest.raises(
        ConfigError, match=r"4 trials in a row could not be run, the last one since: install Dask first"
    ):
        tune("demo", [LEAVES], 3)
    line.score = lambda config: 0.2
    assert len(tune("demo", [LEAVES], 3)) == 3  # those count for nothing


@pytest.mark.parametrize("error", [Killed(), DataError("a file is gone")])
def test_what_was_stopped_is_tried_again_in_its_place(line, error):
    score, stopped = line.score, []

    def stop_in_the_second(config: Config) -> float:
        if len(line.ran) == 2:
            stopped.append(line.ran[-1])
            raise error
        return score(config)

    line.score = stop_in_the_second
    with pytest.raises(type(error)):
        tune("demo", [LEAVES], 3)
    line.ran.append(("stopped", 0))
    table = tune("demo", [LEAVES], 3)
    assert line.ran[3] == stopped[0] and table["number"].sort_values().tolist() == [0, 2, 3]
    assert line.ran[3][1] in table["stacker.n_leaves"].tolist()


def test_killed_in_the_middle_of_a_trial(line, tmp_path):
    """By the system, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "FAKEVOICE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", HANGS_IN_THE_SECOND, LEAVES]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    alarm = signal.signal(signal.SIGALRM, lambda *args: process.kill())
    signal.alarm(PATIENCE_S)
    try:
        with process.stdout:
            hanging = next(text for text in process.stdout if text.startswith("hangs"))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        process.kill()
        process.wait()
    table = tune("demo", [LEAVES], 3)
    assert line.ran[0][1] == int(hanging.split()[1]) and line.ran[0][0].endswith("-1")
    assert table["number"].sort_values().tolist() == [0, 2, 3]
    assert table["score"].max() == 0.5  # of the trial before the kill


def test_progress(line, capsys):
    tune("demo", [LEAVES, "stacker.l2=0.5..4.0"], 2)
    shown = capsys.readouterr().out
    number = r"[\d.]+"
    pattern = (
        rf"trial 2 of 2: stacker.n_leaves=\d+ stacker.l2={number}: dacon_score {number}, best {number}, 0.0 s left"
    )
    assert re.search(pattern, shown)
    assert "[I " not in shown


def test_two_at_once(line):
    def meanwhile(config: Config) -> float:
        with pytest.raises(LockedError, match="in use by process"):
            tune("demo", [LEAVES], 3)
        return 0.2

    line.score = meanwhile
    assert len(tune("demo", [LEAVES], 1)) == 1


def test_a_damaged_database_is_named(line, tmp_path):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "tune.db").write_text("not a database")
    with pytest.raises(ArtifactError, match=r"cannot use .*tune.db"):
        tune("demo", [LEAVES], 1)


def test_without_optuna(line, monkeypatch):
    monkeypatch.setattr(tuning, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tune needs Optuna: \./run\.sh install tune"):
        tune("demo", [LEAVES], 1)


def test_summary(line, tmp_path):
    words = [LEAVES, "ensemble.calibrator=identity|platt", "measures=[auc, brier]"]
    table = tune("demo", words, 7)
    text, study = summary("demo", words, table), make_plan("demo", words).study
    best = table.iloc[0]
    chosen = f"stacker.n_leaves={best['stacker.n_leaves']} ensemble.calibrator={best['ensemble.calibrator']}"
    assert f"./run.sh all --config demo 'measures=[auc, brier]' {chosen}" in text
    n_runs = len(list((tmp_path / "runs" / "demo").glob(f"tune-{study}-*")))
    assert f"{n_runs} runs of this study take 0 MB" in text
    assert f"rm -r {tmp_path}/runs/demo/tune-{study}-*" in text
    assert "how much" not in text  # seven trials tell nothing of it


def test_importance_of_keys(line):
    words = [LEAVES, "stacker.l2=0.1..100:log"]
    text = summary("demo", words, tune("demo", words, 14))
    shares = re.findall(r"^  (stacker\.\w+) +([\d.]+)%$", text, flags=re.MULTILINE)
    assert [key for key, _ in shares] == ["stacker.n_leaves", "stacker.l2"]
    assert sum(float(share) for _, share in shares) == pytest.approx(100, abs=0.2)


def test_of_one_key_there_is_no_importance(line):
    assert "how much" not in summary("demo", [LEAVES], tune("demo", [LEAVES], 14))


def test_the_line_itself(damageable, monkeypatch):
    """Networks that the words leave as they are are taken from the run that is there."""
    words = [*damageable.overrides, "stacker.n_rounds=5..40"]
    table = tune("demo", words, 2)
    study, runs = make_plan("demo", words).study, damageable.paths.run.parent
    for row in table.itertuples():
        run = runs / f"tune-{study}-{row.number}"
        assert row.score == read_json(run / "ensemble" / "metrics.json")["discounted_score"]
        assert not (run / "submission").exists()
        for weights in (damageable.paths.stage("train")).rglob("*.safetensors"):
            lent = run / "train" / weights.relative_to(damageable.paths.stage("train"))
            assert lent.stat().st_mtime_ns == weights.stat().st_mtime_ns
    assert table["score"].nunique() == table["stacker.n_rounds"].nunique() == 2
    monkeypatch.setattr(artifacts, "write_array", lambda *args: pytest.fail("something was done"))
    assert tune("demo", words, 2).equals(table)


def test_a_changed_network_is_trained_anew(damageable):
    words = [*damageable.overrides, "networks.mfcc.training.learning_rate=1e-4..1e-2:log"]
    (row,) = tune("demo", words, 1).itertuples()
    run = damageable.paths.run.parent / f"tune-{make_plan('demo', words).study}-0"
    for weights in (damageable.paths.stage("train")).rglob("*.safetensors"):
        made = run / "train" / weights.relative_to(damageable.paths.stage("train"))
        assert (made.read_bytes() == weights.read_bytes()) == ("mel" in made.parts)
    assert math.isfinite(row.score)
