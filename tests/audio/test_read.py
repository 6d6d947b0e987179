import os
import resource
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakevoice.audio.files import find_audio, split_part
from fakevoice.audio.read import fix_length, measure_length, read_audio, read_parts
from fakevoice.core.errors import AudioError, DataError

RATE = 16_000


def tone(duration_s=1.0, rate_hz=RATE, frequency_hz=440.0, amplitude=0.5):
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def noise(n_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def save(path, waveform, rate_hz=RATE, **how):
    soundfile.write(path, waveform, rate_hz, **how)
    return path


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content


def wav_bytes(data, *, claim=None, rate_hz=RATE, n_channels=1, bits=16, format_tag=1, before=b""):
    """A WAV written by hand, whose header may lie: `claim` is the length it gives for `data`."""
    claim = len(data) if claim is None else claim
    width = n_channels * bits // 8
    layout = struct.pack("<HHIIHH", format_tag, n_channels, rate_hz, rate_hz * width % 2**32, width, bits)
    body = b"WAVE" + chunk(b"fmt ", layout) + before + b"data" + struct.pack("<I", claim)
    return b"RIFF" + struct.pack("<I", min(len(body) + claim, 2**32 - 1)) + body + data


def written(path, content):
    path.write_bytes(content)
    return path


def cut(path, share):
    content = path.read_bytes()
    return written(path, content[: int(len(content) * share)])


def reason(path):
    with pytest.raises(AudioError) as caught:
        read_audio(path, RATE)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_missing_folder_pipe_and_link_to_itself(tmp_path):
    assert "No such file" in reason(tmp_path / "none.wav")
    assert "folder" in reason(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    assert "regular" in reason(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert "symbolic links" in reason(tmp_path / "loop.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = save(tmp_path / "a.wav", tone())
    path.chmod(0)
    assert "Permission denied" in reason(path)


def test_refusal_to_open_is_reported(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    path = save(tmp_path / "a.wav", tone())
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert reason(path) == "Permission denied"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "0 bytes"),
        (b"hello\n" * 50, "cannot be decoded: "),
        (bytes(5000), "cannot be decoded: "),
        (wav_bytes(b""), "0 samples"),
        (wav_bytes(bytes(2000), rate_hz=0), "cannot be decoded: "),
        (wav_bytes(bytes(2000), rate_hz=1), "sample rate of 1 Hz"),
        (wav_bytes(bytes(2000), rate_hz=2**31 - 1), "sample rate of 2147483647 Hz"),
        (wav_bytes(bytes(2000), n_channels=0), "cannot be decoded: "),
    ],
    ids=["0 bytes", "text", "zeros", "no samples", "rate 0", "rate 1", "rate 2^31", "no channels"],
)
def test_not_audio(tmp_path, content, expected):
    found = reason(written(tmp_path / "a.wav", content))
    assert expected in found
    assert len(found) > len("cannot be decoded: ") or found in ("0 bytes", "0 samples")


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01])
def test_truncated_flac(tmp_path, share):
    assert "cannot be decoded: " in reason(cut(save(tmp_path / "a.flac", noise(32_000)), share))


def test_corrupt_flac(tmp_path):
    path = save(tmp_path / "a.flac", noise(32_000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    assert "cannot be decoded: " in reason(written(path, bytes(content)))


def test_flac_of_unknown_length(tmp_path):
    path = save(tmp_path / "a.flac", noise(32_000))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert "how many samples" in reason(written(path, bytes(content)))


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-np.inf, "NaN or infinite"), (32768.0, "full scale")],
)
def test_samples_that_are_no_sound(tmp_path, value, expected, n_channels):
    waveform = np.repeat(noise(1000)[:, None], n_channels, axis=1)
    waveform[500] = value
    content = wav_bytes(waveform.tobytes(), n_channels=n_channels, bits=32, format_tag=3)
    assert expected in reason(written(tmp_path / "a.wav", content))


@pytest.mark.parametrize(("n_channels", "expected"), [(1, "full scale"), (2, "infinite")])
def test_sum_beyond_float32(tmp_path, n_channels, expected):
    waveform = np.full((1000, n_channels), 3e38, np.float32)
    content = wav_bytes(waveform.tobytes(), n_channels=n_channels, bits=32, format_tag=3)
    assert expected in reason(written(tmp_path / "a.wav", content))


