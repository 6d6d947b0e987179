"""Any recording: by windows where it is long, with a timeline, saying what is not known; and the same as a stream."""

import io
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from fakevoice.audio import ffmpeg as videos
from fakevoice.audio.read import read_audio, read_pcm
from fakevoice.cli.command_line import main
from fakevoice.core.config import REPOSITORY
from fakevoice.core.errors import AudioError, ConfigError, DataError
from fakevoice.core.tables import read_table
from fakevoice.data.synthetic import NOTE
from fakevoice.inference.inputs import Source, list_sources
from fakevoice.inference.recordings import answer
from fakevoice.inference.stream import Listener, as_dict, listen

RATE = 22_050
OUTPUTS = ["fake", "real"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


@pytest.fixture(scope="module")
def voices(finished_run) -> list[np.ndarray]:
    """Test clips of the demo, 5 s each, at another rate."""
    files = sorted((finished_run.paths.raw / "test").iterdir())[:3]
    return [read_audio(file, RATE).waveform for file in files]


@pytest.fixture
def long(voices, tmp_path):
    """12.3 s of three test clips one after the other, in two channels."""
    sound = np.concatenate(voices)[: int(12.3 * RATE)]
    soundfile.write(tmp_path / "long.wav", np.stack([sound, 0.5 * sound], axis=1), RATE, subtype="PCM_16")
    return tmp_path / "long.wav"


def test_windows_of_a_long_recording_get_what_they_get_as_files(predictor, long, tmp_path):
    answers = answer(predictor, [Source("long", long)], hop_s=2.5)
    timeline = answers.timeline
    assert timeline["end_s"].round(6).tolist() == [5.0, 7.5, 10.0, 12.3]
    assert timeline["start_s"].round(6).tolist() == [0.0, 2.5, 5.0, 7.3]
    sound, _ = soundfile.read(long, dtype="int16")
    for n, row in enumerate(timeline.itertuples()):
        part = sound[round(row.start_s * RATE) : round(row.end_s * RATE)]
        soundfile.write(tmp_path / f"part{n}.wav", part, RATE)
    alone = answer(predictor, [Source(str(n), tmp_path / f"part{n}.wav") for n in range(4)]).table
    assert np.abs(alone[OUTPUTS].to_numpy() - timeline[OUTPUTS].to_numpy()).max() < 1e-6
    (row,) = answers.table.itertuples()
    assert row.n_windows == 4 and row.fake == timeline["fake"].max() and row.real == timeline["real"].max()


def test_a_recording_of_a_clips_length_or_less_is_one_clip(predictor, voices, tmp_path):
    soundfile.write(tmp_path / "short.wav", voices[0][:RATE], RATE)
    soundfile.write(tmp_path / "clip.wav", voices[0], RATE)
    answers = answer(predictor, [Source("short", tmp_path / "short.wav"), Source("clip", tmp_path / "clip.wav")])
    assert answers.table["n_windows"].tolist() == [1, 1] and len(answers.timeline) == 2
    probability = predictor.predict([tmp_path / "short.wav", tmp_path / "clip.wav"]).probability
    assert np.abs(answers.table[OUTPUTS].to_numpy() - probability).max() < 3e-6


def test_what_a_table_lists_are_clips(predictor, long, tmp_path):
    (tmp_path / "some.csv").write_text("id,path\nlong,long.wav\n")
    (source,) = list_sources([str(tmp_path / "some.csv")])
    answers = answer(predictor, [source])
    assert answers.table["n_windows"].tolist() == [1]
    assert np.abs(answers.table[OUTPUTS].to_numpy() - predictor.predict([long]).probability).max() < 3e-6


def test_folds_of_the_ensemble_lie_around_it(predictor, long):
    timeline = answer(predictor, [Source("long", long)]).timeline
    for output in OUTPUTS:
        assert (timeline[f"{output}_low"] <= timeline[output] + 1e-5).all()
        assert (timeline[output] <= timeline[f"{output}_high"] + 1e-5).all()
        assert (timeline[f"{output}_low"] < timeline[f"{output}_high"]).all()


def test_what_training_never_heard_is_said(predictor, voices, long, tmp_path):
    time_s = np.arange(5 * RATE) / RATE
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sign(np.sin(2 * np.pi * 100 * time_s)), RATE)
    soundfile.write(tmp_path / "voice.wav", voices[0], RATE)
    table = answer(predictor, [Source("tone", tmp_path / "tone.wav"), Source("voice", tmp_path / "voice.wav")]).table
    outside = "outside of what training covered: the probabilities may mean nothing"
    assert table["note"].tolist() == [f"{outside}; {NOTE}", NOTE]
    sound, _ = soundfile.read(long)
    sound[: 5 * RATE] = (0.5 * np.sign(np.sin(2 * np.pi * 100 * time_s)))[:, None]
    soundfile.write(long, sound, RATE)
    note = answer(predictor, [Source("long", long)]).table["note"].iloc[0]
    assert re.search("covered in [12] of 4 windows", note)  # the second one is half a tone


