"""tracking=mlflow: what a run was made with and how it scored, as one run of MLflow, in a database of this home.

    ./run.sh all --config NAME tracking=mlflow
    MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db

Nothing leaves this machine.
"""

import json
import math
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import Config, config_hash, digest
from fakevoice.core.errors import ArtifactError, ConfigError, install_extra
from fakevoice.core.paths import Paths
from fakevoice.core.tables import read_table

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_TELEMETRY, LOGGING = "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_LOGGING_LEVEL"
TOLD_OF = "ensemble"  # tag that says what a run of MLflow tells of, so that nothing is told twice
MAX_KEY, MAX_VALUE = 250, 6000  # characters that MLflow takes of a parameter
NOT_IN_KEYS = re.compile(r"[^\w\-. :/]")
NOT_OF_THE_RUN = ("experiment", "studies", "published")  # keys of a config that change nothing in its models
CONDITIONS = re.compile(r"(expected|oof|discounted)_(score|low|high)")


def check_installed() -> None:
    """Say so before a long run where MLflow is missing.

    Raises:
        ConfigError: it is.
    """
    if find_spec("mlflow") is None:
        raise ConfigError(f"tracking=mlflow needs MLflow: {install_extra('tracking')}")


def track(config: Config) -> str:
    """Tell MLflow of a finished run: parameters, scores, learning curves, and the files that one hands on.

    A run that it knows already, of the same config and ensemble, is not told again; one that a kill cut short is.

    Returns:
        What was told, and how to look at it.

    Raises:
        ConfigError: MLflow is not installed.
        ArtifactError: the run is not finished, or MLflow cannot use its database.
    """
    check_installed()
    run = load_run(config)
    database = run.paths.home / "runs" / "mlflow.db"
    uri, name = f"sqlite:///{database}", f"{run.config.experiment}-{config_hash(run.config)}"
    files, metrics, params = _files(run.paths), _metrics(run), _params(run.config)
    with _quietly():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            client = MlflowClient(tracking_uri=uri)
            experiment = _experiment(client, run)
            if is_new := _forget_halves(client, experiment, _identity(run)):
                _tell(client, experiment, name, _identity(run), params, metrics, files)
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"MLflow cannot use {database}: {reason}; move it away, and it begins anew") from error
    told = f"{len(params)} parameters, {len(metrics)} numbers, {len(files)} files" if is_new else "known already"
    look = f"{NO_TELEMETRY}=true .venv/bin/mlflow ui --backend-store-uri {uri}"
    return f"MLflow: {run.config.competition}/{name}, {told}\n  {look}"


def _identity(run: Run) -> str:
    """What stays the same as long as config and ensemble do."""
    outputs = read_json(run.paths.stage("ensemble") / "manifest.json")["outputs"]
    return digest([config_hash(run.config), outputs])[:16]


def _params(config: Config) -> dict[str, str]:
    """Every key of the config with dots, and its value as text, as far as MLflow takes them."""
    tree = config.model_dump(mode="json", exclude=set(NOT_OF_THE_RUN))
    return {NOT_IN_KEYS.sub("-", key)[:MAX_KEY]: value[:MAX_VALUE] for key, value in _flat(tree)}


def _flat(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value if isinstance(value, str) else json.dumps(value)


def _metrics(run: Run) -> list[tuple[str, float, int]]:
    """Name, value and step: of the ensemble's score, of members over all folds and in each, of learning curves.

    ``expected_score``, ``mel.auc``, ``mel.auc.fold0``; and ``mel.fold0.loss`` at each epoch.
    """
    found = [(key, value, 0) for key, value in run.metrics.items() if CONDITIONS.fullmatch(key)]
    for row in run.members.set_index("member").itertuples():
        found += [(f"{row.Index}.{name}", value, 0) for name, value in row._asdict().items() if name != "Index"]
    by_fold = read_table(run.paths.stage("ensemble") / "by_fold.csv", ("member",))
    for (member, fold), row in by_fold.set_index(["member", "fold"]).iterrows():
        found += [(f"{member}.{name}.fold{fold}", value, 0) for name, value in row.items()]
    for network in run.config.networks:
        for fold in sorted(run.scenes["fold"].unique()):
            curve = read_table(run.paths.stage("train") / network / f"fold{fold}" / "epochs.csv").set_index("epoch")
            found += [(f"{network}.fold{fold}.{name}", curve.at[epoch, name], int(epoch))
                      for name in curve for epoch in curve.index]  # fmt: skip
    return [(NOT_IN_KEYS.sub("-", key), float(value), step) for key, value, step in found if math.isfinite(value)]


def _files(places: Paths) -> list[Path]:
    """The page and the charts of the stage `results`, the submission, and the config."""
    outputs = []
    for stage in ("results", "submission"):
        manifest = places.stage(stage) / "manifest.json"
        if not manifest.is_file():
            raise ArtifactError(f"no {stage} of {places.run} yet: ./run.sh all first")
        outputs += [places.home / file for file in read_json(manifest)["outputs"]]
    shown = [file for file in outputs if file.suffix in (".md", ".png", ".csv")]
    return [*shown, places.stage("ensemble") / "config.json"]


def _experiment(client: "MlflowClient", run: Run) -> str:
    """Number of MLflow's experiment for the competition; made where there is none."""
    known = client.get_experiment_by_name(run.config.competition)
    if known is None:
        folder = run.paths.home / "runs" / "mlflow" / run.config.competition
        return client.create_experiment(run.config.competition, artifact_location=folder.as_uri())
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return known.experiment_id


def _forget_halves(client: "MlflowClient", experiment: str, identity: str) -> bool:
    """Whether MLflow knows nothing of an ensemble, after deleting what a kill cut short."""
    known = client.search_runs([experiment], f"tags.{TOLD_OF} = '{identity}'")
    halves = [run for run in known if run.info.status != "FINISHED"]
    for run in halves:
        client.delete_run(run.info.run_id)
    return len(halves) == len(known)


def _tell(
    client: "MlflowClient",
    experiment: str,
    name: str,
    identity: str,
    params: dict[str, str],
    metrics: list[tuple[str, float, int]],
    files: list[Path],
) -> None:
    from mlflow.entities import Metric, Param

    now_ms = round(1000 * time.time())
    run_id = client.create_run(experiment, run_name=name, tags={TOLD_OF: identity}).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, now_ms, step) for key, value, step in metrics],
        params=[Param(key, value) for key, value in params.items()],
    )
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)


@contextmanager
def _quietly() -> Iterator[None]:
    """No telemetry, no word of the tables that MLflow makes, no warnings of what it imports."""
    os.environ |= {NO_TELEMETRY: "true", LOGGING: "ERROR"}  # read when it is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