def test_nan_in_one_channel_only(tmp_path):
    waveform = np.stack([noise(1000), noise(1000, 1)], axis=1)
    waveform[7, 1] = np.nan
    path = written(tmp_path / "a.wav", wav_bytes(waveform.tobytes(), n_channels=2, bits=32, format_tag=3))
    assert "NaN" in reason(path)


@pytest.mark.parametrize(
    ("name", "share"),
    [("a.wav", 0.5), ("a.aiff", 0.5), ("a.au", 0.5), ("a.w64", 0.5), ("a.rf64", 0.5), ("a.ogg", 0.7), ("a.mp3", 0.6)],
)
def test_truncated(tmp_path, name, share):
    path = save(tmp_path / name, noise(80_000))
    whole = read_audio(path, RATE)
    part = read_audio(cut(path, share), RATE)
    assert "truncated" not in whole.flags
    assert "truncated" in part.flags
    assert 0 < part.source_duration_s < whole.source_duration_s == 5.0


def test_truncated_by_a_few_bytes(tmp_path):
    assert "truncated" in read_audio(cut(save(tmp_path / "a.ogg", noise(80_000)), 0.999), RATE).flags
    assert "truncated" in read_audio(cut(save(tmp_path / "a.wav", noise(80_000)), 0.999), RATE).flags


