"""Everything that a file holds is read, or a note says what is not: joined, unclosed and truncated files."""

import io
import struct

import numpy as np
import pytest
import soundfile

from fakevoice.audio import containers, decode
from fakevoice.audio.containers import Piece, find_pieces
from fakevoice.audio.read import measure_length, read_audio, read_parts
from fakevoice.core.errors import AudioError

RATE = 16_000
FORMATS = {
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "flac": {"format": "FLAC"},
    "mp3": {"format": "MP3"},
    "wav": {"format": "WAV"},
}


def tone(duration_s: float, hz: float, rate_hz: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(np.float32)


def noisy(duration_s: float, hz: float) -> np.ndarray:
    """A tone in noise, which no codec stores in a single page."""
    rng = np.random.default_rng(0)
    return (tone(duration_s, hz) + 0.05 * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def encoded(waveform: np.ndarray, rate_hz: int = RATE, **how) -> bytes:
    soundfile.write(file := io.BytesIO(), waveform, rate_hz, **how)
    return file.getvalue()


def loudest_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * RATE / len(waveform))


@pytest.mark.parametrize("format", FORMATS)
def test_joined_recordings_are_all_read(tmp_path, format):
    how = FORMATS[format]
    path = tmp_path / f"joined.{format}"
    path.write_bytes(encoded(tone(0.5, 400), **how) + encoded(tone(1, 800), **how) + encoded(tone(0.5, 1600), **how))
    length = measure_length(path)
    assert length.n_frames / length.rate_hz == pytest.approx(2, abs=0.1) and length.notes == ()
    recording = read_audio(path, RATE)
    assert recording.notes == recording.flags == ()
    for start_s, hz in ((0.1, 400), (0.7, 800), (1.6, 1600)):
        start = round(start_s * RATE)
        assert loudest_hz(recording.waveform[start : start + 3200]) == pytest.approx(hz, abs=10)


@pytest.mark.parametrize("format", FORMATS)
def test_parts_of_joined_recordings_are_those_of_the_whole(tmp_path, format):
    path = tmp_path / f"joined.{format}"
    path.write_bytes(b"".join(encoded(tone(1, hz), **FORMATS[format]) for hz in (400, 800)))
    whole = read_audio(path, RATE).waveform
    parts_s = [(0.2, 0.6), (0.5, 1.5), (1.2, 1.8), (0.0, 0.3)]
    for (start_s, end_s), found in zip(parts_s, read_parts(path, parts_s, RATE, 30.0), strict=True):
        expected = whole[round(start_s * RATE) : round(end_s * RATE)]
        np.testing.assert_allclose(found.waveform, expected, atol=1e-3)


def test_grouped_streams_of_one_ogg_are_no_joined_recordings():
    content = encoded(tone(1, 400), **FORMATS["ogg"])
    second_page = content.index(b"OggS", 4)
    grouped = content[:second_page] + content  # two first pages next to each other
    assert find_pieces(io.BytesIO(grouped), len(grouped)) == [Piece(0, len(grouped))]
    assert len(find_pieces(io.BytesIO(content * 2), 2 * len(content))) == 2


@pytest.mark.parametrize("format", ["ogg", "flac", "mp3", "wav"])
def test_a_joined_recording_of_another_rate_is_reported(tmp_path, format):
    how = FORMATS[format]
    path = tmp_path / f"joined.{format}"
    path.write_bytes(encoded(tone(3, 400), **how) + encoded(tone(1, 800, 8000), 8000, **how))
    (note,) = read_audio(path, RATE).notes
    assert note.startswith("only the first 3.0 s of the file were read") and "another sample rate" in note
    assert measure_length(path).notes == (note,)


def test_a_file_of_very_many_recordings_opens_no_more_files_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_PIECES", 3)
    monkeypatch.setattr(decode, "MAX_PIECES", 3)
    path = tmp_path / "joined.ogg"
    path.write_bytes(encoded(tone(0.5, 400), **FORMATS["ogg"]) * 5)
    length = measure_length(path)
    assert length.n_frames == 3 * RATE // 2 and length.notes == ("only the first 3 recordings in the file were read",)


def test_a_joined_recording_that_is_damaged_is_reported(tmp_path):
    path = tmp_path / "joined.flac"
    path.write_bytes(encoded(tone(3, 400), format="FLAC") + encoded(tone(1, 800), format="FLAC")[:60])
    (note,) = measure_length(path).notes
    assert note.startswith("only the first 3.0 s of the file were read: recording 2 of 2 in it cannot be decoded")


@pytest.mark.parametrize("format", ["ogg", "mp3"])
def test_a_first_recording_that_is_cut_off_does_not_hide_the_second(tmp_path, format):
    first, second = (encoded(noisy(4, hz), **FORMATS[format]) for hz in (400, 800))
    path = tmp_path / "joined.ogg"
    path.write_bytes(first[: len(first) * 2 // 3] + second)
    recording = read_audio(path, RATE)
    assert recording.notes == ("recording 1 of 2 in the file is cut off",)
    assert 5 < recording.source_duration_s < 7.9 and loudest_hz(recording.waveform[-RATE:]) == pytest.approx(800, abs=5)


@pytest.mark.parametrize("format", ["ogg", "opus", "mp3", "wav"])
def test_truncated_files_have_a_note(tmp_path, format):
    content = encoded(noisy(6, 400), **FORMATS[format])
    path = tmp_path / f"cut.{format}"
    path.write_bytes(content[: len(content) * 2 // 3])
    recording, length = read_audio(path, RATE), measure_length(path)
    assert "truncated" in recording.flags
    assert recording.notes == length.notes == ("the file ends before its stated length",)
    assert 2 < length.n_frames / length.rate_hz < 5
    (tmp_path / "whole").write_bytes(content)
    assert measure_length(tmp_path / "whole").notes == read_audio(tmp_path / "whole", RATE).notes == ()


def with_sizes(wav: bytes, riff: int, data: int) -> bytes:
    """A WAV whose header states other sizes."""
    content = bytearray(wav)
    content[4:8] = struct.pack("<I", riff)
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", data)
    return bytes(content)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
@pytest.mark.parametrize(("riff", "data"), [(0, 0), (36, 0), (36, 8000)])
def test_samples_behind_what_a_wav_header_claims_are_read(tmp_path, subtype, riff, data):
    stereo = np.stack([tone(2, 400), 0.5 * tone(2, 800)], axis=1)
    whole = encoded(stereo, format="WAV", subtype=subtype)
    (tmp_path / "whole.wav").write_bytes(whole)
    (tmp_path / "unclosed.wav").write_bytes(with_sizes(whole, riff, data))
    expected, found = (read_audio(tmp_path / name, RATE) for name in ("whole.wav", "unclosed.wav"))
    np.testing.assert_array_equal(found.waveform[: 2 * RATE], expected.waveform)
    assert len(found.waveform) - len(expected.waveform) < 100  # a chunk behind the samples
    (note,) = found.notes
    assert "all 2.0 s up to the end of the file were read" in note and expected.notes == ()
    part = read_audio(f"{tmp_path / 'unclosed.wav'}#t=1,1.5", RATE).waveform
    np.testing.assert_array_equal(part, expected.waveform[RATE : RATE * 3 // 2])


def test_a_wav_beyond_4_gb_is_read_to_its_end(tmp_path):
    """Sizes in a WAV have 32 bits: the header of a longer one states the rest of a division by 4 GB."""
    rate_hz, n_channels = 768_000, 255
    n_frames = 2**32 // (2 * n_channels) + rate_hz
    n_bytes = 2 * n_channels * n_frames
    path = tmp_path / "long.wav"
    header = struct.pack("<HHIIHH", 1, n_channels, rate_hz, 2 * n_channels * rate_hz, 2 * n_channels, 16)
    size = struct.pack("<I", n_bytes % 2**32)
    path.write_bytes(b"RIFF" + size + b"WAVEfmt \x10\0\0\0" + header + b"data" + size)
    with path.open("r+b") as file:
        file.truncate(44 + n_bytes)  # a sparse file
    length = measure_length(path)
    assert length.n_frames == n_frames and len(length.notes) == 1


def test_a_wav_without_samples_has_none(tmp_path):
    (tmp_path / "none.wav").write_bytes(encoded(np.zeros(0), format="WAV") + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(AudioError, match="0 samples"):
        read_audio(tmp_path / "none.wav", RATE)


@pytest.mark.parametrize("size", [0, 100])
def test_samples_behind_what_an_au_header_claims_are_read(tmp_path, size):
    content = bytearray(encoded(tone(1, 400), format="AU"))
    content[8:12] = struct.pack(">I", size)
    (tmp_path / "a.au").write_bytes(content)
    recording = read_audio(tmp_path / "a.au", RATE)
    assert recording.source_duration_s == 1.0 and "all 1.0 s" in recording.notes[0]


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_an_mp3_without_a_header_is_read_to_its_end(tmp_path, rate_hz, mode):
    """Alone, where its length would be guessed from its size, and behind one whose header ends before it."""
    first, second = (np.concatenate([noisy(3, hz), tone(3, 200)]) for hz in (400, 800))
    first, second = (encoded(sound, rate_hz, format="MP3", bitrate_mode=mode) for sound in (first, second))
    place = max(second.find(b"Info"), second.find(b"Xing"))
    bare = second[second.index(second[:2], place) :]  # from the first frame that is sound
    for name, content, n_recordings in (("bare.mp3", bare, 1), ("joined.mp3", first + bare, 2)):
        (tmp_path / name).write_bytes(content)
        recording, length = read_audio(tmp_path / name, rate_hz), measure_length(tmp_path / name)
        expected_s = 6 * n_recordings * RATE / rate_hz
        assert recording.source_duration_s == pytest.approx(expected_s, abs=0.2) and recording.notes == ()
        assert length.n_frames / rate_hz == pytest.approx(expected_s, abs=0.2) and length.notes == ()


def test_markers_within_metadata_or_samples_split_nothing(tmp_path):
    wav = encoded(tone(1, 400), format="WAV")
    junk = b"RIFF\0\0\0\0WAVEfLaC\0\0\0\x22OggS\0\2"
    content = wav[:44] + junk + wav[44 + len(junk) :]
    (tmp_path / "a.wav").write_bytes(content)
    assert read_audio(tmp_path / "a.wav", RATE).notes == ()
    mp3 = encoded(tone(1, 400), format="MP3")
    tag = b"TXXX" + struct.pack(">I", 16) + b"\0\0\0" + b"Xing Info Xing  "
    (tmp_path / "a.mp3").write_bytes(b"ID3\3\0\0" + bytes([0, 0, 0, len(tag)]) + tag + mp3)
    recording = read_audio(tmp_path / "a.mp3", RATE)
    assert recording.notes == () and recording.source_duration_s == pytest.approx(1, abs=0.01)
