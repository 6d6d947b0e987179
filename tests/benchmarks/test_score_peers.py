"""Peers beside a finished run: trained by the same line on the same folds, scored by the same measures."""

import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array, read_json, write_json
from fakevoice.core.config import REPOSITORY, load_config
from fakevoice.core.errors import ArtifactError, DataError
from fakevoice.core.paths import paths
from fakevoice.core.tables import read_table
from fakevoice.ensemble.blend import fit_blend
from fakevoice.ensemble.evaluate import scored_rows
from fakevoice.training.cross_validation import check_networks

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("score_peers", REPOSITORY / "benchmarks" / "score_peers.py")
score_peers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(score_peers)
FILES = sorted(score_peers.PEERS.glob("*.yaml"))
TINY_ARGS = {"cnn": {"width": 4}, "lcnn": {"width": 4}, "aasist": {"n_filters": 12, "max_masked": 3, "widths": [4, 8]}}


def shrink(file, folder):
    """The same peer, small enough for a test."""
    tree = yaml.safe_load(file.read_text())
    config = tree["config"]
    if config["scenes"]:
        config["scenes"]["n_scenes"] = 40
    for name, network in config["networks"].items():
        network["model"].setdefault("args", {}).update(TINY_ARGS.get(name, {}))
        network["training"] |= {"n_epochs": 1, "batch_size": 10}
    (folder / file.name).write_text(yaml.safe_dump(tree))
    return folder / file.name


@pytest.fixture(scope="module")
def measured(finished_run, tmp_path_factory):
    """All peers beside the tiny demo: home, the JSON's rows by system, and the solution's file."""
    folder = tmp_path_factory.mktemp("peers")
    files = [str(shrink(file, folder)) for file in FILES]
    home, out = finished_run.copy(folder), folder / "peers.json"
    solution = home / "data" / "demo" / "solution.csv"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        environment.setattr(score_peers, "N_DRAWS", 10)
        words = ["--config", "demo", "--solution", str(solution), "--out", str(out), *finished_run.overrides]
        score_peers.main([*words, "--peers", *files])
    return home, {row["system"]: row for row in json.loads(out.read_text())}, solution


