"""Pools of voices, music and noise: labels, groups, ids of the test, and what is wrong with a folder."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import pools, pools_demo

OUTPUTS = ["FILE_FAKE_PROB", "VOICE_FAKE_PROB"]
FILES = [
    *("voice/real/ann/1.wav", "voice/real/ann/session2/2.wav", "voice/real/alone.wav"),
    *("voice/fake/gan/1.wav", "music/fake/gan/1.wav", "music/real/band/1.wav"),
    *("noise/street/1.wav", "noise/loose.wav", "test/T2.mp3", "test/T1.WAV"),
]


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(FILES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = np.random.default_rng(seed).normal(0, 0.1, 16000)
        soundfile.write(path, sound, 16000, format=path.suffix[1:].upper())
    return tmp_path


def sample(folder, *ids: str) -> None:
    pd.DataFrame({"id": ids}).assign(**dict.fromkeys(OUTPUTS, 0.5)).to_csv(
        folder / "sample_submission.csv", index=False
    )


def test_a_source_or_family_is_one_group_under_voice_and_music(folder):
    clips = pools.read(folder).set_index("path")
    assert clips.loc["voice/real/ann/session2/2.wav", ["label", "group"]].tolist() == ["voice_real", "real/ann"]
    assert clips.loc["voice/real/alone.wav", ["label", "group"]].tolist() == ["voice_real", ""]
    assert clips.loc["voice/fake/gan/1.wav", "group"] == clips.loc["music/fake/gan/1.wav", "group"] == "fake/gan"
    assert clips.loc["noise/street/1.wav", ["split", "label", "group"]].tolist() == ["noise", "", "noise/street"]
    assert clips.loc["noise/loose.wav", "group"] == "noise/loose.wav"


@pytest.mark.parametrize("ids", [["T1", "T2"], ["T2", "T1"], ["T2.mp3", "T1.WAV"]])
def test_the_sample_decides_ids_and_order(folder, ids):
    sample(folder, *ids)
    assert pools.template(folder, classes=OUTPUTS)["id"].tolist() == ids
    clips = pools.read(folder)
    test = clips[clips["split"] == "test"].set_index("id")["path"]
    assert {clip: path.removeprefix("test/")[:2] for clip, path in test.items()} == {clip: clip[:2] for clip in ids}


def test_without_a_sample_every_file_gets_an_even_guess(folder):
    template = pools.template(folder, classes=OUTPUTS)
    assert template["id"].tolist() == ["T1", "T2"] and (template[OUTPUTS] == "0.5").all(axis=None)


def test_a_sample_of_other_files_is_refused(folder):
    sample(folder, "T1", "T3")
    with pytest.raises(DataError, match=r"1 without a file \(T3\), 1 files without a row \(T2\)"):
        pools.read(folder)


def test_a_pool_without_audio_is_named(folder):
    (folder / "music/real/band/1.wav").unlink()
    with pytest.raises(DataError, match=r"music/real: holds no audio; the folder must hold"):
        pools.read(folder)


def test_other_classes_are_refused(folder):
    with pytest.raises(DataError, match="pools has the classes voice_real"):
        pools.read(folder, classes=["fake", "real"])


def test_the_demo_writes_the_same_bytes_again_and_other_speakers_for_the_test(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    settings = {"n_clips": 5, "n_test": 4, "longest_s": 5.0}
    for name in ("a", "b"):
        pools_demo.make(tmp_path / name, **settings)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 4 * 5 + 16 + 4 + 2
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    clips = pools_demo.read(tmp_path / "a")
    assert set(clips.loc[clips["label"] == "music_fake", "group"]) == {
        f"fake/{f}" for f in pools_demo.FAMILIES["music"]
    }
    truth = pools_demo.truth(tmp_path / "a").set_index("id")
    assert truth["label"].tolist() == ["none", "voice_real", "voice_fake", "music_real"]
    assert set(clips.loc[clips["split"] == "test", "id"]) == set(truth.index)
