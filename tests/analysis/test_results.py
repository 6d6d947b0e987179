"""The tables of a run: what they hold, which clips they are of, and that a report can read them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fakevoice.analysis import results, results_report
from fakevoice.analysis.finished_run import load_run
from fakevoice.core.artifacts import write_json
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Published
from fakevoice.core.tables import write_table
from fakevoice.ensemble import evaluate
from fakevoice.metrics.slices import label_and_probability, measure_all
from fakevoice.pipeline.runner import run_pipeline, stale_stages


@pytest.fixture
def run(damageable):
    return load_run(damageable.config)


def test_what_a_run_of_scenes_has(run):
    tables = results.collect(run)
    assert list(tables) == ["members", "by_fold", "epochs"]  # mixed scenes have no one group; no labels of the test
    assert tables["members"]["member"].tolist() == ["mel", "mfcc", "stack", "ensemble"]
    assert len(tables["by_fold"]) == 4 * run.config.folds.n_folds


def test_without_networks_there_are_no_epochs_to_tell_of(run):
    assert run.config.epoch_measures and len(results._epochs(run))
    assert results._epochs(replace(run, config=run.config.model_copy(update={"networks": {}}))).empty


def test_by_fold_is_the_metric_of_the_scenes_of_that_fold(damageable, monkeypatch):
    monkeypatch.setattr(evaluate, "scored_rows", lambda scenes, *rest: np.arange(len(scenes)))  # each scene once
    config = load_config("demo", [*damageable.overrides, "ensemble.n_bootstrap=10"])
    run_pipeline(config, "ensemble")
    run = load_run(config)
    table = results.collect(run)["by_fold"].set_index(["fold", "member"])
    for fold, rows in run.oof.groupby("fold"):
        of_fold = measure_all(("dacon_score", "auc"), *label_and_probability(rows, config.outputs), config)
        assert table.loc[(fold, "ensemble"), "dacon_score"] == pytest.approx(of_fold["dacon_score"])
        assert table.loc[(fold, "ensemble"), "auc"] == pytest.approx(of_fold["auc"])


def truth_of(run) -> pd.DataFrame:
    """Made labels of the test: two subsets, in each bona fide and one attack."""
    test = run.clips.loc[run.clips["split"] == "test", "id"].to_numpy()
    attack = np.resize(["-", "A07", "-", "A01"], len(test))
    subset = np.resize(["eval", "eval", "dev", "dev"], len(test))
    label = np.where(attack == "-", "real", "fake")
    return pd.DataFrame({"id": test, "label": label, "attack": attack, "subset": subset})


def test_an_attack_is_measured_against_the_bona_fide_clips_of_its_subset(run):
    truth = truth_of(run)[3:].reset_index(drop=True)  # of the others nothing is known
    write_table(run.paths.stage("prepare") / "truth.csv", truth[::-1])
    table = results.collect(run)["test"].set_index("clips")
    assert list(table.index) == ["all", "attack A01", "attack A07", "subset dev", "subset eval"]
    assert table.loc["all", "n"] == len(truth)
    assert table.loc["attack A07", "n"] == table.loc["subset eval", "n"] == (truth["subset"] == "eval").sum() > 3
    kept = (truth["subset"] == "eval").to_numpy()
    label = np.stack([truth["label"] == name for name in ("fake", "real")], axis=1)[kept]
    expected = measure_all(("auc",), label, run.test_probability[3:][kept], run.config)["auc"]
    assert table.loc["attack A07", "auc"] == pytest.approx(expected)


def test_what_the_data_tells_a_metric_reaches_it(run):
    truth = truth_of(run)
    of_real = np.where(truth["subset"] == "eval", 0.7, 0.1)  # half of them seem more fake than any fake
    suspicion = np.where(truth["label"] == "fake", 0.6, of_real)
    probability = np.stack([suspicion, 1 - suspicion], axis=1)
    run = replace(run, config=run.config.model_copy(update={"measures": ["min_tdcf"]}), test_probability=probability)
    write_table(run.paths.stage("prepare") / "truth.csv", truth)
    without = results.collect(run)["test"]["min_tdcf"].iloc[0]
    rates = {"p_miss_asv": 0.45, "p_fa_asv": 0.0, "p_miss_spoof_asv": 0.0}
    write_json(run.paths.stage("prepare") / "measures.json", {"min_tdcf": rates})
    assert results.collect(run)["test"]["min_tdcf"].iloc[0] != without


def test_a_report_can_read_everything(run):
    write_table(run.paths.stage("prepare") / "truth.csv", truth_of(run))
    published = Published(
        source="somebody", by_fold={"mel": [0.2, 0.4]}, systems={"MLP": {"auc": 0.6}, "CNN": {"dacon_score": 0.3}}
    )
    run = type(run)(**{**vars(run), "config": run.config.model_copy(update={"published": published})})
    tables = results.collect(run)
    text = json.dumps(results.as_json(run, tables, "./run.sh all"), allow_nan=False)
    read = json.loads(text)
    assert read["source"] == "somebody" and read["published"][2] == {
        "system": "mel", "fold": "mean", "dacon_score": pytest.approx(0.3), "auc": None,
    }  # fmt: skip
    page = results_report.as_markdown(tables, run.config, "./run.sh all", 30, 10)
    assert "| fold | published: mel |" in page and "30 training clips of 10 groups" in page
    assert "| published | MLP |" in page and "| ours | ensemble |" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| 0 ")}
    assert len(widths) == 1


def test_the_last_epoch_is_always_shown():
    epochs = pd.DataFrame({"network": "a", "epoch": np.arange(1.0, 61.0), "loss": 0.5})
    shown = results_report._thinned(epochs)["epoch"].tolist()
    assert len(shown) <= results_report.MAX_EPOCHS and shown[-1] == 60
    assert results_report._thinned(epochs.head(7))["epoch"].tolist() == list(range(1, 8))
    assert results_report._thinned(epochs.head(1))["epoch"].tolist() == [1]


def test_the_chart_is_named_by_the_one_model_of_all_networks(run):
    assert results_report.performance_name(run.config) == "resnet_performance.png"
    networks = run.config.networks
    other = networks["mel"].model_copy(update={"model": networks["mel"].model.model_copy(update={"name": "lcnn"})})
    mixed = run.config.model_copy(update={"networks": networks | {"mel": other}})
    assert results_report.performance_name(mixed) == "demo_performance.png"


def test_what_is_published_may_be_added_to_a_finished_run(damageable):
    words = ["published.source=them", "published.systems.B.auc=0.6", "published.systems.A.auc=0.7"]
    config = load_config("demo", [*damageable.overrides, *words])
    assert [name for name, reason in stale_stages(config) if reason] == ["results"]
    run_pipeline(config)
    read = json.loads((damageable.paths.stage("results") / "results.json").read_text())
    assert [row["system"] for row in read["published"]] == ["B", "A"]  # in the order of the config
