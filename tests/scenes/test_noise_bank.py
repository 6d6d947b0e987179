"""Mined noise holds no voice, keeps its fold, and can be lengthened without a seam."""

import pickle

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.channel import rms
from fakevoice.scenes.noise_bank import COLUMNS, SEGMENT_S, NoiseBank, extend_noise, mine_noises, recorded_noises

RATE = 16_000


def voice(duration_s: float) -> np.ndarray:
    time_s = np.arange(round(duration_s * RATE)) / RATE
    return sum(np.sin(2 * np.pi * k * 130 * time_s + k) for k in range(1, 25)).astype(np.float32) / 50


def noise(duration_s: float, seed: int = 0) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal(round(duration_s * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise alone, a voice alone, noise then a voice, silence, a file that is no audio, and a train clip."""
    folder = tmp_path_factory.mktemp("raw")
    sounds = {
        "noise": noise(5.0, 1),
        "voice": voice(5.0) + noise(5.0) / 10,
        "both": np.concatenate([noise(2.0, 2), voice(3.0)]),
        "silence": np.zeros(5 * RATE, np.float32),
        "train": noise(5.0, 3),
    }
    for name, waveform in sounds.items():
        soundfile.write(folder / f"{name}.wav", waveform, RATE)
    (folder / "text.wav").write_text("no audio")
    names = [*sounds, "text"]
    splits = ["train" if name == "train" else "unlabeled" for name in names]
    return folder, pd.DataFrame({"id": names, "path": [f"{name}.wav" for name in names], "split": splits})


@pytest.fixture(scope="module")
def mined(raw):
    folder, clips = raw
    return mine_noises(clips[clips["split"] == "unlabeled"], folder, RATE, 2)


def test_only_voiceless_parts_of_unlabeled_clips(mined):
    table = mined.table
    assert set(table["clip"]) == {"noise", "both"}
    assert (table.loc[table["clip"] == "both", "start_s"] + SEGMENT_S <= 2.1).all()
    assert table["segment"].tolist() == list(range(len(table)))


def test_segments_have_unit_level(mined):
    segments = [mined[index] for index in mined.table["segment"]]
    assert {(len(segment), segment.dtype) for segment in segments} == {(round(SEGMENT_S * RATE), np.dtype("float32"))}
    np.testing.assert_allclose([rms(segment) for segment in segments], 1.0, atol=1e-3)


def test_segments_of_a_clip_share_a_fold(mined):
    table = mined.table
    assert (table.groupby("clip")["fold"].nunique() == 1).all()
    assert set(table["fold"]) <= {0, 1}
    assert (table["clip"] == "noise").sum() == 3


def test_segments_of_a_clip_do_not_overlap(mined):
    gaps = mined.table.groupby("clip")["start_s"].diff().dropna()
    assert (gaps >= SEGMENT_S).all()


def test_no_unlabeled_clips_no_bank(raw):
    folder, clips = raw
    bank = mine_noises(clips.iloc[:0], folder, RATE, 2)
    assert bank.table.empty and list(bank.table) == COLUMNS
    assert bank.samples.shape == (0,) and bank.samples.dtype == np.float16


SOUNDS = [np.full(n, value, np.float32) for n, value in ((5, 1.0), (1, 2.0), (30, 3.0))]


def bank_of_three() -> NoiseBank:
    return NoiseBank.join(
        [("mined", "001", 0.5, 1, SOUNDS[0]), ("mined", "NA", 0.0, 0, SOUNDS[1]), ("rain", "", 2.25, 1, SOUNDS[2])]
    )


def test_noise_files_of_a_source_share_a_fold(tmp_path):
    rng = np.random.default_rng(0)
    lengths_s = {"a/1": 20.0, "a/2": 3.0, "b/1": 9.0, "c/1": 0.3, "c/silent": 2.0}
    for name, seconds in lengths_s.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        level = 0.0 if "silent" in name else 0.05
        soundfile.write(tmp_path / f"{name}.wav", level * rng.standard_normal(round(seconds * RATE)), RATE)
    paths = [f"{name}.wav" for name in lengths_s]
    clips = pd.DataFrame({"id": paths, "path": paths, "group": [name[0] for name in lengths_s]})
    bank = recorded_noises(clips, tmp_path, RATE, 2)
    table = bank.table
    assert (table["kind"] == "recorded").all() and table.groupby(table["clip"].str[0])["fold"].nunique().eq(1).all()
    assert table.groupby("clip").size().to_dict() == {"a/1.wav": 3, "a/2.wav": 1, "b/1.wav": 2, "c/1.wav": 1}
    assert table["fold"].tolist() == [0, 0, 0, 0, 1, 1, 0]
    for segment in table["segment"]:
        assert np.sqrt(np.mean(bank[segment] ** 2)) == pytest.approx(1.0, abs=0.01)


def test_noises_of_any_length_are_read_by_number():
    bank = bank_of_three()
    assert all(np.array_equal(bank[index], sound) for index, sound in enumerate(SOUNDS))
    assert bank.table.to_numpy().tolist() == [
        [0, "mined", "001", 0.5, 5, 1],
        [1, "mined", "NA", 0.0, 1, 0],
        [2, "rain", "", 2.25, 30, 1],
    ]


@pytest.mark.parametrize("bank", [bank_of_three(), NoiseBank.join([])], ids=["three", "none"])
def test_a_bank_comes_back_as_it_was_kept(bank, tmp_path):
    again = bank.kept(tmp_path)
    pd.testing.assert_frame_equal(again.table, bank.table, check_dtype=len(bank.table) > 0)
    assert again.samples.dtype == np.float16 and again.samples.shape == bank.samples.shape
    assert all(np.array_equal(again[index], bank[index]) for index in range(len(bank.table)))
    assert all(again[index].dtype == np.float32 for index in range(len(bank.table)))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    NoiseBank(bank.table, bank.samples).kept(tmp_path)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_a_kept_bank_stays_on_disk(tmp_path):
    assert len(pickle.dumps(NoiseBank.join([("rain", "", 0.0, 0, np.ones(10**6))]).kept(tmp_path))) < 10_000


def test_two_banks_in_one():
    both = bank_of_three().extended_by(bank_of_three())
    assert both.table["segment"].tolist() == list(range(6))
    assert all(np.array_equal(both[index + 3], sound) for index, sound in enumerate(SOUNDS))


@pytest.mark.parametrize("n_samples", [100, 24_000, 80_000])
def test_extended_noise_is_as_long_and_as_loud_as_asked(n_samples):
    extended = extend_noise(20 * noise(1.5), n_samples, RATE, np.random.default_rng(0))
    assert extended.shape == (n_samples,) and extended.dtype == np.float32
    if n_samples > RATE:
        levels = [rms(part) for part in np.array_split(extended, n_samples // 1600)]
        assert min(levels) > 0.85 and max(levels) < 1.15  # no dip and no bump at the joints


def test_extended_noise_does_not_repeat_itself():
    extended = extend_noise(20 * noise(1.5), 80_000, RATE, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(extended, 160_000)) ** 2
    correlation = np.fft.irfft(spectrum)[RATE // 10 : 80_000] / np.sum(extended**2)
    assert np.abs(correlation).max() < 0.7
