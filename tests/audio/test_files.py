"""Which files of a folder are recordings, and which are skipped and counted."""

import io

import numpy as np
import pytest
import soundfile

from fakevoice.audio.files import scan_folder
from fakevoice.audio.messages import HIDDEN, NOT_AUDIO, UNKNOWN, count_notes, count_reasons


def encoded(format: str) -> bytes:
    soundfile.write(file := io.BytesIO(), 0.1 * np.ones(800), 8000, format=format)
    return file.getvalue()


def test_content_decides_where_the_extension_is_unknown_or_missing(tmp_path):
    contents = {format: encoded(format) for format in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64")}
    contents |= {
        "m4a": b"\0\0\0\x1cftypM4A \0\0\2\0isomiso2",
        "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
        "aac": b"\xff\xf1\x60\x40\x07\x5f\xfc",
        "wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.rec").write_bytes(content)
    found = scan_folder(tmp_path)
    assert {path.name for path in found.audio} == {f"{name}{end}" for name in contents for end in ("", ".rec")}
    assert found.skipped == {}


def test_other_files_are_skipped_and_counted(tmp_path):
    others = {
        "._a.wav": HIDDEN,
        "__MACOSX/a.wav": HIDDEN,
        ".cache/a.wav": HIDDEN,
        "labels.csv": NOT_AUDIO,
        "README": NOT_AUDIO,
        "a.lab": NOT_AUDIO,
        "a.dat": UNKNOWN,
    }
    for name in ("a.wav", *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x93\0\1\2" if name == "a.dat" else "목소리".encode())
    found = scan_folder(tmp_path)
    assert found.audio == [tmp_path / "a.wav"]
    assert {path.relative_to(tmp_path).as_posix(): why for path, why in found.skipped.items()} == others
    counted = count_reasons(found.skipped.values())
    assert counted == "skipped 7 files: 3 are hidden, 3 contain no audio, 1 have an unknown format"


@pytest.mark.parametrize(
    ("reasons", "counted"),
    [
        ([], ""),
        (["0 bytes"], "skipped 1 file: 1 are empty"),
        (
            ["ffmpeg is needed for this format: install ffmpeg"] * 4
            + [NOT_AUDIO] * 2
            + ["cannot be decoded: Format not recognised."],
            "skipped 7 files: 4 need ffmpeg, 3 contain no audio",
        ),
    ],
)
def test_reasons_are_counted(reasons, counted):
    assert count_reasons(reasons) == counted


def test_notes_are_counted_by_kind():
    notes = ["", "all 2.0 s were read", "all 9.0 s were read", "the file is cut off"]
    assert count_notes(notes) == "3 files with a note: 2 × all 2.0 s were read, 1 × the file is cut off"
    assert count_notes(["", ""]) == ""
