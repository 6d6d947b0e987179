"""The check of a package: what it runs, and what it reports."""

import re

import pandas as pd
import pytest

from fakevoice.cli.command_line import main
from fakevoice.core.config import load_config
from fakevoice.packaging import check
from fakevoice.packaging.trial_data import make_trial


def test_difficult_files_are_few_enough_to_be_allowed(finished_run, tmp_path):
    clips = sorted((finished_run.paths.raw / "test").iterdir())[:5]
    trial = make_trial(clips, tmp_path / "made", finished_run.config)
    assert len(trial.files) == 200 and len(trial.unreadable) == 2
    assert set(trial.difficult) == {
        "trial-stereo",
        "trial-short",
        "trial-long",
        "trial-mp3",
        "trial-flac",
        "TRIAL-UPPER",
        "trial-cut",
    }


def test_answers_that_depend_on_other_files_fail_the_check(tmp_path):
    config = load_config("demo")
    answers = pd.DataFrame({"fake": [0.1, 0.2], "real": [0.3, 0.4]}, index=pd.Index(["a", "b"], name="id"))
    (answers + 2e-6).loc[["a"]].to_csv(tmp_path / "alone.csv")
    answers.to_csv(tmp_path / "order.csv")
    cases = {
        "alone: a": {"out": str(tmp_path / "alone.csv")},
        "another order": {"out": str(tmp_path / "order.csv")},
        "missing weights": {"out": str(tmp_path / "alone.csv")},  # a submission although weights are missing
        "constant answers": {"out": str(tmp_path / "none.csv")},
    }
    results = {name: {"exit_code": 0, "stderr": "said"} for name in cases}
    results["constant answers"]["exit_code"] = 1
    report = check.Report()
    check._check_cases(cases, results, answers, config, report)
    assert len(report.failures) == 2
    assert report.failures[0].startswith("missing weights: exit code 0")
    assert re.match(r"alone: 1 files .* 2.0e-06", report.failures[1])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dacon", "kaggle"])
def test_the_whole_check_of_a_package(damageable, form, capsys):
    code = main(["package", "--for", form, "--check", "--n", "4", "--config", "demo", "package.files=10"])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "FAILED" not in shown
    for line in (
        "largest difference from predict",
        "alone: 11 files get the same answers",
        "another order: 64 files get the same answers",
        "constant answers: exit code 1, no submission",
        "unreadable files: exit code 1, no submission",
        "missing weights: exit code 1, no submission",
        "truncated weights: exit code 1, no submission",
        "other weights: exit code 1, no submission. fakevoice: the fingerprint differs",
        "no attempt to open a connection",
        "memory of all processes together",
    ):
        assert line in shown


@pytest.mark.slow
def test_a_package_that_misses_a_limit_fails_the_check(damageable, capsys):
    words = ["package.inference_minutes=0.001", "package.files=1000000"]
    assert main(["package", "--check", "--n", "1", "--config", "demo", *words]) == 1
    assert "the check failed in 1 points" in capsys.readouterr().err
