"""Data sets one to three folders deeper, as Kaggle's archives are unpacked, and tables from other systems."""

import unicodedata

import numpy as np
import pytest
import soundfile

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import asvspoof2019_la, dacon, deep_voice, folders


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(16000), 16000)


@pytest.mark.parametrize("above", ["", "LA", "LA/LA", "download/LA/LA"])
def test_asvspoof(tmp_path, above):
    protocols = tmp_path / above / "ASVspoof2019_LA_cm_protocols"
    protocols.mkdir(parents=True)
    lines = "LA_0001 LA_T_1 - - bonafide\nLA_0002 LA_T_2 - A01 spoof\n"
    (protocols / "ASVspoof2019.LA.cm.train.trn.txt").write_text(lines)
    clips = asvspoof2019_la.read(tmp_path)
    home = f"{above}/" if above else ""
    assert clips["path"].tolist() == [f"{home}ASVspoof2019_LA_train/flac/LA_T_{n}.flac" for n in (1, 2)]


@pytest.mark.parametrize("above", ["", "AUDIO", "KAGGLE/AUDIO"])
def test_deep_voice(tmp_path, above):
    for name in ("REAL", "FAKE"):
        write_clip(tmp_path / above / name / "a.wav")
    (tmp_path / "__MACOSX" / "REAL").mkdir(parents=True)
    clips = deep_voice.read(tmp_path)
    home = f"{above}/" if above else ""
    assert set(clips["path"]) == {f"{home}{name}/a.wav#t=0,1" for name in ("REAL", "FAKE")}


def test_folders_by_split(tmp_path):
    home = tmp_path / "for-2sec" / "for-2seconds"
    for split in ("training", "testing", "validation"):
        for name in ("real", "fake"):
            write_clip(home / split / name / f"{split}.wav")
    clips = folders.read(tmp_path, test_folder="testing")
    train = clips[clips["split"] == "train"]
    assert set(train["path"]) == {f"for-2sec/for-2seconds/training/{name}/training.wav" for name in ("real", "fake")}
    assert sorted(train["label"]) == ["fake", "real"]
    assert (clips["split"] == "test").sum() == 2
    assert len(folders.template(tmp_path, test_folder="testing")) == 2


def test_two_trees_that_could_be_meant_are_named(tmp_path):
    for home in ("for-2sec", "for-norm"):
        for name in ("real", "fake"):
            write_clip(tmp_path / home / name / "a.wav")
    with pytest.raises(DataError, match="for-2sec, for-norm could all be the data set"):
        folders.read(tmp_path)


@pytest.mark.parametrize("above", ["", "open", "a/open"])
def test_dacon_with_names_of_other_systems(tmp_path, above):
    name, label = "목소리 é", "가짜"
    home = tmp_path / above
    write_clip(home / "train" / f"{unicodedata.normalize('NFD', name)}.ogg")
    write_clip(home / "train" / "b.ogg")
    decomposed = unicodedata.normalize("NFD", label)
    rows = [f"1,.\\train\\{name}.ogg,{decomposed}", "2,./train/b.ogg,진짜"]
    (home / "train.csv").write_text("id,path,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (home / "test.csv").write_text("id,path\nt,train\\b.ogg\n")
    (home / "sample_submission.csv").write_text("id,가짜,진짜\nt,0.5,0.5\n", encoding="utf-8")
    clips = dacon.read(tmp_path, classes=[label, "진짜"])
    assert all((tmp_path / path).is_file() for path in clips["path"])
    assert clips["label"].tolist() == [label, "진짜", ""]
    assert dacon.template(tmp_path, classes=[label, "진짜"])["id"].tolist() == ["t"]
