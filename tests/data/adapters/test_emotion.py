import os
import shutil
import subprocess
import unicodedata
import wave

import numpy as np
import pytest
import soundfile

from fakevoice.core import artifacts
from fakevoice.core.errors import DataError
from fakevoice.data.adapters import emotion

FFMPEG = """\
#!/bin/sh
# Writes its arguments where the audio should go; a video of the word "silent" has none.
echo "$@" >> "$0.log"
for word in "$@"; do
    if [ "$last" = "-i" ]; then input="${word#file:}"; fi
    last="$word"
done
echo half > "${last#file:}"
if grep -q silent "$input"; then echo "first line" >&2; echo "no audio stream" >&2; exit 1; fi
"""


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def ffmpeg(tmp_path_factory, monkeypatch):
    """The log of an ffmpeg that stands first on the PATH."""
    home = tmp_path_factory.mktemp("bin")
    (home / "ffmpeg").write_text(FFMPEG)
    (home / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return home / "ffmpeg.log"


def test_label_by_number_and_group_by_actor(tmp_path):
    numbers = {1: "happiness", 50: "happiness", 51: "surprise", 100: "surprise", 101: "neutral", 150: "neutral"}
    numbers |= {151: "fear", 200: "fear", 201: "disgust", 250: "disgust", 251: "anger", 300: "anger", 301: "sadness"}
    touch(tmp_path, *(f"actor001_{number:03d}.ogg" for number in numbers), "b/actor002/350.WAV", "actor002_007.wav")
    clips = emotion.read(tmp_path).set_index("id")
    for number, label in numbers.items():
        assert clips.loc[f"actor001_{number:03d}", ["label", "group"]].tolist() == [label, "actor001"]
    assert clips.loc["actor002_350"].tolist() == ["b/actor002/350.WAV", "train", "sadness", "actor002"]
    assert clips.loc["actor002_007", "label"] == "happiness"


def test_the_official_folders_are_read_with_gaps_in_the_numbers(tmp_path):
    touch(tmp_path, "0~9/000/movie/024.wav", "0~9/000/movie/350.wav", "10~19/012/movie/051.wav")
    touch(tmp_path, "0~9/000/picture/024.jpg", "10~19/012/picture/051.jpg")
    clips = emotion.read(tmp_path).set_index("id")
    assert clips["label"].to_dict() == {
        "actor000_024": "happiness",
        "actor000_350": "sadness",
        "actor012_051": "surprise",
    }
    assert clips["group"].tolist() == ["actor000", "actor000", "actor012"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_flattened_korean_names_are_read_with_and_without_spaces(tmp_path, form):
    names = ["1번연기자_001.wav", "a/1번 연기자_077.wav", "12번 연기자 _ 151.wav"]
    touch(tmp_path, *(unicodedata.normalize(form, name) for name in names))
    clips = emotion.read(tmp_path).set_index("id")
    assert clips["label"].to_dict() == {"actor1_001": "happiness", "actor12_151": "fear", "actor1_077": "surprise"}
    assert clips["group"].to_dict() == {"actor1_001": "actor1", "actor12_151": "actor12", "actor1_077": "actor1"}


def test_videos_of_the_official_folders_become_audio(tmp_path, ffmpeg):
    touch(tmp_path, "0~9/000/movie/024.mp4", "0~9/000/picture/024.jpg", "1번 연기자_060.mp4")
    emotion.make(tmp_path)
    assert sorted(path.name for path in (tmp_path / "audio").iterdir()) == ["actor000_024.wav", "actor1_060.wav"]
    assert emotion.read(tmp_path)["label"].tolist() == ["happiness", "surprise"]


def test_clips_to_predict_have_any_name(tmp_path):
    touch(
        tmp_path, "actor001_001.wav", "test/x.wav", "test/deep/actor.ogg", "audio/test/y.wav", "audio/actor001_002.wav"
    )
    clips = emotion.read(tmp_path)
    test = clips[clips["split"] == "test"]
    assert test["id"].tolist() == ["audio/test/y.wav", "test/deep/actor.ogg", "test/x.wav"]
    assert set(test["label"]) == set(test["group"]) == {""}
    assert clips.loc[clips["split"] == "train", "id"].tolist() == ["actor001_001", "actor001_002"]
    assert emotion.template(tmp_path)["id"].tolist() == test["id"].tolist()


@pytest.mark.parametrize("name", ["actor001_000.wav", "actor001_351.wav", "actor_1.wav", "a_1.wav", "actor001/x/1.wav"])
def test_names_that_tell_no_emotion(tmp_path, name):
    touch(tmp_path, "actor001_001.wav", name)
    with pytest.raises(DataError, match=rf"1 names do not give an actor and an emotion.*1 to 350: {name}; rename"):
        emotion.read(tmp_path)


def test_the_same_clip_twice(tmp_path):
    touch(tmp_path, "actor001_001.wav", "actor001/001.ogg", "actor001_002.wav")
    with pytest.raises(DataError, match=r"actor001/001\.ogg, actor001_001\.wav are the same clips"):
        emotion.read(tmp_path)


def test_classes_are_the_seven_in_any_order(tmp_path):
    touch(tmp_path, "actor001_051.wav")
    assert emotion.read(tmp_path, classes=sorted(emotion.CLASSES))["label"].tolist() == ["surprise"]
    for classes in (emotion.CLASSES[:6], [*emotion.CLASSES[:6], "sad"]):
        with pytest.raises(DataError, match="has the classes happiness, surprise"):
            emotion.read(tmp_path, classes=classes)


def test_audio_needs_no_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    touch(tmp_path, "actor001_001.wav")
    emotion.make(tmp_path)
    emotion.make(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["actor001_001.wav"]


def test_videos_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    touch(tmp_path, "actor001_001.mp4", "actor001_002.MKV", "notes.txt")
    with pytest.raises(DataError, match="2 videos must be turned into audio: install ffmpeg"):
        emotion.make(tmp_path)
    assert not (tmp_path / "audio").exists()


def test_only_what_is_missing_or_older_is_made(tmp_path, ffmpeg):
    videos = ["actor001_001.mp4", "x/actor002/060.MOV", "actor003_001.webm", "test/deep/any name.avi", "actor4_2.m4a"]
    touch(tmp_path, *videos)
    emotion.make(tmp_path)
    made = ["actor001_001", "actor002_060", "actor003_001", "actor4_2", "test/deep_any name"]
    audio = tmp_path / "audio"
    assert sorted(path.relative_to(audio).as_posix() for path in audio.rglob("*.wav")) == [f"{m}.wav" for m in made]
    assert emotion.read(tmp_path)["id"].tolist() == [*made[:4], "audio/test/deep_any name.wav"]
    ffmpeg.unlink()
    emotion.make(tmp_path)
    assert not ffmpeg.exists()
    later = (audio / "actor002_060.wav").stat().st_mtime + 5
    os.utime(tmp_path / videos[1], (later, later))
    (audio / "actor001_001.wav").unlink()
    emotion.make(tmp_path)
    lines = ffmpeg.read_text().splitlines()
    assert len(lines) == 2 and "actor001_001.mp4" in lines[0] and "060.MOV" in lines[1]


def test_a_video_without_sound_is_named_and_leaves_no_half_file(tmp_path, ffmpeg):
    touch(tmp_path, "actor001_001.mp4", "actor001_002.mp4")
    (tmp_path / "actor001_001.mp4").write_text("silent")
    with pytest.raises(DataError, match=r"1 videos give no audio: actor001_001\.mp4 \(.*: no audio stream\)"):
        emotion.make(tmp_path)
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["actor001_002.wav"]


def test_what_a_killed_run_left_is_removed(tmp_path, ffmpeg):
    touch(tmp_path, "actor001_001.mp4", f"audio/{artifacts.TEMPORARY}{artifacts.HOST}-999999999-0-actor001_001.wav")
    emotion.make(tmp_path)
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["actor001_001.wav"]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["actor001_400.mp4"], r"1 names do not give an actor and an emotion.*actor001_400\.mp4"),
        (["actor001_001.mp4", "actor001_001.mkv"], r"actor001_001\.mkv, actor001_001\.mp4 are the same clips"),
        (["test/a/b.mp4", "test/a_b.mp4"], r"test/a/b\.mp4, test/a_b\.mp4 are the same clips"),
    ],
    ids=["name", "twice", "flattened"],
)
def test_videos_that_cannot_be_told_apart(tmp_path, ffmpeg, names, what):
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=what):
        emotion.make(tmp_path)
    assert not ffmpeg.exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_real_videos(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    soundfile.write(tmp_path / "tone.flac", np.stack([tone, tone], axis=1), 22_050)
    picture = ["-f", "lavfi", "-i", "color=c=black:s=16x16:r=5:d=1"]
    for name, sound in (("actor001_060.mkv", ["-i", tmp_path / "tone.flac"]), ("actor001_061.mkv", [])):
        command = ["ffmpeg", "-v", "error", *picture, *sound, "-c:a", "pcm_s16le", tmp_path / name]
        subprocess.run(command, check=True)
    (tmp_path / "tone.flac").unlink()
    with pytest.raises(DataError, match=r"1 videos give no audio: actor001_061\.mkv \("):
        emotion.make(tmp_path)
    with wave.open(str(tmp_path / "audio/actor001_060.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 22_050)
    waveform, _ = soundfile.read(tmp_path / "audio/actor001_060.wav")
    np.testing.assert_allclose(waveform, np.stack([tone, tone], axis=1), atol=1e-3)
    (tmp_path / "actor001_061.mkv").unlink()
    emotion.make(tmp_path)
    assert emotion.read(tmp_path)["label"].tolist() == ["surprise"]
