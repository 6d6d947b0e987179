"""What every dataset adapter promises, whatever it reads; and, for those that ship, on an example each."""

import inspect

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice import lookup
from fakevoice.errors import DataError

NAMES = lookup.names("datasets")
CLASSES = ["fake", "real"]
COLUMNS = ["id", "path", "split", "label", "group"]


def recording(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 1600), 16000)


def dacon_folder(folder) -> None:
    for seed, name in enumerate(("train/a", "train/b", "test/c", "unlabeled_data/d")):
        recording(folder / f"{name}.wav", seed)
    (folder / "train.csv").write_text("id,path,label\na,train/a.wav,real\nb,train/b.wav,fake\n")
    (folder / "test.csv").write_text("id,path\nc,test/c.wav\n")
    (folder / "sample_submission.csv").write_text("id,fake,real\nc,0.5,0.5\n")


def class_folders(folder) -> None:
    for seed, name in enumerate(("REAL/a", "FAKE/b", "test/c")):
        recording(folder / f"{name}.wav", seed)


EXAMPLES = {"dacon": dacon_folder, "demo": dacon_folder, "folders": class_folders}


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_expects(name):
    assert len(lookup.load("datasets", name).EXPECTS.split()) > 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("function", ["read", "template"])
def test_arguments_are_keywords_with_annotations_and_classes_among_them(name, function):
    folder, *options = inspect.signature(getattr(lookup.load("datasets", name), function)).parameters.values()
    assert folder.kind is folder.POSITIONAL_OR_KEYWORD
    assert {"classes"} <= {option.name for option in options}
    assert all(o.kind is o.KEYWORD_ONLY and o.annotation is not o.empty for o in options)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_refused_by_name(name, tmp_path):
    with pytest.raises(DataError, match=tmp_path.name):
        lookup.load("datasets", name).read(tmp_path, classes=CLASSES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_tables_are_text_and_fit_each_other(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter = lookup.load("datasets", name)
    clips, template = adapter.read(tmp_path, classes=CLASSES), adapter.template(tmp_path, classes=CLASSES)
    assert list(clips.columns) == COLUMNS
    assert all(pd.api.types.is_string_dtype(clips[column]) and clips[column].notna().all() for column in COLUMNS)
    assert set(clips["split"]) <= {"train", "test", "unlabeled"}
    assert set(clips.loc[clips["split"] == "train", "label"]) == set(CLASSES)
    assert (clips.loc[clips["split"] != "train", "label"] == "").all()
    assert all((tmp_path / path).is_file() for path in clips["path"])
    assert not clips.duplicated(["split", "id"]).any()
    assert template.columns.tolist() == ["id", *CLASSES]
    assert template["id"].tolist() == clips.loc[clips["split"] == "test", "id"].tolist()