def test_truncated_wav_behind_long_metadata(tmp_path):
    info = b"INFO" + b"".join(chunk(name, b"abcdefg " * 200) for name in (b"ICMT", b"INAM", b"IART", b"IPRD"))
    whole = wav_bytes((noise(32_000) * 32767).astype("<i2").tobytes(), before=chunk(b"LIST", info))
    assert "truncated" not in read_audio(written(tmp_path / "a.wav", whole), RATE).flags
    assert "truncated" in read_audio(written(tmp_path / "a.wav", whole[: len(whole) // 2]), RATE).flags


def test_wav_from_a_pipe_is_whole(tmp_path):
    streamed = wav_bytes(tone().tobytes(), claim=2**32 - 1, bits=32, format_tag=3)
    recording = read_audio(written(tmp_path / "a.wav", streamed), RATE)
    assert recording.flags == ()
    assert len(recording.waveform) == RATE


@pytest.mark.parametrize(
    ("waveform", "flags"),
    [
        (tone(0.05), ("short",)),
        (np.zeros(RATE, np.float32), ("silent",)),
        (np.full(RATE, 0.25, np.float32), ("dc",)),
        (np.clip(3 * tone(), -1, 1), ("clipped",)),
        (tone(), ()),
    ],
)
def test_flags(tmp_path, waveform, flags):
    assert read_audio(save(tmp_path / "a.wav", waveform, subtype="FLOAT"), RATE).flags == flags


@pytest.mark.parametrize("n_samples", [1, 2, 100])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_very_short(tmp_path, n_samples, rate_hz):
    recording = read_audio(save(tmp_path / "a.wav", noise(n_samples), rate_hz), RATE)
    assert "short" in recording.flags
    assert len(recording.waveform) >= 1
    assert np.isfinite(recording.waveform).all()


def test_cut(tmp_path):
    path = save(tmp_path / "a.wav", tone(2.0))
    part = read_audio(path, RATE, max_duration_s=0.5)
    assert part.flags == ("cut",)
    assert part.source_duration_s == 2.0
    np.testing.assert_array_equal(part.waveform, read_audio(path, RATE).waveform[: RATE // 2])
    assert read_audio(path, RATE, max_duration_s=2.0).flags == ()


@pytest.mark.parametrize("rate_hz", [8_000, 11_127, 16_000, 22_050, 48_000])
def test_resampled(tmp_path, rate_hz):
    recording = read_audio(save(tmp_path / "a.wav", tone(1.0, rate_hz), rate_hz, subtype="FLOAT"), RATE)
    assert recording.source_rate_hz == rate_hz
    assert recording.waveform.dtype == np.float32
    middle = slice(RATE // 4, -RATE // 4)  # the filter rings at the edges
    np.testing.assert_allclose(recording.waveform[middle], tone()[middle], atol=1e-3)
    assert len(recording.waveform) == RATE


def test_channels(tmp_path):
    left, right = tone(), tone(frequency_hz=1000.0)
    mixed = read_audio(save(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT"), RATE)
    np.testing.assert_allclose(mixed.waveform, (left + right) / 2, atol=1e-6)
    eight = read_audio(save(tmp_path / "b.wav", np.stack([left] * 8, 1), subtype="FLOAT"), RATE)
    assert eight.n_channels == 8
    np.testing.assert_allclose(eight.waveform, left, atol=1e-6)


@pytest.mark.parametrize("gain", [1.0, 0.98])
def test_opposite_channels(tmp_path, gain):
    path = save(tmp_path / "a.wav", np.stack([tone(), -gain * tone()], 1), subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, RATE).waveform, tone())


def test_silent_first_channel_is_not_taken(tmp_path):
    path = save(tmp_path / "a.wav", np.stack([np.zeros(RATE), tone()], 1), subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, RATE).waveform, tone() / 2, atol=1e-6)


@pytest.mark.parametrize("format", ["WAV", "OGG", "FLAC", "MP3", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("part", ["0,1", "1,2", "0.5,2.25", "2,9", "0.,0.0001"])
def test_part(tmp_path, format, part):
    whole = read_audio(save(tmp_path / "a, b#1.wav", noise(3 * RATE), format=format), RATE).waveform
    start, end = (round(float(second) * RATE) for second in part.split(","))
    recording = read_audio(tmp_path / f"a, b#1.wav#t={part}", RATE)
    np.testing.assert_allclose(recording.waveform, whole[start:end], atol=1e-6)
    assert recording.source_duration_s == len(whole[start:end]) / RATE
    assert not {"truncated", "cut"} & set(recording.flags)


def test_neighbouring_parts_make_the_whole(tmp_path):
    path = save(tmp_path / "a.wav", noise(RATE), 11_025)
    parts = [read_audio(f"{path}#t={n / 10},{(n + 1) / 10}", 11_025).waveform for n in range(15)]
    np.testing.assert_array_equal(np.concatenate(parts), read_audio(path, 11_025).waveform)


def test_part_that_is_not_there(tmp_path):
    path = save(tmp_path / "a.wav", tone(2.0))
    for part in ("2,3", "2.5,3"):
        assert reason(tmp_path / f"a.wav#t={part}") == "the part begins after the end, which is at 2.000 s"
    for part in ("1,1", "1.5,1"):
        assert reason(tmp_path / f"a.wav#t={part}") == "the part ends where it begins or before that"
    for fragment in ("#t=1", "#t=,1", "#t=1,2,3", "#t=-1,2", "#t=0,1e0", "#T=0,1", "#t=0," + "9" * 400):
        assert reason(tmp_path / f"a.wav{fragment}") in ("No such file or directory", "File name too long")
    assert reason(f"{written(path, wav_bytes(b''))}#t=0,1") == "0 samples"
    with pytest.raises(AudioError, match=r"a\.wav: cannot be decoded"):
        read_audio(f"{written(path, b'no audio' * 99)}#t=0,1", RATE)


def test_flags_of_a_part_are_its_own(tmp_path):
    waveform = noise(4 * RATE)
    waveform[RATE : 2 * RATE] = 0
    path = save(tmp_path / "a.wav", waveform)
    parts = {part: read_audio(f"{path}#t={part}", RATE, max_duration_s=1.5) for part in ("0,1", "1,2", "0,2", "1,9")}
    assert [part.flags for part in parts.values()] == [(), ("silent",), ("cut",), ("cut",)]
    assert [part.source_duration_s for part in parts.values()] == [1.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_only_the_part_at_the_cut_is_truncated(tmp_path, name):
    path = cut(save(tmp_path / name, noise(4 * RATE)), 0.6)
    assert "truncated" in read_audio(path, RATE).flags
    assert read_audio(f"{path}#t=0,1", RATE).flags == ()
    last = read_audio(f"{path}#t=1,4", RATE)
    assert last.flags == ("truncated",)
    assert 0.5 < last.source_duration_s < 2.9


def test_a_file_of_such_a_name_is_a_file(tmp_path):
    save(tmp_path / "a.wav", tone(3.0))
    path = save(tmp_path / "a.wav#t=0,1", tone(2.0), format="WAV")
    assert read_audio(path, RATE).source_duration_s == 2.0
    assert split_part(path) == (path, None)
    assert split_part(tmp_path / "a.wav#t=0,2.5") == (tmp_path / "a.wav", (0.0, 2.5))
    assert split_part("a.wav") == (Path("a.wav"), None)


def test_length(tmp_path):
    assert measure_length(save(tmp_path / "a.wav", tone(1.5)))[:2] == (24_000, 16_000)
    assert measure_length(save(tmp_path / "b.OGG", tone(0.5, 8000), 8000, format="OGG"))[:2] == (4_000, 8_000)
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "none.wav", tmp_path / "pipe.wav", written(tmp_path / "c.wav", b"no audio" * 99)):
        with pytest.raises(AudioError, match=path.name):
            measure_length(path)


@pytest.mark.parametrize("format", ["WAV", "OGG", "FLAC", "MP3", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a.WAV", "none"])
def test_content_decides_the_format(tmp_path, format, name):
    recording = read_audio(save(tmp_path / name, tone(), format=format), RATE)
    assert recording.flags == ()
    assert recording.source_duration_s == 1.0


def test_header_that_claims_4_gb_costs_nothing(tmp_path):
    path = written(tmp_path / "a.wav", wav_bytes((noise(RATE) * 32767).astype("<i2").tobytes(), claim=2**32 - 100))
    tracemalloc.start()
    recording = read_audio(path, RATE)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "truncated" in recording.flags
    assert len(recording.waveform) == RATE
    assert peak_bytes < 20e6


def test_many_channels_are_mixed_block_by_block(tmp_path):
    n_channels, n_bytes = 64, 5 * RATE * 64 * 2
    path = written(tmp_path / "a.wav", wav_bytes(b"", claim=n_bytes, n_channels=n_channels))
    os.truncate(path, path.stat().st_size + n_bytes)  # a sparse file; 20 MB if decoded at once
    tracemalloc.start()
    recording = read_audio(path, RATE)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (recording.n_channels, recording.source_duration_s) == (n_channels, 5.0)
    assert peak_bytes < 6e6


def test_three_hours_are_not_read(tmp_path):
    path = written(tmp_path / "a.wav", wav_bytes(b"", claim=3 * 3600 * 48_000 * 2, rate_hz=48_000))
    os.truncate(path, path.stat().st_size + 3 * 3600 * 48_000 * 2)  # a sparse file
    code = (
        "import sys, fakevoice.audio.read as a; r = a.read_audio(sys.argv[1], 16000); "
        "print(r.source_duration_s, *r.flags)"
    )
    limit = 2**30

    def bounded():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, preexec_fn=bounded)
    assert done.stdout.split() == ["10800.0", "cut", "silent"], done.stderr


def test_fix_length():
    waveform = np.arange(1, 5, dtype=np.float32)
    assert fix_length(waveform, 3).tolist() == [1, 2, 3]
    assert fix_length(waveform, 6).tolist() == [1, 2, 3, 4, 0, 0]
    assert fix_length(waveform, 6, offset=1).tolist() == [0, 1, 2, 3, 4, 0]
    assert fix_length(waveform, 6, offset=4).tolist() == [0, 0, 0, 0, 1, 2]
    assert fix_length(waveform, 6, offset=9).tolist() == [0] * 6
    assert fix_length(waveform, 3).dtype == np.float32


def test_fix_length_leaves_its_argument_alone():
    waveform = np.ones(4, np.float32)
    fix_length(waveform, 4)[:] = 7
    assert waveform.tolist() == [1, 1, 1, 1]


def test_find_audio_is_sorted_and_takes_any_case(tmp_path):
    names = ["b.wav", "a.WAV", "하늘/목소리.Flac", "한 칸/c d.ogg", "x.mp3", "y.opus", "notes.txt", "wav"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)]
    assert found == sorted(names[:6])


def test_find_audio_walks_no_loop(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)]
    assert found == ["a/to_b/x.wav", "a/x.wav", "b/to_a/x.wav", "b/x.wav"]


def test_find_audio_without_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"none.*No such file"):
        find_audio(tmp_path / "none")


@pytest.mark.parametrize("name", ["목소리.wav", "한 칸.wav", "n" * 251 + ".wav", "가" * 83 + "ab.wav"])
def test_names(tmp_path, name):
    folder = tmp_path / "아주 긴 이름" / ("d" * 200) / ("e" * 200)
    folder.mkdir(parents=True)
    save(str(folder / name), tone())
    (path,) = find_audio(tmp_path)
    assert len(os.fsencode(path.name)) <= 255
    assert read_audio(path, RATE).flags == ()


def counting_opens(monkeypatch) -> list:
    """Files that are opened by libsndfile from now on."""
    opens = []

    class Counted(soundfile.SoundFile):
        def __init__(self, *arguments, **options):
            opens.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(soundfile, "SoundFile", Counted)
    return opens


@pytest.mark.parametrize(
    ("name", "atol"),
    [("a.wav", 0), ("a.flac", 0), ("a.ogg", 0), ("a.mp3", 1e-6)],  # of an MP3, seeking leaves a rounding error
)
@pytest.mark.parametrize("order", [1, -1])
def test_parts_are_decoded_once_and_as_if_alone(tmp_path, monkeypatch, name, atol, order):
    left, right = noise(8 * RATE), 2 * noise(8 * RATE, 1)
    right[3 * RATE : 5 * RATE] = -left[3 * RATE : 5 * RATE]  # cancels there
    path = save(tmp_path / name, np.stack([left, right], 1))
    parts_s = [*[(start / 10, start / 10 + 2) for start in range(0, 60, 7)][::order], None]
    alone = [read_audio(f"{path}#t={p[0]},{p[1]}" if p else path, 11_025).waveform for p in parts_s]
    opens = counting_opens(monkeypatch)
    found = list(read_parts(path, parts_s, 11_025, 30.0))
    assert len(opens) == 1
    for part, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(part.waveform, expected, rtol=0, atol=atol)


def test_each_frame_is_decoded_once(tmp_path, monkeypatch):
    path = save(tmp_path / "a.flac", noise(20 * RATE))
    n_read = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **how: n_read.append(n) or read(self, n, **how))
    parts_s = [(start / 10, start / 10 + 5) for start in range(150)]
    assert sum(1 for _ in read_parts(path, parts_s, RATE, 30.0)) == 150
    assert sum(n_read) == round(19.9 * RATE)


def test_parts_before_and_after_damage_are_read(tmp_path):
    path = save(tmp_path / "a.flac", noise(20 * RATE))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    written(path, bytes(content))
    parts_s = [(start, start + 2) for start in range(18)]

    def alone(part_s):
        try:
            return read_audio(f"{path}#t={part_s[0]},{part_s[1]}", RATE).waveform
        except AudioError as error:
            return error

    found = list(read_parts(path, parts_s, RATE, 30.0))
    for part, expected in zip(found, map(alone, parts_s), strict=True):
        if isinstance(expected, AudioError):
            assert part.reason == expected.reason
        else:
            np.testing.assert_array_equal(part.waveform, expected)
    n_bad = sum(isinstance(part, AudioError) for part in found)
    assert 0 < n_bad < 5 and not isinstance(found[-1], AudioError)


def test_parts_of_a_codec_that_cannot_seek(tmp_path):
    path = save(tmp_path / "a.wav", noise(3 * 8000), 8000, subtype="GSM610")
    parts_s = [(0.5, 1), (1, 2), (0, 1), (2, 2.5), (9, 10), (0.2, 0.3)]
    found = list(read_parts(path, parts_s, 8000, 30.0))
    assert isinstance(found[4], AudioError) and "after the end" in found.pop(4).reason
    parts_s.pop(4)
    for part, (start_s, end_s) in zip(found, parts_s, strict=True):
        np.testing.assert_array_equal(part.waveform, read_audio(f"{path}#t={start_s},{end_s}", 8000).waveform)


def test_memory_of_parts_does_not_grow_with_the_file(tmp_path):
    n_channels, n_bytes = 8, 600 * RATE * 8 * 2
    path = written(tmp_path / "a.wav", wav_bytes(b"", claim=n_bytes, n_channels=n_channels))
    os.truncate(path, path.stat().st_size + n_bytes)  # 307 MB if decoded at once
    tracemalloc.start()
    n_parts = sum(1 for _ in read_parts(path, [(s, s + 5) for s in range(0, 590, 2)], RATE, 30.0))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_parts == 295 and peak_bytes < 20e6
