"""What a person reads at the end: score by part, time by stage, where things are, and what to type next."""

import re

import pytest

from fakevoice.cli import command_line
from fakevoice.core.artifacts import read_json
from fakevoice.core.config_sections import Board, Plugin
from fakevoice.pipeline import history
from fakevoice.pipeline.runner import STAGES
from fakevoice.pipeline.summary import closing_text


@pytest.fixture
def text(at_home) -> str:
    return closing_text(at_home.config, "demo", "results")


def test_scores_are_those_of_the_ensemble(text, at_home):
    metrics = read_json(at_home.paths.stage("ensemble") / "metrics.json")
    for condition in ("expected", "discounted", "oof"):
        score, low, high = (metrics[f"{condition}_{end}"] for end in ("score", "low", "high"))
        assert f"{score:.4f}   {low:.4f} to {high:.4f}" in text
    assert [part["measure"] for part in metrics["parts"]] == at_home.config.measures
    for part in metrics["parts"]:
        (line,) = re.findall(rf"^  {part['measure']} .*", text, flags=re.MULTILINE)
        assert f"{part['value']:.4f}" in line and f"fake {part['outputs']['fake']:.4f}" in line


def test_the_parts_are_the_members_table(at_home):
    """One number told in two places is the same number."""
    metrics = read_json(at_home.paths.stage("ensemble") / "metrics.json")
    ensemble = (at_home.paths.stage("ensemble") / "members.csv").read_text().splitlines()[-1].split(",")
    values = [part["value"] for part in metrics["parts"]]
    assert values == pytest.approx([float(value) for value in ensemble[2:]])
    for part in metrics["parts"]:
        outputs = part["outputs"].values()
        assert part["value"] == pytest.approx(sum(outputs) / len(outputs))
        assert part["low"] < part["high"]


def test_times_are_those_of_the_last_run_and_add_up(text, at_home):
    took = history.last_times(at_home.paths.run)
    assert list(took) == list(STAGES)
    for stage in STAGES:
        assert re.search(rf"^  {stage} ", text, flags=re.MULTILINE)
    shares = [int(share) for share in re.findall(r"(\d+)%", text)]
    assert len(shares) == len(STAGES) and 95 <= sum(shares) <= 105


def test_what_it_names_exists(text, at_home):
    for path in re.findall(r"^  (?:artifacts|features|submission|tables) +(\S+)$", text, flags=re.MULTILINE):
        assert (at_home.home / path).exists()
    assert str(at_home.submission()) in text


def test_every_command_can_be_typed(text):
    commands = re.findall(r"^  \./run\.sh (.+?)(?:   .*)?$", text, flags=re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"report", "score", "predict", "tensorboard", "notebooks"}
    for command in commands:
        command_line.parse(command.split())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"dataset": Plugin(name="dacon"), "board": Board(site="kaggle", competition="voices")},
            "submit --config demo",
        ),
        ({"dataset": Plugin(name="dacon")}, "leaderboard add SCORE --config demo"),
        ({"studies": {"width": {"narrow": []}}}, "bakeoff width --config demo"),
    ],
)
def test_what_is_next_depends_on_the_competition(at_home, changes, told):
    text = closing_text(at_home.config.model_copy(update=changes), "demo", "results")
    assert f"./run.sh {told}" in text


def test_after_one_stage_the_rest_is_next(at_home):
    text = closing_text(at_home.config, "demo", "folds")
    assert "./run.sh all --config demo" in text
    assert "report" not in text and "expected" not in text and "train" not in text
