import pandas as pd
import pytest

from fakevoice.core.errors import DataError
from fakevoice.data.adapters import dacon

ODD_IDS = ["001", "NA", "null", "1e5", "nan", "하늘"]


def write(folder, name, *lines, encoding="utf-8"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "train.csv", "id,path,label", "a,./train/a.ogg,fake", "b,train/b.ogg,real", "c,train/c.ogg,real")
    write(tmp_path, "test.csv", "id,path", "t1,./test/t1.ogg", "t2,./test/t2.ogg")
    write(tmp_path, "sample_submission.csv", "id,fake,real", "t2,0.5,0.5", "t1,0.5,0.5")
    return tmp_path


def refused(folder, *parts):
    with pytest.raises(DataError) as caught:
        dacon.read(folder)
    for part in parts:
        assert part in str(caught.value)


def test_clips(folder):
    clips = dacon.read(folder)
    assert list(clips.columns) == ["id", "path", "split", "label", "group"]
    assert clips["path"].tolist() == ["train/a.ogg", "train/b.ogg", "train/c.ogg", "test/t1.ogg", "test/t2.ogg"]
    assert clips["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert clips["label"].tolist() == ["fake", "real", "real", "", ""]
    assert (clips["group"] == "").all()
    assert all(isinstance(value, str) for value in clips.to_numpy().ravel())


def test_template_keeps_the_order_of_the_submission(folder):
    assert dacon.template(folder).to_dict("list") == {"id": ["t2", "t1"], "fake": ["0.5"] * 2, "real": ["0.5"] * 2}


def test_template_holds_the_classes_in_the_order_of_the_submission(folder):
    write(folder, "sample_submission.csv", "id,1,remark,0", "t1,0.1,x,0.2", "t2,0.3,y,0.4")
    template = dacon.template(folder, classes=["0", "1"])
    assert template.to_dict("list") == {"id": ["t1", "t2"], "1": ["0.1", "0.3"], "0": ["0.2", "0.4"]}
    assert list(template) == ["id", "1", "0"]
    with pytest.raises(DataError, match=r"sample_submission\.csv: no column fake, real"):
        dacon.template(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_ids_stay_what_they_are(folder, encoding):
    write(folder, "test.csv", "id,path", *(f"{i},x/{i}.ogg" for i in ODD_IDS), encoding=encoding)
    write(folder, "sample_submission.csv", "id,fake,real", *(f"{i},0,0" for i in ODD_IDS), encoding=encoding)
    write(folder, "train.csv", "id,path,label", *(f"{i},y/{i}.ogg,real" for i in ODD_IDS), encoding=encoding)
    write(folder, "train_meta.csv", "id,group", *(f"{i},{i}" for i in ODD_IDS), encoding=encoding)
    clips = dacon.read(folder)
    assert clips["id"].tolist() == ODD_IDS * 2
    assert clips["group"].tolist() == ODD_IDS + [""] * 6
    assert dacon.template(folder)["id"].tolist() == ODD_IDS
    assert dacon.read_test(folder / "test.csv")["id"].tolist() == ODD_IDS


def test_groups_are_joined_by_id(folder):
    write(folder, "train_meta.csv", "group,id,source", "g1,c,x", "g2,a,x", ",b,x", "g9,elsewhere,x")
    assert dacon.read(folder)["group"].tolist() == ["g2", "", "g1", "", ""]


def test_groups_that_lack_a_clip(folder):
    write(folder, "train_meta.csv", "id,group", "a,g", "c,g")
    refused(folder, "train_meta.csv", "lacks 1 ids", ": b")


def test_groups_with_a_clip_twice(folder):
    write(folder, "train_meta.csv", "id,group", "a,g", "b,g", "c,g", "a,h")
    refused(folder, "train_meta.csv", "twice", "line 2 ('a'), line 5 ('a')")


def test_unlabeled_clips(folder):
    for name in ("u1.ogg", "deep/u1.WAV", "notes.txt"):
        (folder / "unlabeled_data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "unlabeled_data" / name).touch()
    rows = dacon.read(folder).query("split == 'unlabeled'")
    assert rows["id"].tolist() == ["unlabeled/deep/u1", "unlabeled/u1"]
    assert rows["path"].tolist() == ["unlabeled_data/deep/u1.WAV", "unlabeled_data/u1.ogg"]
    assert set(rows["label"]) == set(rows["group"]) == {""}


def test_unlabeled_clips_of_one_stem_stay_apart(folder):
    (folder / "unlabeled_data").mkdir()
    for name in ("u.ogg", "u.wav"):
        (folder / "unlabeled_data" / name).touch()
    ids = dacon.read(folder).query("split == 'unlabeled'")["id"].tolist()
    assert ids == ["unlabeled/u.ogg", "unlabeled/u.wav"]


def test_other_classes(folder):
    write(folder, "train.csv", "id,path,label", "a,a.ogg,0", "b,b.ogg,1")
    write(folder, "sample_submission.csv", "id,0,1", "t1,0,0", "t2,0,0")
    assert dacon.read(folder, classes=["0", "1"])["label"].tolist() == ["0", "1", "", ""]
    refused(folder, "train.csv", "line 2 ('0')", "['fake', 'real']")


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv"])
def test_missing_table(folder, name):
    (folder / name).unlink()
    refused(folder, name, "No such file", "must hold")


@pytest.mark.parametrize("label", ["Fake", "fake ", " real", "REAL", "", "bonafide"])
def test_label_that_is_not_a_class(folder, label):
    write(folder, "train.csv", "id,path,label", "a,a.ogg,fake", f"b,b.ogg,{label}", "c,c.ogg,real")
    refused(folder, "train.csv: 1 rows", f"line 3 ({label!r})", "['fake', 'real']", "correct")


@pytest.mark.parametrize("path", ["", "/etc/a.ogg", "../a.ogg", "train/../../a.ogg", ".", "a\0.ogg"])
def test_path_outside(folder, path):
    write(folder, "test.csv", "id,path", "t1,a.ogg", f"t2,{path}")
    refused(folder, "test.csv", f"line 3 ({path!r})", "path")


def test_only_the_first_ten_rows_are_listed(folder):
    write(folder, "train.csv", "id,path,label", *(f"{i},{i}.ogg,Fake" for i in range(25)))
    refused(folder, "25 rows", "line 2 (", "line 11 (", "and 15 more")
    with pytest.raises(DataError) as caught:
        dacon.read(folder)
    assert "line 12 " not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["id,path,label", "a,a,real", "b,b,real", "a,c,fake"], ["twice", "line 2 ('a'), line 4 ('a')"]),
        (["id,path,label", "a,a,real", " ,b,real"], ["empty id", "line 3"]),
        (["id,path,Label", "a,a,real"], ["no column label", "expected id,path,label"]),
        (["id,path,label,id", "a,a,real,a"], ["a column occurs twice"]),
        (["id,path,label"], ["no rows"]),
        ([""], ["no column id, path, label"]),
        (["id,path,label", "a,a,real", "b,b"], ["1 rows with more or fewer than 3 values", "line 3"]),
        (["id,path,label", "a,a,real", "b,b,real,,"], ["1 rows with more or fewer than 3 values", "line 3"]),
        (["id,path,label", "a,a,real", 'b,"b,real', "c,c,real"], ["line 4", "quotes"]),
        (["id,path,label", "", 'a,"x\ny",real', "", "b,b,Real"], ["line 6 ('Real')"]),
    ],
    ids=["twice", "no id", "column", "column twice", "no rows", "empty", "short", "long", "quote", "line numbers"],
)
def test_malformed_train(folder, lines, parts):
    write(folder, "train.csv", *lines)
    refused(folder, "train.csv", *parts)


@pytest.mark.parametrize("encoding", ["cp949", "utf-16"])
def test_wrong_encoding(folder, encoding):
    write(folder, "train.csv", "id,path,label", "하늘,하늘.ogg,real", encoding=encoding)
    refused(folder, "train.csv", "not UTF-8", "save it again")


def test_submission_that_does_not_match_the_test(folder):
    write(folder, "sample_submission.csv", "id,fake,real", "t1,0,0")
    refused(folder, "sample_submission.csv", "lacks 1 ids", "t2")
    write(folder, "sample_submission.csv", "id,fake,real", "t1,0,0", "t2,0,0", "t3,0,0")
    refused(folder, "sample_submission.csv", "line 4 ('t3')")
    write(folder, "sample_submission.csv", "id,fake", "t1,0", "t2,0")
    with pytest.raises(DataError, match="no column real"):
        dacon.template(folder)


def test_bare_test_table(tmp_path):
    write(tmp_path, "mine.csv", "path,id,remark", "./x/1.wav,1,a", "2.wav,2,b")
    expected = pd.DataFrame({"id": ["1", "2"], "path": ["x/1.wav", "2.wav"]}, dtype="str")
    pd.testing.assert_frame_equal(dacon.read_test(tmp_path / "mine.csv"), expected)
