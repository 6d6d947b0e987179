import os

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile

from fakevoice.core.errors import DataError
from fakevoice.data import audit
from fakevoice.data.audit import audit_clips, audit_given, check_audit, check_duplicates, find_missing, summarise

RATE = 16_000


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Serial by default, for speed; one test below uses processes."""
    monkeypatch.setattr(audit, "run_parallel", lambda function, items, *_: map(function, items))


def voice(seed, duration_s=1.0, rate_hz=RATE):
    """Noise in syllables: loud, with pauses between."""
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * rate_hz)
    loudness = np.clip(np.sin(2 * np.pi * 3 * np.arange(n_samples) / rate_hz + rng.uniform(0, 6)), 0.01, 1)
    coloured = scipy.signal.lfilter([1.0], [1.0, -rng.uniform(0.5, 0.95)], rng.standard_normal(n_samples))
    return (0.05 * loudness * coloured).astype(np.float32)


def dataset(folder, waveforms, *, labels=None, splits=None, rate_hz=RATE):
    for index, waveform in enumerate(waveforms):
        soundfile.write(folder / f"{index}.wav", waveform, rate_hz, subtype="FLOAT")
    n = len(waveforms)
    columns = {"id": [f"{i:03d}" for i in range(n)], "path": [f"{i}.wav" for i in range(n)]}
    return pd.DataFrame(columns | {"split": splits or ["train"] * n, "label": labels or ["real"] * n})


def one(folder, waveform, rate_hz=RATE):
    table, prints = audit_clips(dataset(folder, [waveform], rate_hz=rate_hz), folder, RATE)
    return table.iloc[0], prints[0]


def test_one_row_per_clip_in_order(tmp_path):
    clips = dataset(tmp_path, [voice(seed, 0.5 + 0.1 * seed) for seed in range(5)]).iloc[::-1]
    table, prints = audit_clips(clips, tmp_path, RATE)
    assert table["id"].tolist() == ["004", "003", "002", "001", "000"]
    assert table["duration_s"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert list(table.columns[:3]) == ["id", "split", "path"]
    assert prints.shape == (5, 80)
    assert prints.dtype == np.float32
    assert (table["error"] == "").all()
    assert table["sha256"].is_unique


def test_chunks_and_processes_change_nothing(tmp_path, monkeypatch):
    clips = dataset(tmp_path, [voice(seed, 0.3) for seed in range(7)])
    (tmp_path / "3.wav").write_bytes(b"")
    table, prints = audit_clips(clips, tmp_path, RATE)
    monkeypatch.undo()
    monkeypatch.setattr(audit, "CHUNK_CLIPS", 2)
    chunked, chunked_prints = audit_clips(clips, tmp_path, RATE)
    pd.testing.assert_frame_equal(table, chunked)
    np.testing.assert_allclose(prints, chunked_prints, atol=1e-4)
    assert table["error"].tolist() == ["", "", "", "0 bytes", "", "", ""]
    assert not prints[3].any()


def test_no_clips(tmp_path):
    table, prints = audit_clips(dataset(tmp_path, []), tmp_path, RATE)
    assert len(table) == 0
    assert prints.shape == (0, 80)
    assert len(check_audit(table, "strict")) == 0


def test_measures_of_a_tone_between_silences(tmp_path):
    t = np.arange(RATE) / RATE
    waveform = np.where((t >= 0.25) & (t < 0.75), 0.5 * np.sin(2 * np.pi * 1000 * t), 0.0)
    row, _ = one(tmp_path, waveform)
    assert row["duration_s"] == 1.0
    assert row["peak"] == pytest.approx(0.5, abs=1e-4)
    assert row["level_dbfs"] == pytest.approx(10 * np.log10(0.5**2 / 2 * 0.5), abs=0.01)
    assert row["silence_fraction"] == pytest.approx(0.48, abs=0.021)  # 25 frames; those at the edges are half full
    assert row["leading_silence_s"] == pytest.approx(0.24, abs=1e-6)
    assert row["noise_floor_db"] == pytest.approx(-100.0, abs=1e-3)


def test_facts_are_of_the_file(tmp_path):
    row, _ = one(tmp_path, np.stack([np.clip(5 * voice(0, 0.05, 8000), -1, 1)] * 2, axis=1), rate_hz=8000)
    assert (row["source_rate_hz"], row["n_channels"], row["duration_s"]) == (8000, 2, 0.05)
    assert row["flags"] == "short"


@pytest.mark.parametrize("edge_hz", [2000, 3400, 5000])
def test_bandwidth_finds_a_low_pass(tmp_path, edge_hz):
    lowpass = scipy.signal.ellip(10, 0.1, 90, edge_hz, fs=RATE, output="sos")
    row, _ = one(tmp_path, scipy.signal.sosfilt(lowpass, voice(1, 2.0)))
    assert row["bandwidth_hz"] == pytest.approx(edge_hz, rel=0.12)


def test_bandwidth_of_the_full_band(tmp_path):
    assert one(tmp_path, voice(1))[0]["bandwidth_hz"] > 7900


@pytest.mark.parametrize(
    "waveform", [np.zeros(RATE), np.full(RATE, 0.3), np.full(1, 0.3), voice(0)[:100]], ids=["silent", "dc", "1", "100"]
)
def test_degenerate_clips_have_finite_measures(tmp_path, waveform):
    row, fingerprint = one(tmp_path, waveform)
    assert np.isfinite(row.drop(["id", "split", "path", "sha256", "flags", "note", "error"]).astype(float)).all()
    assert np.isfinite(fingerprint).all()
    assert row["flags"] != ""


def test_fingerprint_is_blind_to_gain_and_sees_content(tmp_path):
    paused = np.concatenate([voice(0), np.zeros(RATE, np.float32), voice(0)])
    _, prints = audit_clips(dataset(tmp_path, [paused, 0.1 * paused, voice(1)]), tmp_path, RATE)
    same, other = np.abs(prints[0] - prints[1]).max(), np.abs(prints[0] - prints[2]).max()
    assert same < 0.01
    assert other > 1.0
    assert prints[:, :40].mean(axis=1) == pytest.approx(0.0, abs=1e-3)


def broken(folder, n_missing=1):
    clips = dataset(folder, [voice(seed, 0.2) for seed in range(n_missing + 3)])
    for index in range(n_missing):
        (folder / f"{index}.wav").unlink()
    (folder / f"{n_missing}.wav").write_text("no audio")
    return clips


def test_find_missing_opens_nothing(tmp_path, monkeypatch):
    clips = broken(tmp_path, n_missing=2)
    os.mkdir(tmp_path / "0.wav")  # in its place, so that it is not missing

    def refuse(*_):
        raise AssertionError("a file was decoded")

    monkeypatch.setattr(audit, "read_audio", refuse)
    missing = find_missing(clips, tmp_path)
    assert missing.to_dict("records") == [{"id": "001", "split": "train", "path": "1.wav", "error": "no such file"}]
    with pytest.raises(DataError, match=r"1 of the audio files.*\n.*1\.wav \(train 001\): no such file"):
        check_audit(missing, "strict")


def test_a_part_of_a_file_is_there_if_the_file_is(tmp_path):
    clips = dataset(tmp_path, [voice(0, 0.5), voice(1, 0.5)]).assign(path=["0.wav#t=0,0.2", "none.wav#t=0,0.2"])
    assert find_missing(clips, tmp_path)["path"].tolist() == ["none.wav#t=0,0.2"]
    assert audit_clips(clips[:1], tmp_path, RATE)[0]["duration_s"].item() == 0.2


def test_a_path_too_long_to_exist_is_missing(tmp_path):
    clips = dataset(tmp_path, [voice(0, 0.2)]).assign(path="n" * 300 + ".wav")
    assert len(find_missing(clips, tmp_path)) == 1
    assert "too long" in audit_clips(clips, tmp_path, RATE)[0]["error"].item()


def test_mark_keeps_every_row_and_names_the_reason(tmp_path):
    table, prints = audit_clips(broken(tmp_path), tmp_path, RATE)
    assert len(table) == 4
    errors = check_audit(table, "mark")
    assert list(errors.columns) == ["id", "split", "path", "reason"]
    assert errors["id"].tolist() == ["000", "001"]
    assert errors["reason"].str.len().min() > 5
    assert not prints[:2].any()
    assert prints[2:].any(axis=1).all()


def test_strict_stops_with_the_count_and_the_first_ten(tmp_path):
    table, _ = audit_clips(broken(tmp_path, n_missing=12), tmp_path, RATE)
    with pytest.raises(DataError) as caught:
        check_audit(table, "strict")
    message = str(caught.value)
    assert message.startswith("13 of the audio files")
    assert "9.wav (train 009)" in message
    assert "10.wav" not in message
    assert "and 3 more" in message
    assert "on_error=mark" in message


def audited(folder, seeds, **columns):
    clips = dataset(folder, [voice(seed, 0.2) for seed in seeds], **columns)
    return clips, audit_clips(clips, folder, RATE)[0]


def test_same_audio_under_two_labels_is_refused(tmp_path):
    clips, table = audited(tmp_path, [0, 1, 0], labels=["real", "real", "fake"])
    with pytest.raises(DataError, match=r"1 training clips.*\n  000 \(real\) = 002 \(fake\)"):
        check_duplicates(clips, table)


def test_same_audio_under_one_label_is_listed(tmp_path):
    clips, table = audited(tmp_path, [0, 1, 0, 0, 2, 1, 2], splits=["train"] * 4 + ["test"] * 3)
    pairs = check_duplicates(clips, table.sample(frac=1, random_state=0))  # joined by id, not by position
    assert [tuple(row) for row in pairs.to_numpy()] == [
        ("000", "train", "002"),
        ("000", "train", "003"),
        ("001", "test", "005"),
    ]


def test_one_id_in_two_splits_is_two_clips(tmp_path):
    clips, table = audited(tmp_path, [0, 0], splits=["train", "test"], labels=["real", ""])
    clips["id"] = table["id"] = "same"
    assert check_duplicates(clips, table).to_numpy().tolist() == [["same", "test", "same"]]


def test_unreadable_clips_are_no_duplicates_of_each_other(tmp_path):
    clips, table = audited(tmp_path, [0, 1, 2], labels=["real", "fake", "real"])
    table.loc[:1, "sha256"] = ""
    assert len(check_duplicates(clips, table)) == 0


def test_given_statistics_are_known_by_their_values():
    clips = pd.DataFrame({"id": ["a", "b", "c"], "split": "train", "path": "t.csv", "label": ["x", "y", "x"]})
    given = pd.DataFrame({"id": ["c", "b", "a"], "rms": [1.0, 2.0, 1.0], "mfcc1": [0.5, 0.5, 0.5]})
    audit, fingerprints = audit_given(clips, given)
    assert audit["id"].tolist() == ["a", "b", "c"] and (audit["error"] == "").all() and not fingerprints.any()
    assert audit["sha256"].iloc[0] == audit["sha256"].iloc[2] != audit["sha256"].iloc[1]
    assert check_duplicates(clips, audit)[["train_id", "id"]].to_numpy().tolist() == [["a", "c"]]


def test_a_clip_without_statistics_is_named():
    clips = pd.DataFrame({"id": ["a", "b"], "split": "train", "path": "t.csv"})
    with pytest.raises(DataError, match="1 clips have no statistics: b"):
        audit_given(clips, pd.DataFrame({"id": ["a"], "rms": [1.0]}))


def test_the_summary_counts_what_was_not_read(tmp_path):
    clips = dataset(tmp_path, [voice(seed) for seed in range(4)])
    whole = (tmp_path / "0.wav").read_bytes()
    (tmp_path / "0.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "1.wav").write_text("no audio")
    (tmp_path / "2.wav").write_bytes(b"")
    table, _ = audit_clips(clips, tmp_path, RATE)
    assert table["note"].tolist() == ["the file ends before its stated length", "", "", ""]
    lines = summarise(clips, table).splitlines()
    assert lines[-2:] == [
        "skipped 2 files: 1 contain no audio, 1 are empty",
        "1 files with a note: 1 × the file ends before its stated length",
    ]
