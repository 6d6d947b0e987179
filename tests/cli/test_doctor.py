"""What the doctor finds, and that what it tells to type mends it."""

import importlib.abc
import shutil
import sys

import pytest

from fakevoice.cli import doctor
from fakevoice.cli.command_line import main
from fakevoice.cli.doctor import examine
from fakevoice.core.config import REPOSITORY


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))


def line(text: str, subject: str) -> str:
    (found,) = [row for row in text.splitlines() if row[3:].startswith(f"{subject} ")]
    return found


def test_without_data_the_demo_is_what_runs(tmp_path):
    text, is_well = examine("", [])
    assert is_well, text
    assert "none in" in text and "demo" in text
    assert line(text, "packages").startswith("ok") and "requirements.txt" in text
    assert "./run.sh all" in text


def test_every_subject_is_there():
    text, _ = examine("", [])
    for subject in ("Python", "packages", "extras", "libsndfile", "ffmpeg", "cores", "memory", "GPU", "disk"):
        assert line(text, subject)


def test_data_is_counted(at_home):
    text, is_well = examine("demo", at_home.overrides)
    assert is_well and "holds 60 train, 16 test, 8 unlabeled clips" in text
    assert "features take about 0.0 GB" in line(text, "room")


def test_a_file_that_is_not_there(damageable):
    clip = next((damageable.paths.raw / "test").iterdir())
    clip.unlink()
    text, is_well = examine("demo", damageable.overrides)
    assert not is_well and f"1 of them without a file, e.g. test/{clip.name}" in text


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (["voices"], "train.csv"),
        (["mine"], "cp configs/dacon.yaml configs/mine.yaml"),
    ],
)
def test_what_is_wrong_with_the_data(tmp_path, made, told):
    for name in made:
        (tmp_path / "data" / name).mkdir(parents=True)
    text, is_well = examine("", [])
    assert told in text
    assert is_well == (made == ["mine"])


def test_a_competition_that_is_not_there_is_missing(tmp_path, capsys):
    assert main(["doctor", "--config", "voices"]) == 1
    shown = capsys.readouterr().out
    assert f"{tmp_path / 'data' / 'voices'} does not exist" in shown and "./run.sh prepare --help" in shown


def test_another_version_is_a_note_and_none_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "REPOSITORY", tmp_path)
    real = (REPOSITORY / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(real.replace("joblib==", "joblib==99."))
    text, is_well = examine("", [])
    assert is_well and line(text, "packages").startswith("--")
    assert "instead of 99." in text and f"-m pip install -r {tmp_path / 'requirements.txt'}" in text
    (tmp_path / "requirements.txt").write_text("no-such-package==1.0\n")
    text, is_well = examine("", [])
    assert not is_well and "no-such-package missing instead of 1.0" in text


def test_extras_are_said_to_be_optional(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    text, is_well = examine("", [])
    assert is_well and "tune (./run.sh tune)" in text
    assert "./run.sh install cluster s3 export notebooks tracking tune kaggle" in text
    assert "(optional)" in text


def test_a_package_of_another_system_is_not_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "REPOSITORY", tmp_path)
    (tmp_path / "requirements.txt").write_text("no-such-package==1.0 ; sys_platform == 'nowhere'\n")
    text, is_well = examine("", [])
    assert is_well and line(text, "packages").startswith("ok")


def test_without_libsndfile(monkeypatch):
    """What is left to look at is looked at; the adapters of the data import libsndfile."""

    class Loader(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "soundfile":
                raise OSError("sndfile library not found using ctypes.util.find_library")

    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Loader(), *sys.meta_path])
    text, is_well = examine("demo", [])
    assert not is_well and line(text, "libsndfile").startswith("!!")
    assert "apt-get install libsndfile1" in text
    assert line(text, "disk")


def test_little_room(monkeypatch, damageable):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    text, is_well = examine("demo", damageable.overrides)
    assert is_well, text  # what it takes is there already
    shutil.rmtree(damageable.paths.cache)
    text, is_well = examine("demo", damageable.overrides)
    assert not is_well and "FAKEVOICE_HOME=/path/with/room" in text
