"""What libsndfile cannot read is decoded by ffmpeg, and what of it is missing is reported."""

import subprocess

import numpy as np
import pytest
import soundfile

from fakevoice.audio import ffmpeg
from fakevoice.audio.messages import code_of
from fakevoice.audio.read import measure_length, read_audio
from fakevoice.core.errors import AudioError

RATE = 16_000
needs_ffmpeg = pytest.mark.skipif(not ffmpeg.has_ffmpeg(), reason="ffmpeg is not installed")
ENCODERS = {
    "m4a": ["-c:a", "aac"],
    "m4b": ["-c:a", "aac", "-f", "ipod"],
    "aac": ["-c:a", "aac", "-f", "adts"],
    "3gp": ["-c:a", "aac"],
    "mka": ["-c:a", "aac"],
    "ac3": ["-c:a", "ac3"],
    "wma": ["-c:a", "wmav2"],
    "mov": ["-c:a", "pcm_s16le"],
}


@pytest.fixture
def recording(tmp_path):
    """3 s in stereo, whose channels cancel in a mono mix."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, -tone], axis=1), RATE)
    return tmp_path / "tone.wav"


def convert(source, target, *options):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


@needs_ffmpeg
@pytest.mark.parametrize("extension", ENCODERS)
@pytest.mark.parametrize("name", ["own", "wrong.wav", "none"])
def test_the_content_decides(recording, tmp_path, extension, name):
    encoded = convert(recording, tmp_path / f"own.{extension}", *ENCODERS[extension])
    path = encoded if name == "own" else encoded.rename(tmp_path / name)
    found, length = read_audio(path, RATE), measure_length(path)
    assert found.n_channels == 2 and found.source_duration_s == pytest.approx(3, abs=0.15) and found.notes == ()
    assert length.n_frames / length.rate_hz == pytest.approx(3, abs=0.15) and length.path == path
    assert 0.25 < np.abs(found.waveform[RATE : 2 * RATE]).max() < 0.35


@needs_ffmpeg
@pytest.mark.parametrize("extension", ["mka", "aac", "wma"])
def test_truncated_files_have_a_note(recording, tmp_path, extension):
    path = convert(recording, tmp_path / f"a.{extension}", *ENCODERS[extension])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3 + 1])
    found = read_audio(path, RATE)
    assert found.source_duration_s < 2.5
    assert "ends before its stated length" in found.notes[0] or "damaged" in found.notes[0]


@needs_ffmpeg
def test_a_second_audio_track_is_reported(recording, tmp_path):
    path = convert(recording, tmp_path / "a.mka", "-map", "0:a", "-map", "0:a", "-c:a", "aac")
    assert read_audio(path, RATE).notes == ("only one of its 2 audio tracks was read",)


@needs_ffmpeg
def test_a_recording_is_converted_once_for_all_readings(recording, tmp_path):
    path = convert(recording, tmp_path / "a.m4a")
    converted = tmp_path / "converted.wav"
    length = measure_length(path, converted)
    assert length.path == converted and soundfile.info(converted).frames == length.n_frames
    cut = measure_length(path, tmp_path / "cut.wav", most_s=1.0)
    assert cut.n_frames == RATE and cut.notes == ()


@needs_ffmpeg
@pytest.mark.parametrize(
    "content", [b"hello" * 100, b"#EXTM3U\n#EXTINF:9,\na.wav\n", b"ffconcat version 1.0\nfile a.wav\n"]
)
def test_text_is_not_audio(tmp_path, content):
    (tmp_path / "a.m4a").write_bytes(content)
    with pytest.raises(AudioError) as error:
        read_audio(tmp_path / "a.m4a", RATE)
    assert code_of(error.value.reason) == "not_audio"


@needs_ffmpeg
def test_a_video_without_sound(tmp_path):
    picture = ["-f", "lavfi", "-i", "color=size=32x32:rate=5:duration=1"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *picture, str(tmp_path / "a.mp4")], check=True, timeout=60)
    with pytest.raises(AudioError, match="a video without sound"):
        read_audio(tmp_path / "a.mp4", RATE)


def test_without_ffmpeg_the_reason_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda name: None)
    (tmp_path / "a.wav").write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0isomiso2" + bytes(2000))
    with pytest.raises(AudioError) as error:
        read_audio(tmp_path / "a.wav", RATE)
    assert error.value.reason == ffmpeg.NEEDED and code_of(error.value.reason) == "no_ffmpeg"
    assert error.value.path == str(tmp_path / "a.wav")