def test_what_cannot_be_read_gets_the_prior_and_is_listed(predictor, long, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "video.mp4").write_bytes(b"no video")
    sources = [Source(name, tmp_path / file) for name, file in (("text", "text.wav"), ("video", "video.mp4"))]
    answers = answer(predictor, [*sources, Source("long", long)])
    assert answers.unreadable["id"].tolist() == ["text", "video"]
    assert np.abs(answers.table[OUTPUTS].to_numpy()[:2] - predictor.blend.prior).max() < 3e-6
    assert answers.table["note"].str.startswith("not readable").tolist() == [True, True, False]
    assert answers.table["fake_low"].tolist()[:2] == [0, 0] and answers.table["fake_high"].tolist()[:2] == [1, 1]


@pytest.mark.skipif(not videos.has_ffmpeg(), reason="no ffmpeg: videos cannot be read here")
def test_a_video_is_heard(predictor, long, tmp_path):
    video, mono = tmp_path / "film.mp4", tmp_path / "mono.wav"
    picture = ["-f", "lavfi", "-i", "color=size=32x32:rate=5:duration=12.3"]
    sound = ["-c:a", "alac", "-strict", "experimental"]
    command = ["ffmpeg", "-nostdin", "-v", "error", *picture, "-i", str(long), *sound, "-shortest", str(video)]
    subprocess.run(command, check=True, timeout=60)
    (source,) = list_sources([str(video)])
    videos.decode_to_wav(video, mono)
    heard, direct = (answer(predictor, [Source("film", path)]) for path in (source.path, mono))
    assert heard.table.equals(direct.table) and len(heard.timeline) >= 3
    assert heard.table["note"].iloc[0] == NOTE


def test_without_ffmpeg_a_video_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(videos.shutil, "which", lambda name: None)
    with pytest.raises(AudioError, match="install ffmpeg"):
        videos.decode_to_wav(tmp_path / "film.mp4", tmp_path / "film.wav")


@pytest.mark.parametrize("hop_s", [0.0, 0.05, 5.1, -1.0])
def test_an_impossible_hop(predictor, long, hop_s):
    with pytest.raises(ConfigError, match=r"a hop of .* s: from 0\.1 to 5 s"):
        answer(predictor, [Source("long", long)], hop_s=hop_s)


def streamed(predictor, raw: bytes, n_channels: int, hop_s: float, chunk: int) -> list:
    listener = Listener(predictor, RATE, n_channels, hop_s)
    replies = [reply for start in range(0, len(raw), chunk) for reply in listener.push(raw[start : start + chunk])]
    return [*replies, *listener.end()]


@pytest.mark.parametrize("chunk", [1001, 4096, 10**9])
def test_a_stream_gets_the_answers_of_the_file(predictor, long, chunk):
    sound, _ = soundfile.read(long, dtype="int16")
    replies = streamed(predictor, sound.tobytes(), 2, 2.5, chunk)
    timeline = answer(predictor, [Source("long", long)], hop_s=2.5, early=True).timeline
    assert [reply.end_s for reply in replies] == pytest.approx(timeline["end_s"].tolist())
    assert [reply.is_whole for reply in replies] == timeline["is_whole"].tolist() == [False, *[True] * 4]
    found = np.concatenate([reply.scores.probability for reply in replies])
    assert np.abs(found - timeline[OUTPUTS].to_numpy()).max() < 3e-6


