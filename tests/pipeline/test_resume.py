"""Clips that came later: folds stay, weights go on, the earlier run is kept, and nothing leaks."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from fakevoice.cli.command_line import main
from fakevoice.core import plugins
from fakevoice.core.artifacts import checksum, read_json
from fakevoice.core.errors import ConfigError
from fakevoice.core.tables import FOLD_TEXT, read_table
from fakevoice.pipeline.resume import resumed_words

N_NEW = 8


@pytest.fixture
def enlarged(damageable, tmp_path):
    """A finished run, and labelled clips that came since; the last one is a copy of the first known one."""
    raw, more = damageable.paths.raw, tmp_path / "more"
    plugins.load("datasets", "demo").make(more, n_train=N_NEW, n_test=1, n_unlabeled=1, seed=9)
    train, new = (pd.read_csv(folder / "train.csv", dtype=str) for folder in (raw, more))
    new = new.assign(id=[f"NEW_{i}" for i in range(N_NEW)], source=new["path"])
    new["path"] = [f"./train/{name}.ogg" for name in new["id"]]
    for row in new.itertuples():
        shutil.copy(more / row.source, raw / row.path)
    twin = train.iloc[[0]].assign(id="TWIN", path="./train/TWIN.ogg")
    shutil.copy(raw / train["path"].iloc[0], raw / "train" / "TWIN.ogg")
    pd.concat([train, new[list(train.columns)], twin]).to_csv(raw / "train.csv", index=False)
    meta, groups = (pd.read_csv(folder / "train_meta.csv", dtype=str) for folder in (raw, more))
    groups = pd.DataFrame({"id": [*new["id"], "TWIN"], "group": [*("later-" + groups["group"]), "twin"]})
    pd.concat([meta, groups]).to_csv(raw / "train_meta.csv", index=False)
    return damageable


def resume(run, *words: str) -> int:
    return main(["all", "--resume-from", "default", "--config", "demo", *run.overrides, *words])


def rows_of(path: Path) -> pd.DataFrame:
    return read_table(path, FOLD_TEXT).set_index("id")


def test_a_run_goes_on_with_new_clips(enlarged, capsys):
    default, before = enlarged.paths.run, rows_of(enlarged.paths.folds_csv)
    kept = {path: checksum(path) for path in default.rglob("*") if path.is_file()}
    assert resume(enlarged) == 0
    shown = capsys.readouterr().out
    assert f"60 known clips keep their folds, {N_NEW + 1} are new, 0 are gone" in shown
    after = rows_of(enlarged.paths.folds_csv)
    columns = ["group", "label", "fold"]
    assert after.loc[before.index, columns].equals(before[columns]) and len(after) == 60 + N_NEW + 1
    first = pd.read_csv(enlarged.paths.raw / "train.csv", dtype=str)["id"].iloc[0]
    assert after.loc["TWIN", columns].equals(after.loc[first, columns].rename("TWIN"))
    assert {path: checksum(path) for path in default.rglob("*") if path.is_file()} == kept
    resumed = default.parent / "resumed"
    networks = read_json(resumed / "ensemble" / "config.json")["networks"]
    assert {name: of["warm_start"] for name, of in networks.items()} == {n: f"demo/default/{n}" for n in networks}
    assert set(pd.read_csv(resumed / "scenes" / "voices.csv")["clip"]) & {f"NEW_{i}" for i in range(N_NEW)}
    lines = shown.splitlines()
    (place,) = [i for i, line in enumerate(lines) if "each run's own scenes of clips that both have" in line]
    assert [line.split()[0] for line in lines[place + 1 : place + 3]] == ["default", "resumed"]
    assert resume(enlarged) == 0
    shown = capsys.readouterr().out
    assert "everything is up to date" in shown and "known clips keep" not in shown


def test_a_fold_that_was_moved_is_a_leak(enlarged, capsys):
    table = pd.read_csv(enlarged.paths.folds_csv, dtype=str)
    table["fold"] = table["fold"].map({"0": "1", "1": "0"})
    table.to_csv(enlarged.paths.folds_csv, index=False)
    assert resume(enlarged, "experiment=moved") == 1
    errors = capsys.readouterr().err
    assert "saw held-out clips (60 of them" in errors and "put its folds back" in errors
    assert not (enlarged.paths.run.parent / "moved" / "train" / "manifest.json").exists()


def test_without_rows_those_of_the_earlier_run_are_taken(enlarged):
    from fakevoice.core.config import load_config
    from fakevoice.pipeline.resume import extend_folds

    before = rows_of(enlarged.paths.folds_csv)
    enlarged.paths.folds_csv.unlink()
    words = resumed_words("demo", enlarged.overrides, "default")
    extend_folds(load_config("demo", words), "default")
    assert rows_of(enlarged.paths.folds_csv).loc[before.index, "fold"].equals(before["fold"])


def test_the_words_of_a_resumed_run(at_home):
    words = resumed_words("demo", ["seed=1"], "default")
    assert words[:2] == ["seed=1", "experiment=resumed"]
    assert words[2:] == [f"networks.{name}.warm_start=demo/default/{name}" for name in ("mel", "mfcc")]
    named = resumed_words("demo", ["experiment=wide", "networks.mel.warm_start=demo/other/mel"], "voices/first")
    assert named[2:] == ["networks.mfcc.warm_start=voices/first/mfcc"]


@pytest.mark.parametrize("run", ["resumed", "demo/resumed", "a/b/c", "demo/"])
def test_what_cannot_be_resumed(at_home, run):
    with pytest.raises(ConfigError, match="--resume-from"):
        resumed_words("demo", [], run)


def test_new_folds_and_earlier_weights_do_not_go_together(at_home, capsys):
    assert resume(at_home, "--force") == 2
    assert "--force makes new folds" in capsys.readouterr().err


def test_a_run_that_is_not_there(damageable, capsys):
    assert main(["all", "--resume-from", "never", "--config", "demo", *damageable.overrides]) == 2
    assert "experiment=never" in capsys.readouterr().err
