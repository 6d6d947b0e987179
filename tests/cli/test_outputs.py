"""Outputs that a user names: no input is lost, links and devices stay what they are, and nothing fails at the end."""

import os
import threading
from pathlib import Path

import pandas as pd
import pytest

from fakevoice.cli.command_line import main
from fakevoice.cli.outputs import check_folder, check_outputs
from fakevoice.core.artifacts import temporary_path, write_text
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.tables import read_table, safe_cells

HANGUL_OF_244_BYTES = "목" * 80 + ".csv"


def test_an_output_that_is_also_an_input_is_refused(tmp_path):
    table, link, hard_link = (tmp_path / name for name in ("list.csv", "link.csv", "hard.csv"))
    table.write_text("id,path\n")
    link.symlink_to(table)
    os.link(table, hard_link)
    for output in (table, link, hard_link, tmp_path / "." / "list.csv"):
        with pytest.raises(ConfigError, match="is an input too"):
            check_outputs([output], [table])
    check_outputs([tmp_path / "other.csv"], [table])


def test_two_outputs_of_one_name_and_outputs_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for outputs, message in [
        ([tmp_path / "a.csv", tmp_path / "a.csv"], "named as two outputs"),
        ([tmp_path], "is a folder"),
        ([tmp_path / "file" / "a.csv"], "is not a folder"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_outputs(outputs, [])


def test_a_link_is_written_through(tmp_path):
    target, link = tmp_path / "real" / "a.csv", tmp_path / "a.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    write_text(link, "new")
    write_text(link, "newer")
    assert link.is_symlink() and target.read_text() == "newer"
    assert [path.name for path in target.parent.iterdir()] == ["a.csv"]


def test_a_device_and_a_pipe_are_written_to(tmp_path):
    terminal, name = os.openpty()  # a device that cannot be replaced, even by root
    write_text(Path(os.ttyname(name)), "to a device")
    assert os.read(terminal, 100) == b"to a device"
    os.close(terminal)
    os.close(name)
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "through the pipe")
    reader.join(10)
    assert read == ["through the pipe"] and not pipe.is_file()


def test_a_long_hangul_name_can_be_written(tmp_path):
    write_text(tmp_path / HANGUL_OF_244_BYTES, "content")
    assert (tmp_path / HANGUL_OF_244_BYTES).read_text() == "content"
    assert len(os.fsencode(temporary_path(tmp_path / HANGUL_OF_244_BYTES).name)) <= 255
    with pytest.raises(ArtifactError, match="cannot write"):
        write_text(tmp_path / ("목" * 90), "content")


def test_an_export_overwrites_no_files_of_others(tmp_path):
    (tmp_path / "MODEL_CARD.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"MODEL_CARD.md is not of this command"):
        check_folder(tmp_path, ["model.json", "MODEL_CARD.md"], "model.json")
    (tmp_path / "model.json").write_text("{}")
    check_folder(tmp_path, ["model.json", "MODEL_CARD.md"], "model.json")
    check_folder(tmp_path / "new", ["model.json"], "model.json")


def test_texts_that_are_formulas_get_an_apostrophe():
    table = pd.DataFrame({"id": ["=1+1", "@x", "+x", "-x", "\tx", "＝x", "a=1", "1"], "=fake": [-0.5] * 8})
    safe = safe_cells(table)
    assert safe["id"].tolist() == ["'=1+1", "'@x", "'+x", "'-x", "'\tx", "'＝x", "a=1", "1"]
    assert safe["'=fake"].tolist() == [-0.5] * 8  # a number is no formula


@pytest.fixture
def clips(at_home, tmp_path):
    """Two clips whose ids are formulas, and a table of them."""
    sounds = sorted((at_home.paths.raw / "test").iterdir())[:2]
    table = "".join(f"{name},{sound}\n" for name, sound in zip(("=1+1", "b"), ("0.ogg", "1.ogg"), strict=True))
    for index, sound in enumerate(sounds):
        (tmp_path / f"{index}.ogg").write_bytes(sound.read_bytes())
    (tmp_path / "list.csv").write_text(f"id,path\n{table}")
    return tmp_path


def test_predict_refuses_its_input_as_output_and_escapes_formulas_on_request(clips, capsys):
    table = clips / "list.csv"
    before = table.read_bytes()
    assert main(["predict", "--config", "demo", str(table), "--out", str(table)]) == 2
    assert "is an input too" in capsys.readouterr().err and table.read_bytes() == before
    assert main(["predict", "--config", "demo", str(clips / "0.ogg"), "--out", str(clips / "0.ogg")]) == 2
    for words, first in (([], "=1+1"), (["--safe-csv"], "'=1+1")):
        assert main(["predict", "--config", "demo", str(table), "--out", str(clips / "out.csv"), *words]) == 0
        assert read_table(clips / "out.csv", ("id", "note"))["id"].tolist() == [first, "b"]


def test_predict_writes_to_standard_output(clips, capfd):
    assert main(["predict", "--config", "demo", str(clips / "0.ogg"), "--out", "/dev/stdout"]) == 0
    assert capfd.readouterr().out.startswith("id,fake,real,")
