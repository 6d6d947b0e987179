"""A study: its variants run as experiments, and compared on the same scenes."""

import numpy as np
import pytest

from fakevoice.analysis.finished_run import load_run
from fakevoice.cli import bakeoff
from fakevoice.cli.bakeoff import choose_variants, compare
from fakevoice.cli.command_line import main
from fakevoice.core.config import config_names, load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.tables import read_table

STUDY = ["studies.size.small=[]", "studies.size.smooth=[ensemble.penalty=1e6]"]


@pytest.fixture
def config():
    return load_config("demo", STUDY)


def test_variants_in_their_order(config):
    assert choose_variants(config, "size", []) == {"small": [], "smooth": ["ensemble.penalty=1e6"]}
    assert list(choose_variants(config, "size", ["smooth"])) == ["smooth"]


@pytest.mark.parametrize(
    ("study", "names", "message"),
    [("sise", [], "no study 'sise'; did you mean 'size'"), ("size", ["smal"], "no variant 'smal' of the study size")],
)
def test_what_is_not_there_is_named(config, study, names, message):
    with pytest.raises(ConfigError, match=message):
        choose_variants(config, study, names)


def test_a_competition_without_studies_says_so():
    with pytest.raises(ConfigError, match="no study 'size'; demo has none"):
        choose_variants(load_config("demo"), "size", [])


def test_every_study_that_ships_is_a_valid_config():
    for name in config_names():
        config = load_config(name)
        for study, variants in config.studies.items():
            for variant, words in variants.items():
                load_config(name, [*words, f"experiment={study}-{variant}"])


def test_differences_are_to_the_first_run_on_the_same_scenes(at_home):
    run = load_run(at_home.config)
    better = load_run(at_home.config)
    for output in ("fake", "real"):
        column = better.oof[f"probability_{output}"]
        better.oof[f"probability_{output}"] = 0.5 * column + 0.5 * better.oof[f"label_{output}"]
    table = compare({"as it is": run, "nearer the truth": better, "again": run})
    assert table["variant"].tolist() == ["as it is", "nearer the truth", "again"]
    assert np.isnan(table["difference"].iloc[0]) and table["difference"].iloc[2] != table["difference"].iloc[2]
    second = table.iloc[1]
    assert second["difference"] == pytest.approx(second["dacon_score"] - table["dacon_score"].iloc[0])
    assert second["from"] < second["difference"] < second["to"] < 0  # lower is better


def test_other_scenes_are_not_subtracted(at_home):
    run, other = load_run(at_home.config), load_run(at_home.config)
    other.scenes["fold"] = other.scenes["fold"][::-1].to_numpy()
    assert compare({"a": run, "b": other})["difference"].isna().all()


@pytest.mark.slow
def test_the_command_runs_each_variant_once(damageable, capsys, monkeypatch):
    words = [*damageable.overrides, *STUDY]
    assert main(["bakeoff", "size", "--config", "demo", *words]) == 0
    shown = capsys.readouterr().out
    assert "smooth" in shown and "difference" in shown
    table = read_table(damageable.paths.run.parent / "size.csv", ("variant",))
    assert table["variant"].tolist() == ["small", "smooth"] and (table["seconds"] > 0).all()
    assert abs(table["difference"].iloc[1]) > 1e-6
    assert (damageable.home / "runs" / "demo" / "size-smooth" / "ensemble" / "oof.csv").is_file()
    ran = []
    monkeypatch.setattr(bakeoff, "run_pipeline", lambda config, last: ran.append((config.experiment, last)))
    assert main(["bakeoff", "size", "smooth", "--config", "demo", *words]) == 0
    assert ran == [("size-smooth", "ensemble")]


def test_a_study_must_be_named(capsys):
    assert main(["bakeoff", "--config", "demo", "seed=1"]) == 2
    assert "no study ''" in capsys.readouterr().err
