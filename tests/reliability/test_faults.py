"""What goes wrong from outside: edited folds, awkward ids, unreadable clips, mistyped keys, a full disk."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fakevoice.cli.command_line import main
from fakevoice.core import artifacts, plugins
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.config_sections import Plugin
from fakevoice.core.errors import ArtifactError, FoldsError
from fakevoice.core.paths import paths
from fakevoice.core.tables import FOLD_TEXT, read_table
from fakevoice.inference.predictor import Predictor
from fakevoice.pipeline.runner import run_pipeline, stale_stages
from fakevoice.pipeline.stages import folds as folds_stage
from fakevoice.pipeline.stages import submission as submission_stage

REMAKE = r"\./run\.sh folds --force"


# Mistyped and impossible settings.


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("networks.mel.trainng.n_epochs=1", "'networks.mel.trainng'; did you mean 'training'?"),
        ("shard_sise=8", "did you mean 'shard_size'?"),
        ("spectrogram.hop_length=1024", "hop_length 1024 is longer than n_fft 512"),
        ("folds.n_folds=1", "folds.n_folds"),
        ("networks.mel.training.n_epochs=-1", "n_epochs"),
        ("features.mel.n_mel=8", "unknown key 'n_mel'; did you mean 'n_mels'?"),
        ("networks.mel.model.args.widht=8", "did you mean 'width'?"),
        ("metric=dacon_scor", "did you mean 'dacon_score'?"),
        ("ensemble.calibrator=plat", "did you mean 'platt'?"),
    ],
)
def test_a_mistyped_or_impossible_setting_stops_before_any_work(tmp_path, monkeypatch, capsys, word, message):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    assert main(["all", "--config", "demo", word]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.csv"))


# folds.csv is the user's to edit, but not into a leak.


@pytest.fixture
def folds(damageable):
    """The rows of folds.csv, and a way to put others in their place."""
    path = damageable.paths.folds_csv
    return read_table(path, FOLD_TEXT), lambda table: table.to_csv(path, index=False)


def without_a_row(table):
    return table[1:]


def with_a_foreign_row(table):
    return pd.concat([table, table[:1].assign(id="NOBODY")])


def with_a_row_twice(table):
    return pd.concat([table, table[:1]])


def with_a_split_group(table):
    shared = table["group"].value_counts().index[0]
    first = table.index[table["group"] == shared][0]
    table.loc[first, "fold"] = 1 - table.loc[first, "fold"]
    return table


def with_another_label(table):
    return table.assign(label=["fake" if table["label"][0] == "real" else "real", *table["label"][1:]])


def with_a_fold_too_many(table):
    return table.assign(fold=[2, *table["fold"][1:]])


def with_an_empty_fold(table):
    return table.assign(fold=["", *table["fold"][1:]])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without_a_row, "1 clips have no row"),
        (with_a_foreign_row, "1 rows have no clip, e.g. 'NOBODY'"),
        (with_a_row_twice, "does not fit the clips"),
        (with_a_split_group, "stands in two folds of folds.csv: a leak"),
        (with_another_label, "other labels than the clips"),
        (with_a_fold_too_many, r"has folds \[0, 1, 2\]"),
    ],
)
def test_an_edit_that_leaks_or_does_not_fit_is_refused(damageable, folds, capsys, edit, message):
    table, replace = folds
    replace(edit(table))
    for _ in range(2):  # and it stays refused
        with pytest.raises(FoldsError, match=f"(?s){message}.*{REMAKE}"):
            run_pipeline(damageable.config)
    assert main(["all", "--config", "demo", *damageable.overrides]) == 1
    assert "folds --force" in capsys.readouterr().err


def test_a_fold_that_is_no_number_is_refused(damageable, folds):
    table, replace = folds
    replace(with_an_empty_fold(table))
    with pytest.raises(FoldsError, match=r"folds\.csv needs .* number"):
        run_pipeline(damageable.config)


def test_another_number_of_folds_is_refused(damageable):
    with pytest.raises(FoldsError, match=f"the config wants 0 to 2.*{REMAKE}"):
        run_pipeline(load_config("demo", [*damageable.overrides, "folds.n_folds=3"]), "folds")


def test_moving_a_whole_group_is_an_edit_like_any_other(damageable, folds):
    table, replace = folds
    moved = table["group"] == table["group"].value_counts().index[0]
    replace(table.assign(fold=table["fold"].where(~moved, 1 - table["fold"])))
    reasons = dict(stale_stages(damageable.config))
    assert reasons["folds"] == "input folds.csv changed"
    assert [name for name, reason in reasons.items() if not reason] == ["prepare"]
    assert run_pipeline(damageable.config, "scenes")
    assert not dict(stale_stages(damageable.config))["scenes"]


def test_force_makes_the_folds_again(finished_run, damageable, folds):
    table, replace = folds
    replace(with_a_split_group(table))
    assert run_pipeline(damageable.config, "folds", force="folds")
    assert damageable.contents() == finished_run.contents()


# A raw folder with awkward ids, a shuffled sample submission and clips that cannot be read.

AWKWARD = ["001", "1", "NA", "null", "1e5", "None", "true", "nan", "-0", "a,b"]


@pytest.fixture(scope="module")
def awkward(finished_run, tmp_path_factory):
    home = tmp_path_factory.mktemp("awkward")
    raw = shutil.copytree(finished_run.paths.raw, home / "data" / "demo")
    for name in ("test.csv", "sample_submission.csv"):
        table = read_table(raw / name, ("id", "path"))
        table["id"] = [*AWKWARD, *table["id"][len(AWKWARD) :]]
        if name == "sample_submission.csv":
            table = table.sample(frac=1, random_state=0)
        table.to_csv(raw / name, index=False)
    for name in ("train.csv", "train_meta.csv"):
        table = read_table(raw / name, ("id", "path", "label", "group"))
        table["id"] = ["002", "NA", "2e3", *table["id"][3:]]
        table.to_csv(raw / name, index=False)
    test, train = read_table(raw / "test.csv", ("id", "path")), read_table(raw / "train.csv", ("id", "path", "label"))
    (raw / test["path"][4]).write_text("not audio")
    (raw / train["path"][7]).write_bytes(b"")
    config = finished_run.config.model_copy(update={"dataset": Plugin(name="dacon"), "on_error": "mark"})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.delenv("FAKEVOICE_DATA", raising=False)
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        run_pipeline(config)
        (file,) = (home / "submissions").glob("demo-*.csv")
        yield SimpleNamespace(config=config, paths=paths(config), raw=raw, test=test, train=train, file=file)


def test_ids_survive_to_the_submission(awkward):
    sample = read_table(awkward.raw / "sample_submission.csv", ("id",))
    submission = read_table(awkward.file, ("id",))
    assert submission["id"].tolist() == sample["id"].tolist()
    assert set(AWKWARD) < set(submission["id"])
    folds = read_table(awkward.paths.folds_csv, FOLD_TEXT)
    assert {"002", "NA", "2e3"} < set(folds["id"])


def test_every_row_holds_the_score_of_its_own_clip(awkward):
    submission = read_table(awkward.file, ("id",)).set_index("id")
    files = [awkward.raw / path for path in awkward.test["path"]]
    probability = Predictor.load(awkward.paths).predict(files).probability
    expected = submission.loc[awkward.test["id"], ["fake", "real"]].to_numpy()
    assert np.abs(expected - probability).max() < 1e-5
    assert len(np.unique(probability[:, 0])) > 10


def test_an_unreadable_test_clip_keeps_its_row_with_the_prior(awkward):
    prior = read_json(awkward.paths.stage("ensemble") / "ensemble.json")["prior"]
    row = read_table(awkward.file, ("id",)).set_index("id").loc["1e5"]
    assert np.abs(row.to_numpy() - prior).max() < 3e-6


def test_unreadable_clips_are_listed_and_left_out_of_training(awkward):
    errors = read_table(awkward.paths.stage("prepare") / "errors.csv", ("id", "split", "path", "reason"))
    bad = awkward.train["id"][7]
    assert set(zip(errors["split"], errors["id"], strict=True)) == {("test", "1e5"), ("train", bad)}
    assert (errors["reason"] != "").all()
    assert bad not in set(read_table(awkward.paths.folds_csv, FOLD_TEXT)["id"])


def test_a_probability_on_an_edge_is_moved_before_the_upload(damageable):
    path = damageable.paths.stage("ensemble") / "test.npy"
    artifacts.write_array(path, np.resize([0.0, 0.1, 0.3, 0.5, 1.0], (16, 2)))
    (file,) = submission_stage.run(damageable.config, damageable.paths)
    probability = read_table(file, ("id",))[["fake", "real"]].to_numpy()
    assert np.abs(probability - np.load(path)).max() < 3e-6
    assert np.abs(probability * 10 - np.round(probability * 10)).min() > 5e-6


def test_a_folder_that_cannot_be_written_is_said(damageable, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "replace", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        run_pipeline(damageable.config, "stack", force="stack")
    assert not list(damageable.home.rglob(".writing-*"))


# What is below the raw folder, and when it counts as changed.


def test_a_clip_of_equal_size_and_time_is_found_by_verify(damageable):
    clip = sorted((damageable.paths.raw / "train").glob("*.ogg"))[3]
    stat, content = clip.stat(), clip.read_bytes()
    clip.write_bytes(content[:-20] + bytes(20))
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not dict(stale_stages(damageable.config))["prepare"]
    assert dict(stale_stages(damageable.config, verify=True))["prepare"] == f"input train/{clip.name} changed"
    run_pipeline(damageable.config, "prepare", verify=True)
    assert not dict(stale_stages(damageable.config, verify=True))["prepare"]


@pytest.mark.parametrize("name", ["train.csv", "train_meta.csv"])
def test_a_table_of_equal_size_and_time_is_found_by_verify(damageable, name):
    table = damageable.paths.raw / name
    stat, content = table.stat(), table.read_bytes()
    table.write_bytes(content[:-1] + b" ")
    os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert dict(stale_stages(damageable.config, verify=True))["prepare"] == f"input {name} changed"


def test_a_clip_behind_a_link_is_watched(damageable, tmp_path):
    train = damageable.paths.raw / "train"
    shutil.move(train, tmp_path / "elsewhere")
    train.symlink_to(tmp_path / "elsewhere")
    assert not dict(stale_stages(damageable.config))["prepare"]  # the same files by the same names
    (tmp_path / "elsewhere" / "new.ogg").touch()
    assert dict(stale_stages(damageable.config))["prepare"] == "input raw changed"


# Two experiments at once.

SPLIT = """
import sys, time
from pathlib import Path
from fakevoice.core.config import load_config
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.pipeline.stages import folds

