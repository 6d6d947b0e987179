"""Clips are decoded once, come back as they were, and a damaged block is decoded again."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.preprocess import read_waveform
from fakevoice.core.config import Config, load_config
from fakevoice.data import clip_cache
from fakevoice.data.clip_cache import ClipFiles, ClipSamples, open_clips

RATE, N_CLIPS = 16_000, 7
MIXED = load_config("demo")
ALONE = Config.model_validate(MIXED.model_dump(mode="json") | {"scenes": {}})


@pytest.fixture
def raw(tmp_path, monkeypatch) -> Path:
    """Clips of all lengths and levels; the last one is silent. A block holds three of them."""
    monkeypatch.setattr(clip_cache, "CLIPS_PER_BLOCK", 3)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    folder, rng = tmp_path / "raw", np.random.default_rng(0)
    folder.mkdir()
    for index in range(N_CLIPS):
        level = 0.0 if index == N_CLIPS - 1 else 10.0 ** -(index % 4)
        waveform = level * rng.uniform(-1, 1, 1000 * index + 1)
        soundfile.write(folder / f"{index}.wav", waveform, RATE, subtype="FLOAT")
    clip_cache._opened.cache_clear()
    return folder


def tables(n_clips: int = N_CLIPS, content: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [str(index) for index in range(n_clips)]
    clips = pd.DataFrame({"id": [*names, "t"], "path": [*(f"{name}.wav" for name in names), "t.wav"]})
    clips["split"] = ["train"] * n_clips + ["test"]
    return clips, clips.assign(sha256=[*(f"{content}{name}" for name in names), "t"])[["id", "split", "sha256"]]


def opened(raw: Path, config: Config = MIXED, **changes) -> ClipFiles | ClipSamples:
    return open_clips(*tables(**changes), raw.parent / "cache", raw, config)


def blocks(raw: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted((raw.parent / "cache").rglob("*.npy"))
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_what_is_read_is_what_was_decoded(raw):
    sounds = opened(raw)
    assert isinstance(sounds, ClipSamples)
    for name in map(str, range(N_CLIPS)):
        expected, found = read_waveform(raw / f"{name}.wav", MIXED), sounds.read(name)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert np.abs(found - expected).max() <= 0.5 / clip_cache.FULL_SCALE * (np.abs(expected).max() or 1) * 1.01


def test_nothing_is_decoded_twice(raw, monkeypatch):
    opened(raw)
    before = blocks(raw)
    assert len(before) == 6  # three blocks, each with its index
    monkeypatch.setattr(clip_cache, "read_waveform", lambda *args: 1 / 0)
    assert np.array_equal(opened(raw).read("3"), opened(raw).read("3"))
    assert blocks(raw) == before


@pytest.mark.parametrize("part", ["00001.npy", "00001-index.npy"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_block_is_decoded_again_and_no_other(raw, part, damage):
    opened(raw)
    before = blocks(raw)
    (bad,) = (raw.parent / "cache").rglob(part)
    content = bytearray(bad.read_bytes())
    content[-1] ^= 1
    bad.unlink()
    if damage != "gone":
        bad.write_bytes(content if damage == "flip" else content[:-4])
    clip_cache._opened.cache_clear()
    opened(raw)
    after = blocks(raw)
    assert {file: content for file, (content, _) in after.items()} == {f: c for f, (c, _) in before.items()}
    assert all(after[file] == before[file] for file in before if "00001" not in file)


def test_an_interrupted_decoding_goes_on(raw, monkeypatch):
    whole, calls = clip_cache.read_waveform, []

    def interrupted(path, config):
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(path, config)

    monkeypatch.setattr(clip_cache, "read_waveform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(raw)
    opened(raw)
    assert len(calls) == 5 + N_CLIPS - 3  # the first block was whole


def test_a_run_that_stops_before_the_manifest_leaves_one_to_the_next(raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(clip_cache, "_write_manifest", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opened(raw)
    opened(raw)
    assert len(list((raw.parent / "cache").rglob("manifest.json"))) == 1


@pytest.mark.parametrize(
    "changes",
    [{"content": "other"}, {"n_clips": N_CLIPS - 1}, {"config": load_config("demo", ["sample_rate_hz=8000"])}],
)
def test_other_content_other_clips_another_rate_are_decoded_anew(raw, changes):
    folder = opened(raw).folder
    assert opened(raw).folder == folder and opened(raw, **changes).folder != folder


def test_where_a_scene_is_a_clip_files_are_read(raw):
    sounds = opened(raw, ALONE)
    assert isinstance(sounds, ClipFiles) and not (raw.parent / "cache").exists()
    assert np.array_equal(sounds.read("2"), read_waveform(raw / "2.wav", ALONE))


@pytest.mark.parametrize("config", [MIXED, ALONE], ids=["mixed", "alone"])
def test_a_part_of_the_clips_is_small_and_reads_the_same(raw, config):
    sounds = opened(raw, config)
    few = pickle.loads(pickle.dumps(sounds.of(["5", "1"])))
    assert np.array_equal(few.read("5"), sounds.read("5"))
    with pytest.raises(KeyError):
        few.read("2")
