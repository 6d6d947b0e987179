"""A finished run in MLflow: told once, with all of its numbers and files, and nobody else hears of it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fakevoice.core.artifacts import checksum, read_json
from fakevoice.core.config import REPOSITORY, config_hash, load_config
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.tables import read_table
from fakevoice.pipeline import tracking
from fakevoice.pipeline.tracking import track

PATIENCE_S = 120
BUILD_MACHINE = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS")  # where MLflow keeps silent by itself
ALONE = """
import socket, sys
def refuse(*address):
    sys.exit(f"somebody is called: {address}")
socket.socket.connect = socket.getaddrinfo = refuse
from fakevoice.core.config import load_config
from fakevoice.pipeline.tracking import track
track(load_config("demo", sys.argv[1:]))
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
"""

needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is an extra")


@dataclass
class Tracked:
    """A home whose run was told to MLflow.

    Attributes:
        said: what `track` returned.
    """

    home: Path
    said: str

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=f"sqlite:///{self.home / 'runs' / 'mlflow.db'}")

    def runs(self) -> list:
        """What MLflow shows of the competition."""
        return self.client.search_runs([self.client.get_experiment_by_name("demo").experiment_id])


@pytest.fixture(scope="module")
def tracked(finished_run, tmp_path_factory) -> Tracked:
    """Told once for all tests, since MLflow takes seconds to make its tables; they only read it."""
    home, elsewhere = finished_run.copy(tmp_path_factory.mktemp("tracked")), tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.chdir(elsewhere)
        said = track(finished_run.config)
    assert not list(elsewhere.iterdir())  # as mlruns/ would be
    return Tracked(home, said)


@pytest.fixture
def changeable(damageable, tracked) -> Tracked:
    """The same in a home that the test may change."""
    shutil.copy(tracked.home / "runs" / "mlflow.db", damageable.home / "runs" / "mlflow.db")
    return Tracked(damageable.home, tracked.said)


@needs_mlflow
def test_parameters_are_the_keys_of_the_config(tracked, finished_run):
    (run,) = tracked.runs()
    assert run.info.run_name == f"default-{config_hash(finished_run.config)}" and run.info.status == "FINISHED"
    expected = {
        "stacker.n_rounds": "10",
        "networks.mel.model.name": "resnet",
        "networks.mel.training.schedule": "cosine",
        "scenes.states.real-fake": "0.17",
        "classes": '["fake", "real"]',
    }
    assert {key: run.data.params.get(key) for key in expected} == expected
    assert not [key for key in run.data.params if key.startswith(("studies", "published", "experiment"))]


@needs_mlflow
def test_numbers_are_those_of_the_run(tracked, finished_run):
    (run,) = tracked.runs()
    ensemble, metrics = finished_run.paths.stage("ensemble"), run.data.metrics
    summary = read_json(ensemble / "metrics.json")
    for condition in ("expected", "oof", "discounted"):
        for end in ("score", "low", "high"):
            assert metrics[f"{condition}_{end}"] == summary[f"{condition}_{end}"]
    members = read_table(ensemble / "members.csv", ("member",)).set_index("member")
    assert metrics["mel.auc"] == members.loc["mel", "auc"]
    assert metrics["ensemble.dacon_score"] == members.loc["ensemble", "dacon_score"]
    by_fold = read_table(ensemble / "by_fold.csv", ("member",)).set_index(["fold", "member"])
    assert metrics["stack.brier.fold1"] == by_fold.loc[(1, "stack"), "brier"]


@needs_mlflow
def test_learning_curves_have_a_step_for_each_epoch(tracked, finished_run):
    (run,) = tracked.runs()
    curve = read_table(finished_run.paths.stage("train") / "mfcc" / "fold1" / "epochs.csv")
    told = tracked.client.get_metric_history(run.info.run_id, "mfcc.fold1.loss")
    assert [(point.step, point.value) for point in told] == list(zip(curve["epoch"], curve["loss"], strict=True))
    assert len(told) == 2


@needs_mlflow
def test_files_that_one_hands_on(tracked, finished_run):
    (run,) = tracked.runs()
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(tracked.home / "runs" / "mlflow" / "demo")
    results = {path.name for path in finished_run.paths.stage("results").iterdir()}
    pages = {name for name in results if name.endswith((".md", ".png"))}
    submission = finished_run.submission()
    assert {path.name for path in folder.iterdir()} == {"config.json", submission.name, *pages} and len(pages) >= 2
    assert checksum(folder / submission.name) == checksum(submission)


@needs_mlflow
def test_what_is_said(tracked, finished_run):
    (run,) = tracked.runs()
    first, look = tracked.said.splitlines()
    assert first.startswith(f"MLflow: demo/{run.info.run_name}, {len(run.data.params)} parameters, ")
    assert look.strip() == (
        f"MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow ui --backend-store-uri sqlite:///{tracked.home}/runs/mlflow.db"
    )


@needs_mlflow
def test_nothing_is_told_twice(changeable, finished_run):
    (before,) = changeable.runs()
    assert "known already" in track(finished_run.config)
    (after,) = changeable.runs()
    assert after.info.run_id == before.info.run_id and after.data.metrics == before.data.metrics


@needs_mlflow
def test_another_ensemble_is_told_beside_it(changeable, damageable):
    table = damageable.paths.stage("ensemble") / "by_fold.csv"
    table.write_text(table.read_text() + "\n")
    from tests.support.sealing import seal  # not above: this file is run by itself, too

    seal(damageable.paths, "ensemble")
    assert "known already" not in track(damageable.config)
    assert len(changeable.runs()) == 2


@needs_mlflow
def test_what_a_kill_cut_short_is_told_again(changeable, damageable, monkeypatch):
    from mlflow import MlflowClient

    class Killed(BaseException):
        """As sudden as a kill."""

    def stop_here(*args):
        raise Killed

    (first,) = changeable.runs()
    changeable.client.delete_run(first.info.run_id)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(MlflowClient, "log_artifact", stop_here)
        track(damageable.config)
    assert [run.info.status for run in changeable.runs()] == ["RUNNING"]
    track(damageable.config)
    (run,) = changeable.runs()
    assert run.info.status == "FINISHED" and run.data.params == first.data.params


@needs_mlflow
def test_an_experiment_that_was_deleted_comes_back(changeable, finished_run):
    changeable.client.delete_experiment(changeable.client.get_experiment_by_name("demo").experiment_id)
    track(finished_run.config)
    assert len(changeable.runs()) == 1


@pytest.mark.slow
@needs_mlflow
def test_alone_it_calls_nobody_and_says_nothing(changeable, finished_run, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in BUILD_MACHINE}
    environment |= {"PYTHONPATH": str(REPOSITORY / "src"), "MLFLOW_DISABLE_TELEMETRY": "false"}
    (changeable.home / "runs" / "mlflow.db").unlink()
    command = [sys.executable, "-c", ALONE, *finished_run.overrides]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(changeable.runs()) == 1


@needs_mlflow
def test_a_damaged_database_is_named(damageable):
    (damageable.home / "runs" / "mlflow.db").write_text("not a database")
    with pytest.raises(ArtifactError, match=r"runs/mlflow.db"):
        track(damageable.config)


@pytest.mark.parametrize("stage", ["ensemble", "results", "submission"])
def test_a_run_that_is_not_finished(damageable, monkeypatch, stage):
    monkeypatch.setattr(tracking, "find_spec", lambda name: True)
    shutil.rmtree(damageable.paths.stage(stage))
    with pytest.raises(ArtifactError, match=r"\./run\.sh all"):
        track(damageable.config)
    assert not (damageable.home / "runs" / "mlflow.db").exists()


def test_without_mlflow(at_home, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tracking=mlflow needs MLflow: \./run\.sh install tracking"):
        track(at_home.config)


def test_parameters_are_no_longer_than_mlflow_takes_them():
    many = [f"a_class_with_a_long_name_{number}" for number in range(400)]
    config = load_config("digits", [f"classes=[{','.join(many)}]"])
    params = tracking._params(config)
    assert len(params["classes"]) == tracking.MAX_VALUE and params["classes"].startswith('["a_class')
