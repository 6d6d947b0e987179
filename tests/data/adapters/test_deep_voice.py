import numpy as np
import pytest
import soundfile

from fakevoice.audio.read import read_audio
from fakevoice.core.errors import ConfigError, DataError
from fakevoice.data.adapters import deep_voice

RATE = 8000


def write_csv(folder, labels, column="label", cells=None):
    rows = [[f"{line}.{place}" for place in range(26)] + [label] for line, label in enumerate(labels, start=2)]
    for line, place, text in cells or []:
        rows[line - 2][place] = text
    header = [*deep_voice.STATISTICS, column]
    (folder / "DATASET-balanced.csv").write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")


def record(path, duration_s):
    path.parent.mkdir(parents=True, exist_ok=True)
    n_samples = round(duration_s * RATE)
    soundfile.write(path, np.arange(n_samples) / 2 / max(n_samples, 1), RATE)


@pytest.fixture
def folder(tmp_path):
    record(tmp_path / "REAL/obama.wav", 3.4)
    record(tmp_path / "Fake/obama-to-biden.wav", 1.5)
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "column"), [(["0", "1", "1"], "label"), (["REAL", "FAKE", "FAKE"], "LABEL"), (["0", "1", "1"], "LABEL")]
)
def test_rows_of_the_table(tmp_path, labels, column):
    write_csv(tmp_path, labels, column)
    clips = deep_voice.read(tmp_path)
    assert clips["id"].tolist() == ["row00000", "row00001", "row00002"]
    assert clips["label"].tolist() == ["real", "fake", "fake"]
    assert set(clips["path"]) == {"DATASET-balanced.csv"} and set(clips["split"]) == {"train"}
    assert set(clips["group"]) == {""}
    given = deep_voice.given(tmp_path)
    assert given.columns.tolist() == ["id", *deep_voice.STATISTICS] and len(deep_voice.STATISTICS) == 26
    assert given["id"].tolist() == clips["id"].tolist()
    assert given["chroma_stft"].tolist() == [2.0, 3.0, 4.0] and given["mfcc20"].tolist() == [2.25, 3.25, 4.25]


@pytest.mark.parametrize("text", ["", "much", "nan", "inf"])
def test_no_number(tmp_path, text):
    write_csv(tmp_path, ["0", "1", "1"], cells=[(3, 5, text)])
    with pytest.raises(DataError, match=rf"DATASET-balanced\.csv: 1 rows with no number in zero.*line 3 \('{text}'\)"):
        deep_voice.given(tmp_path)


def test_no_label(tmp_path):
    write_csv(tmp_path, ["0", "2", "1"])
    with pytest.raises(DataError, match=r"line 3 \('2'\)"):
        deep_voice.read(tmp_path)
    write_csv(tmp_path, ["0", "1"], column="y")
    with pytest.raises(DataError, match="expected one column label or LABEL"):
        deep_voice.read(tmp_path)


def test_windows_of_recordings(folder):
    clips = deep_voice.read(folder)
    real, fake = clips[clips["label"] == "real"], clips[clips["label"] == "fake"]
    assert real["path"].tolist() == [f"REAL/obama.wav#t={part}" for part in ("0,1", "1,2", "2,3")]  # 0.4 s left out
    assert fake["path"].tolist() == [f"Fake/obama-to-biden.wav#t={part}" for part in ("0,1", "1,2")]  # 0.5 s kept
    assert set(real["group"]) == {"REAL/obama.wav"} and set(fake["group"]) == {"biden+obama"}
    assert clips["id"].is_unique and not clips["id"].str.contains(",").any()
    assert deep_voice.given(folder) is None
    durations_s = [read_audio(folder / path, RATE).source_duration_s for path in clips["path"]]
    assert durations_s == [1.0, 0.5, 1.0, 1.0, 1.0]


def test_conversions_between_two_speakers_share_a_group(folder):
    for name in ("Biden-to-Obama.wav", "linus-to-obama.wav"):
        record(folder / "Fake" / name, 1.0)
    clips = deep_voice.read(folder)
    groups = clips.groupby(clips["path"].str.partition("#")[0])["group"].first().to_dict()
    assert groups == {
        "Fake/Biden-to-Obama.wav": "biden+obama",
        "Fake/linus-to-obama.wav": "linus+obama",
        "Fake/obama-to-biden.wav": "biden+obama",
        "REAL/obama.wav": "REAL/obama.wav",
    }


def test_other_windows(folder):
    paths = deep_voice.read(folder, window_s=0.7).query("label == 'fake'")["path"]
    assert [path.partition("#")[2] for path in paths] == ["t=0,0.7", "t=0.7,1.4"]
    with pytest.raises(ConfigError, match="window_s 0 must be above 0"):
        deep_voice.read(folder, window_s=0)
    with pytest.raises(DataError, match=r"no recording of fake, real lasts half a window of 9\.0 s"):
        deep_voice.read(folder, window_s=9.0)


@pytest.mark.parametrize("content", [b"no audio", b""])
def test_a_recording_that_cannot_be_read_is_one_clip_for_the_audit(folder, content):
    (folder / "REAL/broken.wav").write_bytes(content)
    record(folder / "REAL/empty.wav", 0.0)
    paths = deep_voice.read(folder)["path"].tolist()
    assert "REAL/broken.wav" in paths and "REAL/empty.wav" in paths


def test_source(folder):
    write_csv(folder, ["0", "1"])
    assert len(deep_voice.read(folder)) == len(deep_voice.read(folder, source="folders")) == 5
    assert len(deep_voice.read(folder, source="csv")) == 2
    assert deep_voice.given(folder) is None and len(deep_voice.given(folder, source="csv")) == 2
    assert deep_voice.given(folder, source="folders") is None


def test_half_of_the_folders_is_no_table(folder):
    write_csv(folder, ["0", "1"])
    (folder / "REAL/obama.wav").unlink()
    (folder / "REAL").rmdir()
    with pytest.raises(DataError, match="one folder REAL/, found none"):
        deep_voice.read(folder)


def test_nothing_to_predict(folder):
    template = deep_voice.template(folder, classes=["fake"])
    assert template.columns.tolist() == ["id", "fake"] and template.empty
