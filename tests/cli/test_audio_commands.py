"""What `monitor --retrain` starts, and the dashboard of what `monitor --watch` and `serve` export."""

import json
import re
from argparse import Namespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakevoice.cli import audio_commands, commands
from fakevoice.core.config import REPOSITORY, load_config
from fakevoice.core.errors import ConfigError
from fakevoice.monitor.watch import WHAT
from fakevoice.serve.metrics import ServiceMetrics


def test_retraining_is_a_new_experiment_from_the_weights_of_the_run(monkeypatch):
    started = []
    monkeypatch.setattr(commands, "run_all", started.append)
    words = ["inbox/", "experiment=first", "seed=3"]
    options = Namespace(config="demo", words=words)
    audio_commands.retrain(options, ["inbox/"], load_config("demo", words[1:]))
    (given,) = started
    assert given.config == "demo" and given.resume_from == "first" and not given.force and not given.verify
    assert given.words[0] == "seed=3" and re.fullmatch(r"experiment=first-\d{8}-\d{6}", given.words[1])
    assert len(given.words) == 2


def test_retraining_is_refused_while_watching():
    with pytest.raises(ConfigError, match="--retrain: not with --watch"):
        audio_commands.monitor(Namespace(config="demo", words=["inbox/"], watch=True, retrain=True))


def test_the_grafana_dashboard_shows_every_metric_and_no_other():
    dashboard = json.loads((REPOSITORY / "docs/how-to/grafana_dashboard.json").read_text())
    service = ServiceMetrics()
    service.heard({"fake": [0.5]}, [0.5], 1.0)
    service.requests.labels("/", "200"), service.seconds.labels("/"), service.rejected.labels("400")
    families = list(text_string_to_metric_families(service.text().decode()))
    samples = {sample.name for family in families for sample in family.samples}
    known = {name for name in samples if not name.endswith(("_created", "_sum", "_count"))}
    known |= {f"fakevoice_monitor_{name}" for name in WHAT}
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"fakevoice_\w+", expression)}
    assert used == known - {"fakevoice_monitor_n", "fakevoice_monitor_n_new"}
