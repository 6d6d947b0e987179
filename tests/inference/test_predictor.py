"""New audio gets the score that the line would give it, in the order asked for, wherever it lies."""

import shutil

import numpy as np
import pandas as pd
import pytest

from fakevoice.cli.command_line import main
from fakevoice.core.errors import ArtifactError, DataError
from fakevoice.core.tables import read_table
from fakevoice.inference.inputs import Source, list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer

OUTPUTS, REST = ["fake", "real"], ["n_windows", "note"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


@pytest.fixture(scope="module")
def submission(finished_run) -> pd.DataFrame:
    return read_table(finished_run.submission(), ("id",))


def test_the_test_set_gets_the_scores_of_the_line(finished_run, predictor, submission):
    answers = answer(predictor, list_sources([str(finished_run.paths.raw / "test.csv")]))
    table = answers.table
    assert list(table.columns) == ["id", *OUTPUTS, *(f"{o}_{end}" for end in ("low", "high") for o in OUTPUTS), *REST]
    assert table["id"].tolist() == submission["id"].tolist()
    assert np.abs(table[OUTPUTS] - submission[OUTPUTS]).to_numpy().max() < 1e-5
    assert answers.unreadable.empty


def test_a_folder_in_another_place_gives_the_same(finished_run, predictor, submission, tmp_path):
    moved = shutil.copytree(finished_run.paths.raw / "test", tmp_path / "elsewhere" / "clips")
    table = answer(predictor, list_sources([str(moved)])).table
    both = submission.merge(table, on="id", validate="1:1")
    assert len(both) == len(submission)
    for output in OUTPUTS:
        assert np.abs(both[f"{output}_x"] - both[f"{output}_y"]).max() < 1e-5


def test_a_csv_in_another_place_keeps_its_order(finished_run, predictor, submission, tmp_path):
    shutil.copytree(finished_run.paths.raw / "test", tmp_path / "clips")
    rows = submission[["id"]][::-1].assign(path=[f"clips/{name}.ogg" for name in submission["id"][::-1]])
    rows.to_csv(tmp_path / "mine.csv", index=False)
    table = answer(predictor, list_sources([str(tmp_path / "mine.csv")])).table
    assert table["id"].tolist() == submission["id"].tolist()[::-1]
    assert np.abs(table[OUTPUTS].to_numpy() - submission[OUTPUTS].to_numpy()[::-1]).max() < 1e-5


def test_files_alone_and_of_any_name(finished_run, predictor, submission, tmp_path):
    clip = finished_run.paths.raw / "test" / f"{submission['id'][3]}.ogg"
    names = ["목소리 – né.ogg", "001.OGG", "with.dots.wav"]
    files = [shutil.copy(clip, tmp_path / name) for name in names]
    answers = answer(predictor, list_sources([str(file) for file in files]))
    table = answers.table
    assert table["id"].tolist() == ["목소리 – né", "001", "with.dots"]
    assert np.abs(table[OUTPUTS].to_numpy() - submission[OUTPUTS].to_numpy()[3]).max() < 1e-5
    assert answers.unreadable.empty


def test_a_file_that_cannot_be_read_gets_the_prior_and_is_listed(finished_run, predictor, submission, tmp_path):
    good = finished_run.paths.raw / "test" / f"{submission['id'][0]}.ogg"
    (tmp_path / "bad.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    sources = [Source("good", good), *(Source(name, tmp_path / f"{name}.wav") for name in ("bad", "empty", "gone"))]
    answers = answer(predictor, sources)
    table, unreadable = answers.table, answers.unreadable
    assert table["id"].tolist() == ["good", "bad", "empty", "gone"]
    assert np.abs(table[OUTPUTS].to_numpy()[1:] - predictor.blend.prior).max() < 3e-6
    assert np.abs(table[OUTPUTS].to_numpy()[0] - submission[OUTPUTS].to_numpy()[0]).max() < 1e-5
    assert unreadable["id"].tolist() == ["bad", "empty", "gone"]
    assert (unreadable["reason"] != "").all()


def test_a_score_does_not_depend_on_its_company(finished_run, predictor, submission):
    files = [source.path for source in list_sources([str(finished_run.paths.raw / "test.csv")])[:5]]
    together, alone = predictor.predict(files), [predictor.predict([file]) for file in files]
    for name in ("probability", "low", "high", "distance"):
        apart = np.concatenate([getattr(scores, name) for scores in alone])
        assert np.abs(getattr(together, name) - apart).max() < 1e-6


def test_an_id_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "same.wav").touch()
    with pytest.raises(DataError, match="'same' stands twice"):
        list_sources([str(tmp_path / "same.wav")] * 2)


def test_files_of_one_name_in_a_folder_are_told_apart_by_their_paths(tmp_path):
    for name in ("a/same.wav", "b/same.wav", "same.m4a", "other.ogg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ids = [source.id for source in list_sources([str(tmp_path)])]
    assert ids == ["a/same.wav", "b/same.wav", "other", "same.m4a"]


def test_nothing_to_score_is_said(tmp_path):
    with pytest.raises(DataError, match="no audio files"):
        list_sources([str(tmp_path)])
    with pytest.raises(DataError, match=r"nowhere.wav does not exist"):
        list_sources([str(tmp_path / "nowhere.wav")])


def test_an_unfinished_run_is_said(damageable):
    (damageable.paths.stage("ensemble") / "ensemble.json").unlink()
    with pytest.raises(ArtifactError, match=r"\./run\.sh all"):
        Predictor.load(damageable.paths)


@pytest.mark.parametrize("name", ["mel/fold1/weights.safetensors", "stack/fold0-output1.txt", "ensemble/config.json"])
def test_a_damaged_run_is_named(damageable, name):
    (damaged,) = damageable.paths.run.rglob(name)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=rf"{name} is missing or damaged: \./run\.sh all --verify"):
        Predictor.load(damageable.paths)


def test_the_command_writes_scores_and_what_it_could_not_read(at_home, submission, tmp_path, capsys):
    folder = shutil.copytree(at_home.paths.raw / "test", tmp_path / "clips")
    (folder / "bad.wav").write_text("not audio")
    out = tmp_path / "scores.csv"
    assert main(["predict", str(folder), "--config", "demo", "--out", str(out)]) == 0
    table = read_table(out, ("id",))
    assert sorted(table["id"]) == sorted([*submission["id"], "bad"])
    errors = read_table(tmp_path / "scores.errors.csv", ("id", "path", "reason"))
    assert errors["id"].tolist() == ["bad"]
    assert "bad.wav" in capsys.readouterr().err


def test_the_command_reads_the_settings_that_made_the_networks(at_home, tmp_path, capsys):
    """The demo's own settings have other widths and folds; the saved ones count."""
    clip = next((at_home.paths.raw / "test").iterdir())
    assert main(["predict", str(clip), "--config", "demo", "--out", str(tmp_path / "scores.csv")]) == 0
    assert "1 rows. fake, real: calibrated" in capsys.readouterr().out