make, (flags, *words) = folds._new_rows, sys.argv[1:]

def slowly(*args):
    time.sleep(1.5)  # longer than the other one takes from its flag to here
    return make(*args)

folds._new_rows = slowly
config = load_config("demo", words)
run_pipeline(config, "prepare")
Path(flags, config.experiment).touch()
while len(list(Path(flags).iterdir())) < 2:
    time.sleep(0.01)
run_pipeline(config, "folds")
"""


def test_two_experiments_that_start_at_once_share_one_split(damageable, tmp_path):
    damageable.paths.folds_csv.unlink()
    flags, script = tmp_path / "flags", tmp_path / "split.py"
    flags.mkdir()
    script.write_text(SPLIT)
    words = [[*damageable.overrides, f"experiment={name}", f"seed={seed}"] for seed, name in enumerate(("one", "two"))]
    environment = os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent)}
    running = [subprocess.Popen([sys.executable, script, flags, *line], env=environment) for line in words]
    assert [process.wait() for process in running] == [0, 0]
    split = damageable.paths.folds_csv.read_text()
    for line in words:
        config = load_config("demo", line)
        assert (paths(config).stage("folds") / "folds.csv").read_text() == split
        assert not dict(stale_stages(config))["folds"]


def test_a_split_that_was_replaced_while_folds_ran_is_seen(damageable, folds, monkeypatch):
    table, replace = folds
    write_shortcuts = folds_stage._write_shortcuts

    def meanwhile(*args):
        replace(table.assign(fold=1 - table["fold"]))
        write_shortcuts(*args)

    monkeypatch.setattr(folds_stage, "_write_shortcuts", meanwhile)
    run_pipeline(damageable.config, "folds", force="folds")
    assert dict(stale_stages(damageable.config))["folds"] == "input folds.csv changed"


# A run folder from somebody else.


@pytest.mark.parametrize("place", ["../precious.txt", "precious.txt", "data/demo/train.csv", "runs/demo/other/a.npy"])
@pytest.mark.parametrize("force", ["", "stack"])
def test_a_manifest_that_lists_files_of_others_deletes_none(damageable, place, force):
    precious = damageable.home / place
    precious.parent.mkdir(parents=True, exist_ok=True)
    if not precious.exists():
        precious.write_text("mine")
    content = precious.read_bytes()
    manifest = damageable.paths.stage("stack") / "manifest.json"
    told = read_json(manifest)
    told["outputs"][place] = {"size": 1, "sha256": "0"}
    told["config"] = {}
    artifacts.write_json(manifest, told)
    with pytest.raises(ArtifactError, match=r"manifest\.json lists .* delete the manifest"):
        run_pipeline(damageable.config, force=force)
    assert precious.read_bytes() == content


def test_a_submission_that_a_manifest_lists_is_not_deleted(damageable):
    kept = damageable.paths.submissions / "demo-00000000.csv"
    kept.write_text("mine")
    manifest = damageable.paths.stage("submission") / "manifest.json"
    told = read_json(manifest)
    told["outputs"]["submissions/demo-00000000.csv"] = {"size": 1, "sha256": "0"}
    artifacts.write_json(manifest, told)
    run_pipeline(damageable.config)
    assert kept.read_text() == "mine"
