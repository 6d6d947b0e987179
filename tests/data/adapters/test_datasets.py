"""What every dataset adapter promises, whatever it reads; and, for those that ship, on an example each."""

import inspect
import itertools

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.files import split_part
from fakevoice.core import plugins
from fakevoice.core.errors import DataError

NAMES = plugins.names("datasets")
FUNCTIONS = ["read", "template", "truth", "given"]
CLASSES = {name: getattr(plugins.load("datasets", name), "CLASSES", ["fake", "real"]) for name in NAMES}
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


def digit_folder(folder) -> None:
    for seed in range(10):
        recording(folder / f"train/{seed:04d}.WAV", seed)
    recording(folder / "test/0000.wav", 10)
    (folder / "train.csv").write_text("file_name,label\n" + "".join(f"{i:04d}.WAV,{i}\n" for i in range(10)))
    (folder / "test.csv").write_text("file_name\n0000.wav\n")


def emotion_folder(folder) -> None:
    for seed, number in enumerate(range(1, 351, 50)):
        recording(folder / f"actor001_{number:03d}.wav", seed)
    recording(folder / "test/anybody.wav", 7)


def asvspoof_folder(folder) -> None:
    for subset, ending in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        lines = []
        for seed, key in enumerate(("bonafide", "spoof")):
            clip = f"LA_{subset[0].upper()}_{seed}"
            recording(folder / f"LA/ASVspoof2019_LA_{subset}/flac/{clip}.flac", seed)
            lines.append(f"LA_0001 {clip} - {'A01' if seed else '-'} {key}")
        protocol = folder / f"LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{subset}.{ending}.txt"
        protocol.parent.mkdir(parents=True, exist_ok=True)
        protocol.write_text("\n".join(lines) + "\n")


def deep_voice_folder(folder) -> None:
    names = plugins.load("datasets", "deep_voice").STATISTICS
    rows = [",".join([*["0.5"] * 26, label]) for label in "0110"]
    (folder / "DATASET-balanced.csv").write_text("\n".join([",".join([*names, "label"]), *rows]) + "\n")


def pool_folders(folder) -> None:
    pools = ["voice/real/ann", "voice/fake/gan", "music/real/band", "music/fake/gan", "noise/street", "test"]
    for seed, name in enumerate(pools):
        recording(folder / name / f"{seed}.wav", seed)
    (folder / "truth.csv").write_text("id,label,channel\n5,voice_real,telephone\n")


EXAMPLES = {
    "asvspoof2019_la": asvspoof_folder,
    "dacon": dacon_folder,
    "deep_voice": deep_voice_folder,
    "demo": dacon_folder,
    "digits": digit_folder,
    "emotion": emotion_folder,
    "folders": class_folders,
    "length_bias": class_folders,
    "pools": pool_folders,
    "pools_demo": pool_folders,
}


def test_every_adapter_has_an_example():
    assert sorted(EXAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_expects(name):
    assert len(plugins.load("datasets", name).EXPECTS.split()) > 5


@pytest.mark.parametrize("name", NAMES)
def test_all_functions_take_the_same_keywords_with_annotations_and_classes_among_them(name):
    adapter = plugins.load("datasets", name)
    found = [inspect.signature(getattr(adapter, function)) for function in FUNCTIONS if hasattr(adapter, function)]
    for signature in found:
        folder, *options = signature.parameters.values()
        assert folder.kind is folder.POSITIONAL_OR_KEYWORD
        assert {"classes"} <= {option.name for option in options}
        assert all(o.kind is o.KEYWORD_ONLY and o.annotation is not o.empty for o in options)
    assert len(found) >= 2
    assert all(one.parameters == other.parameters for one, other in itertools.pairwise(found))


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "make")])
def test_arguments_of_make_are_keywords_with_defaults_and_those_of_read_are_its_own(name):
    adapter = plugins.load("datasets", name)
    _, *options = inspect.signature(adapter.make).parameters.values()
    assert all(o.kind is o.KEYWORD_ONLY and o.annotation is not o.empty and o.default is not o.empty for o in options)
    assert set(inspect.signature(adapter.read).parameters) == {"folder", "classes"}  # read is given no others


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_refused_by_name(name, tmp_path):
    with pytest.raises(DataError, match=tmp_path.name):
        plugins.load("datasets", name).read(tmp_path, classes=CLASSES[name])


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_text_and_fit_each_other(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    clips, template = adapter.read(tmp_path, classes=classes), adapter.template(tmp_path, classes=classes)
    assert list(clips.columns) == COLUMNS
    assert all(pd.api.types.is_string_dtype(clips[column]) and clips[column].notna().all() for column in COLUMNS)
    assert set(clips["split"]) <= {"train", "test", "unlabeled", "noise"}
    assert set(clips.loc[clips["split"] == "train", "label"]) == set(classes)
    assert (clips.loc[clips["split"] != "train", "label"] == "").all()
    assert all(split_part(tmp_path / path)[0].is_file() for path in clips["path"])
    assert not clips.duplicated(["split", "id"]).any()
    assert template.columns.tolist() == ["id", *classes]
    assert all(pd.api.types.is_string_dtype(template[column]) for column in template)
    assert template["id"].tolist() == clips.loc[clips["split"] == "test", "id"].tolist()


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "truth")])
def test_truth_is_of_clips_of_the_test(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    clips, truth = adapter.read(tmp_path, classes=classes), adapter.truth(tmp_path, classes=classes)
    assert truth.columns[:2].tolist() == ["id", "label"] and len(truth)
    assert all(pd.api.types.is_string_dtype(truth[column]) and truth[column].notna().all() for column in truth)
    assert set(truth["id"]) <= set(clips.loc[clips["split"] == "test", "id"]) and truth["id"].is_unique
    assert set(truth["label"]) <= set(classes)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "given")])
def test_given_statistics_are_numbers_of_every_clip(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    given = adapter.given(tmp_path, classes=classes)
    assert given["id"].tolist() == adapter.read(tmp_path, classes=classes)["id"].tolist()
    values = given.drop(columns="id")
    assert (values.dtypes == np.float64).all() and len(values.columns) and np.isfinite(values).all(axis=None)