def test_a_stream_that_ends_within_the_first_hop(predictor, voices, tmp_path):
    soundfile.write(tmp_path / "short.wav", voices[0][: RATE // 2], RATE, subtype="PCM_16")
    sound, _ = soundfile.read(tmp_path / "short.wav", dtype="int16")
    (reply,) = streamed(predictor, sound.tobytes(), 1, 2.5, 999)
    assert reply.is_whole and reply.end_s == pytest.approx(0.5, abs=1e-4)
    table = answer(predictor, [Source("short", tmp_path / "short.wav")]).table
    assert np.abs(reply.scores.probability[0] - table[OUTPUTS].to_numpy()[0]).max() < 3e-6


def test_a_listener_keeps_no_more_than_a_clip(predictor, voices):
    listener = Listener(predictor, RATE, 1, 5.0)
    silence = np.zeros(12 * RATE, np.int16).tobytes()
    for _ in listener.push(silence):
        assert len(listener.kept) <= 2 * (5 + 5) * RATE
    assert len(listener.kept) <= 2 * 7 * RATE  # a clip, and what came since the last hop


def test_nothing_heard_is_said(predictor):
    with pytest.raises(DataError, match="ended before its first sample"):
        list(listen(Listener(predictor, RATE), io.BytesIO(b"")))


def test_raw_samples_are_read_as_those_of_a_file(long):
    sound, _ = soundfile.read(long, dtype="int16")
    raw, file = read_pcm(sound.tobytes(), RATE, 2, 16_000), read_audio(long, 16_000)
    assert np.array_equal(raw.waveform, file.waveform) and raw.n_channels == 2
    with pytest.raises(AudioError, match="impossible sample rate of 7 Hz"):
        read_pcm(sound.tobytes(), 7, 2, 16_000)


def test_json_of_a_reply_is_plain(predictor, voices):
    raw = (voices[0] * 32767).astype(np.int16).tobytes()
    for reply in streamed(predictor, raw, 1, 5.0, 10**9):
        told = json.loads(json.dumps(as_dict(reply, predictor.config)))
        assert set(told) == {
            "start_s",
            "end_s",
            "is_whole",
            "is_outside",
            "note",
            *(f"{o}{k}" for o in OUTPUTS for k in ("", "_low", "_high")),
        }


def test_the_commands(at_home, long, tmp_path, capsys, monkeypatch):
    out, timeline, plot = (tmp_path / name for name in ("scores.csv", "timeline.csv", "plot.png"))
    words = ["predict", "-", "--config", "demo", "--out", str(out), "--timeline", str(timeline), "--plot", str(plot)]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{long}\n\n"))
    assert main([*words, "--hop", "2.5"]) == 0
    assert "calibrated probability that it is heard" in capsys.readouterr().out
    assert read_table(out, ("id",))["n_windows"].tolist() == [4]
    assert len(read_table(timeline, ("id",))) == 5
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_pipe_is_answered_before_it_ends(at_home, long):
    """The first answer comes after one hop, while the pipe is still open."""
    sound, _ = soundfile.read(long, dtype="int16")
    command = [sys.executable, "-m", "fakevoice", "stream", "--config", "demo", "--rate", str(RATE), "--channels", "2"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": REPOSITORY / "src"}
    with subprocess.Popen(command, **pipes) as process:
        raw, hop = sound.tobytes(), round(2.5 * RATE) * 4
        process.stdin.write(raw[:hop])
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert first["end_s"] == 2.5 and not first["is_whole"]
        rest, _ = process.communicate(raw[hop:], timeout=120)
    assert process.returncode == 0 and len(rest.splitlines()) == 4


def test_who_reads_may_have_heard_enough(at_home, long):
    """As `| head -1` does: no traceback."""
    sound, _ = soundfile.read(long, dtype="int16")
    command = [sys.executable, "-m", "fakevoice", "stream", "--config", "demo", "--rate", str(RATE), "--channels", "2"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, cwd=REPOSITORY / "src") as process:
        process.stdin.write(sound.tobytes())
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(120) == 128 + signal.SIGPIPE


def test_a_recording_is_opened_once_for_all_its_windows(predictor, long, monkeypatch):
    opens, constructor = [], soundfile.SoundFile.__init__

    def counted(self, *arguments, **options):
        opens.append(arguments)
        constructor(self, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", counted)
    assert len(answer(predictor, [Source("long", long)], hop_s=0.5).timeline) == 16
    assert len(opens) == 2  # its length, then its windows


def cut_off(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.fixture
def files_with_notes(voices, tmp_path):
    """A folder of recordings that are not what their headers say, and of files that are none."""
    folder = tmp_path / "files"
    folder.mkdir()
    sound = np.concatenate(voices)[: 12 * RATE]
    first, second = sound[: 3 * RATE], sound[3 * RATE :]
    for name in ("first", "second", "cut"):
        soundfile.write(folder / f"{name}.ogg", {"first": first, "second": second, "cut": sound}[name], RATE)
    (folder / "joined.ogg").write_bytes((folder / "first.ogg").read_bytes() + (folder / "second.ogg").read_bytes())
    cut_off(folder / "cut.ogg", 2 / 3)
    soundfile.write(folder / "other_rate.ogg", second, 8000)
    (folder / "partly.ogg").write_bytes((folder / "first.ogg").read_bytes() + (folder / "other_rate.ogg").read_bytes())
    soundfile.write(folder / "unclosed", sound, RATE, format="WAV")
    content = bytearray((folder / "unclosed").read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    (folder / "unclosed").write_bytes(content)
    soundfile.write(folder / "damaged.flac", sound, RATE)
    content = bytearray((folder / "damaged.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    (folder / "damaged.flac").write_bytes(content)
    for name in ("first.ogg", "second.ogg", "other_rate.ogg"):
        (folder / name).unlink()
    for name in ("._cut.ogg", "notes.txt"):
        (folder / name).write_text("no audio")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x1cftypisom\0\0\2\0isomiso2" + bytes(100))
    return folder


def test_rows_say_what_of_a_file_was_not_read(predictor, files_with_notes):
    answers = answer(predictor, [source for source in list_sources([str(files_with_notes)]) if source.id != "film"])
    notes = answers.file_notes.set_index("id")["note"]
    assert notes["cut"] == "the file ends before its stated length"
    assert notes["partly"].startswith("only the first 3.0 s of the file were read")
    assert "all 12.0 s up to the end of the file were read" in notes["unclosed"]
    assert re.match(r"\d of 4 windows could not be read \(cannot be decoded", notes["damaged"])
    assert "joined" not in notes and len(notes) == 4
    table = answers.table.set_index("id")
    assert all(table.loc[name, "note"].startswith(note) for name, note in notes.items())
    assert table["n_windows"].to_dict() | {"damaged": 0} == {
        **{"cut": 3, "damaged": 0, "joined": 4, "partly": 1, "unclosed": 4},
    }


def test_clips_of_a_table_have_these_notes_too(predictor, files_with_notes):
    (files_with_notes / "some.csv").write_text("id,path\nx,cut.ogg\ny,unclosed\nz,joined.ogg\n")
    answers = answer(predictor, list_sources([str(files_with_notes / "some.csv")]))
    assert answers.file_notes["id"].tolist() == ["x", "y"]


def test_predict_counts_what_it_skips_and_says_that_a_demo_model_knows_nothing(
    at_home, files_with_notes, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(videos.shutil, "which", lambda name: None)
    assert main(["predict", str(files_with_notes), "--config", "demo", "--out", str(tmp_path / "scores.csv")]) == 0
    told = capsys.readouterr().err
    assert (
        "4 files with a note: " in told and "skipped 3 files: 1 are hidden, 1 contain no audio, 1 need ffmpeg" in told
    )
    assert NOTE in told
    table = read_table(tmp_path / "scores.csv", ("id", "note"))
    assert len(table) == 6 and table["note"].str.endswith(NOTE).all()


def test_a_stream_says_that_a_demo_model_knows_nothing(predictor, voices):
    raw = (voices[0] * 32767).astype(np.int16).tobytes()
    (reply, *_) = streamed(predictor, raw, 1, 5.0, 10**9)
    told = as_dict(reply, predictor.config)
    assert told["note"] == NOTE and not told["is_outside"]