@pytest.mark.parametrize("name", ["voices", "demo"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_peer_can_be_run(file, name):
    peer = score_peers.read_peer(file, load_config(name))
    assert peer.config.experiment == f"peer_{file.stem}" and peer.config.folds == load_config(name).folds
    (network,) = peer.config.networks.values()
    shape = (1, 80_000) if network.feature == "waveform" else (60, 100)
    check_networks(peer.config, {network.feature: shape})


def test_who_uses_what():
    peers = {file.stem: score_peers.read_peer(file, load_config("voices")) for file in FILES}
    assert {name: peer.temperature for name, peer in peers.items() if peer.temperature != 1} == {"aasist": 3.5}
    on_scenes = {name for name, peer in peers.items() if peer.config.scenes.states}
    assert on_scenes == {"aasist", "lcnn"}
    scenes = [peers[name].config.scenes for name in on_scenes]
    assert all(law.resynthesis_probability == 0 for law in scenes)
    assert [name for name, peer in peers.items() if peer.config.networks[name].head == "states"] == ["aasist"]


def test_every_system_has_a_line(measured):
    _, rows, _ = measured
    titles = [yaml.safe_load(file.read_text())["title"] for file in FILES]
    assert list(rows) == [*titles, "ours: mel", "ours: mfcc", "ours: stack", "ours: ensemble"]
    for row in rows.values():
        for split in ("oof", "test"):
            assert set(row[split]) == {"score", "AUC", "Brier", "ECE"}
            assert all(low <= high and 0 <= value <= 1 for value, low, high in row[split].values())


def test_folds_and_the_finished_run_stay_as_they_were(measured, finished_run):
    home, _, _ = measured
    before = finished_run.contents()
    after = {name: (home / name).read_bytes() for name in before if name.startswith(("runs/demo/default", "folds.csv"))}
    assert len(after) > 20
    assert all((finished_run.home / name).read_bytes() == content for name, content in after.items())


def test_our_lines_are_those_of_the_run(measured, finished_run):
    _, rows, _ = measured
    table = read_table(finished_run.paths.stage("ensemble") / "members.csv", ("member",)).set_index("member")
    for member, row in table.iterrows():
        found = {name: value for name, (value, _, _) in rows[f"ours: {member}"]["oof"].items()}
        expected = {title: row[name] for title, name in score_peers.MEASURES.items()}
        assert found == pytest.approx(expected, abs=1e-5), member


def test_members_answer_at_the_shares_of_the_whole(damageable):
    """Their test probabilities are a calibrated mean of the folds' logits, moved where the ensemble's shares are."""
    file, answers = damageable.stage_file("ensemble.json"), {}
    few, many = [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]  # nothing, real alone, fake alone, both
    for name, shares in (("few", few), ("many", many)):
        write_json(file, {**read_json(file), "shares": shares})
        answers[name] = score_peers.our_answers(damageable.config)
    for low, high in zip(answers["few"][:-1], answers["many"][:-1], strict=True):
        assert (high.test[:, 0] > low.test[:, 0]).all()
        assert np.array_equal(low.oof, high.oof)
    (mfcc,) = [answer for answer in answers["many"] if answer.title == "ours: mfcc"]
    mean = read_array(damageable.paths.stage("train") / "test-mfcc.npy").mean(axis=0)  # over the fold models
    table = read_table(damageable.paths.stage("ensemble") / "oof.csv", ("scene", "state"))
    scenes, voices = score_peers._scenes(damageable.paths)
    rows = scored_rows(scenes, voices, table["fold"].to_numpy(int), damageable.paths, damageable.config)
    logits = table[["logit_mfcc_0", "logit_mfcc_1"]].to_numpy()[rows, None]
    alone = fit_blend(logits, table[["label_fake", "label_real"]].to_numpy(float)[rows], ["mfcc"], damageable.config)
    assert mfcc.test == pytest.approx(alone.at_shares(np.array(many)).probability(mean[:, None]), abs=1e-6)


def test_our_test_line_is_the_submissions(measured, finished_run):
    _, rows, solution = measured
    both = pd.read_csv(finished_run.submission()).merge(pd.read_csv(solution), on="id", suffixes=("", "_true"))
    label, probability = both[["fake_true", "real_true"]].to_numpy(), both[["fake", "real"]].to_numpy()
    score = plugins.load("metrics", "dacon_score").measure(label, probability)
    assert rows["ours: ensemble"]["test"]["score"][0] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(("name", "temperature"), [("aasist", 3.5), ("mlp", 1.0)])
def test_a_peers_probability_is_the_sigmoid_of_its_mean_logit(measured, name, temperature):
    home, rows, solution = measured
    title = yaml.safe_load((score_peers.PEERS / f"{name}.yaml").read_text())["title"]
    run = home / "runs" / "demo" / f"peer_{name}"
    logits = read_array(run / "train" / f"test-{name}.npy")
    probability = 1 / (1 + np.exp(-logits.mean(axis=0) / temperature))
    clips = pd.read_csv(run / "prepare" / "clips.csv").query("split == 'test'")
    label = pd.read_csv(solution).set_index("id").loc[clips["id"], ["fake", "real"]].to_numpy()
    expected = plugins.load("metrics", "brier").measure(label, probability)
    assert rows[title]["test"]["Brier"][0] == pytest.approx(expected)
    n_clean = len(pd.read_csv(run / "prepare" / "clips.csv").query("split == 'train'"))
    assert len(read_array(run / "train" / f"oof-{name}.npy")) == (40 if name == "aasist" else n_clean)


def test_intervals_resample_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 50)
    label = (rng.random(20) < 0.5)[group, None] * np.ones((1, 2))
    probability = np.clip(label * 0.2 + 0.4 + rng.normal(0, 0.2, 20)[group, None], 0.01, 0.99)
    wide, narrow = (score_peers.scores(label, probability, groups)["Brier"] for groups in (group, None))
    assert wide[0] == narrow[0] and wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])


def test_tables_are_markdown():
    values = {"score": (0.1234, 0.1, 0.2), "AUC": (0.8, 0.7, 0.9), "Brier": (0.2, 0.1, 0.3), "ECE": (0.1, 0.0, 0.2)}
    lines = score_peers.markdown([{"system": "ours", "oof": values}], "oof").splitlines()
    assert lines[0] == "| system | score | AUC | Brier | ECE |"
    assert lines[2].startswith("| ours | 0.1234 (0.1000 to 0.2000) | 0.8000 (")
    assert len({line.count("|") for line in lines}) == 1


def test_without_a_solution_the_test_is_not_scored():
    answers = score_peers.Answers("x", np.eye(4, 2), np.full((4, 2), 0.4), np.arange(4), np.full((3, 2), 0.5))
    with pytest.warns(UserWarning, match="draws have no value"):
        (row,) = score_peers.score_all([answers], None)
    assert list(row) == ["system", "oof"]


def test_an_unfinished_run_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    with pytest.raises(ArtifactError, match="no finished run"):
        score_peers.finished_config(load_config("demo"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table[2:], "lacks 2 of the test clips"),
        (lambda table: table[["id", "fake"]], "needs the columns"),
    ],
)
def test_a_solution_that_does_not_fit_is_refused(at_home, tmp_path, damage, message):
    solution = pd.read_csv(paths(at_home.config).raw / "solution.csv")
    damage(solution).to_csv(tmp_path / "solution.csv", index=False)
    with pytest.raises(DataError, match=message):
        score_peers.read_solution(tmp_path / "solution.csv", at_home.config)
