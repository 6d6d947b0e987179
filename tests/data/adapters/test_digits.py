import pytest

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import digits


def write(folder, name, *lines):
    (folder / name).write_text("\n".join(lines) + "\n")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def folder(tmp_path):
    touch(tmp_path, "train/0000.wav", "train/0007.WAV", "train/1e5.wav", "test/0000.wav")
    write(tmp_path, "train.csv", "file_name,label", "0000.wav,3", "0007.WAV,0", "1e5.wav,9")
    return tmp_path


def test_clips(folder):
    clips = digits.read(folder)
    assert clips["id"].tolist() == ["0000", "0007", "1e5"]
    assert clips["path"].tolist() == ["train/0000.wav", "train/0007.WAV", "train/1e5.wav"]
    assert clips["label"].tolist() == ["3", "0", "9"]
    assert set(clips["split"]) == {"train"} and set(clips["group"]) == {""}
    assert digits.template(folder).columns.tolist() == ["id", *"0123456789"]


def test_clips_to_predict_keep_the_order_of_their_table(folder):
    touch(folder, "test/0001.wav")
    write(folder, "test.csv", "file_name", "0001.wav", "0000.wav")
    clips = digits.read(folder).query("split == 'test'")
    assert clips["path"].tolist() == ["test/0001.wav", "test/0000.wav"]
    assert digits.template(folder)["id"].tolist() == clips["id"].tolist() == ["0001", "0000"]


def test_speakers_are_groups(folder):
    write(folder, "train.csv", "speaker,file_name,label", "theo,0000.wav,3", ",0007.WAV,0", "02,1e5.wav,9")
    assert digits.read(folder)["group"].tolist() == ["theo", "", "02"]


def test_extension_in_any_case(folder):
    touch(folder, "train/b.WAV", "train/b.wav")
    write(folder, "train.csv", "file_name,label", "0000.WAV,3", "0007.wav,0", "b.wav,1", "b.WAV,1")
    clips = digits.read(folder)
    assert clips["path"].tolist() == ["train/0000.wav", "train/0007.WAV", "train/b.wav", "train/b.WAV"]
    assert clips["id"].tolist() == ["0000.WAV", "0007.wav", "b.wav", "b.WAV"]  # two of one stem


def test_a_file_that_is_not_there_is_left_to_the_audit(folder):
    write(folder, "train.csv", "file_name,label", "0000.wav,3", "gone.wav,0")
    assert digits.read(folder)["path"].tolist() == ["train/0000.wav", "train/gone.wav"]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["file_name,label", "0000.wav,3", "0007.WAV,10"], ["a label not in ['0', '1'", "line 3 ('10')"]),
        (["file_name,label", "0000.wav,3", "0000.wav,3"], ["twice", "line 2 ('0000.wav'), line 3 ('0000.wav')"]),
        (["file_name,digit", "0000.wav,3"], ["no column label", "expected file_name,label"]),
        (["file_name,label", "../0000.wav,3"], ["leads out of the folder", "line 2"]),
        (["file_name,label", ",3"], ["an empty file_name", "line 2"]),
    ],
    ids=["label", "twice", "column", "outside", "no name"],
)
def test_malformed_train(folder, lines, parts):
    write(folder, "train.csv", *lines)
    with pytest.raises(DataError) as caught:
        digits.read(folder)
    for part in ["train.csv", *parts]:
        assert part in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(DataError, match=r"train\.csv: No such file.*must hold"):
        digits.read(tmp_path)
