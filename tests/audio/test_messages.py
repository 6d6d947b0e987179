"""Reasons of unreadable files as words that stay."""

import ast
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakevoice.audio import decode, ffmpeg, read
from fakevoice.audio.messages import REASONS, code_of
from fakevoice.audio.read import read_audio
from fakevoice.core.errors import AudioError
from fakevoice.serve.app import PAGE

RATE = 8000
OTHER = {
    "a folder, not a file",
    "not a regular file",
    "the part begins after the end, which is at ",
    "the part ends where it begins or before that",
    "ffmpeg took more than ",
}


def encoded(samples: np.ndarray, rate_hz: int = RATE, **options) -> bytes:
    soundfile.write(file := io.BytesIO(), samples, rate_hz, **options)
    return file.getvalue()


FLAC = encoded(np.zeros(RATE), format="FLAC")
FILES = {
    "empty": b"",
    "no_samples": encoded(np.zeros(0), format="WAV"),
    "not_audio": b"hello",
    "damaged": FLAC[:60],
    "rate": encoded(np.zeros(80), 7, format="WAV"),
    "no_length": FLAC[:21] + bytes([FLAC[21] & 0xF0, 0, 0, 0, 0]) + FLAC[26:],
    "not_finite": encoded(np.full(80, np.nan), format="WAV", subtype="FLOAT"),
    "too_loud": encoded(np.full(80, 1e6), format="WAV", subtype="FLOAT"),
}


@pytest.mark.parametrize("code", FILES)
def test_what_is_wrong_with_a_file_has_a_word(tmp_path, code, monkeypatch):
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)  # it reads some of these
    (tmp_path / "a.wav").write_bytes(FILES[code])
    with pytest.raises(AudioError) as error:
        read_audio(tmp_path / "a.wav", RATE)
    assert code_of(error.value.reason) == code


def said_by(module) -> set[str]:
    """The beginnings of all reasons that a module gives of its own."""
    raised = [node for node in ast.walk(ast.parse(Path(module.__file__).read_text())) if isinstance(node, ast.Call)]
    texts = [node.args[1] for node in raised if getattr(node.func, "id", "") == "AudioError"]
    texts = [
        branch for text in texts for branch in ([text.body, text.orelse] if isinstance(text, ast.IfExp) else [text])
    ]
    firsts = [text.values[0] if isinstance(text, ast.JoinedStr) else text for text in texts]
    return {first.value for first in firsts if isinstance(first, ast.Constant)}


def test_every_reason_that_is_given_has_a_word_or_is_known_to_have_none():
    said = said_by(read) | said_by(decode) | said_by(ffmpeg)
    assert len(said) > 10 and {text for text in said if code_of(text) == "other"} == OTHER


def test_every_word_has_its_texts():
    texts = json.loads((PAGE / "texts.json").read_text(encoding="utf-8"))
    assert {key for key in texts if key.startswith("reason.")} == {f"reason.{code}" for code in REASONS} - {
        "reason.other"
    }
