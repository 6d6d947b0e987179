import inspect

import numpy as np
import pytest
import soundfile

from fakevoice.audio.read import read_audio
from fakevoice.core import plugins
from fakevoice.core.errors import DataError
from fakevoice.data.adapters import asvspoof2019_la

LINES = {
    "train": ["LA_0079 LA_T_1138215 - - bonafide", "LA_0079 LA_T_1271820 - A01 spoof"],
    "dev": ["LA_0069 LA_D_1047731 - - bonafide", "LA_0070 LA_D_1105538 - A02 spoof"],
    "eval": ["LA_0039 LA_E_2834763 - A11 spoof", "LA_0014 LA_E_8877452 - A14 spoof", "LA_0040 LA_E_683 - - bonafide"],
}


def protocol(home, subset):
    ending = "trn" if subset == "train" else "trl"
    return home / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{subset}.{ending}.txt"


def write(file, *lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def write_scores(home, subset, *lines):
    write(home / "ASVspoof2019_LA_asv_scores" / f"ASVspoof2019.LA.asv.{subset}.gi.trl.scores.txt", *lines)


def lay_out(home, subsets=("train", "dev", "eval")):
    for subset in subsets:
        write(protocol(home, subset), *LINES[subset])
        clips = home / f"ASVspoof2019_LA_{subset}" / "flac"
        clips.mkdir(parents=True)
        for line in LINES[subset]:
            soundfile.write(clips / f"{line.split()[1]}.flac", np.full(1600, 0.1), 16000)
    return home


def refused(function, folder, *parts):
    with pytest.raises(DataError) as caught:
        function(folder)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("below", [".", "LA"])
def test_clips(tmp_path, below):
    lay_out(tmp_path / below)
    clips = asvspoof2019_la.read(tmp_path)
    train, test = clips[clips["split"] == "train"], clips[clips["split"] == "test"]
    assert train["id"].tolist() == ["LA_T_1138215", "LA_T_1271820"]
    assert train["label"].tolist() == ["real", "fake"]
    assert set(train["group"]) == {"LA_0079"}
    assert test["id"].tolist() == [line.split()[1] for line in LINES["dev"] + LINES["eval"]]
    assert set(test["label"]) == set(test["group"]) == {""}
    assert all(read_audio(tmp_path / path, 16000).source_rate_hz == 16000 for path in clips["path"])
    assert asvspoof2019_la.template(tmp_path, classes=["fake"]).columns.tolist() == ["id", "fake"]
    assert asvspoof2019_la.template(tmp_path)["id"].tolist() == test["id"].tolist()


def test_truth_of_the_tests(tmp_path):
    truth = asvspoof2019_la.truth(lay_out(tmp_path))
    assert truth.columns.tolist() == ["id", "label", "subset", "attack", "speaker"]
    assert truth["label"].tolist() == ["real", "fake", "fake", "fake", "real"]
    assert truth["subset"].tolist() == ["dev", "dev", "eval", "eval", "eval"]
    assert truth["attack"].tolist() == ["bonafide", "A02", "A11", "A14", "bonafide"]
    assert truth["speaker"].tolist() == ["LA_0069", "LA_0070", "LA_0039", "LA_0014", "LA_0040"]


@pytest.mark.parametrize("subsets", [["train"], ["train", "dev"], ["train", "eval"]])
def test_what_is_there_is_read(tmp_path, subsets):
    lay_out(tmp_path, subsets)
    truth = asvspoof2019_la.truth(tmp_path)
    assert truth["subset"].unique().tolist() == subsets[1:]
    assert asvspoof2019_la.template(tmp_path)["id"].tolist() == truth["id"].tolist()
    assert (asvspoof2019_la.read(tmp_path)["split"] == "train").sum() == 2


def test_train_must_be_there(tmp_path):
    refused(asvspoof2019_la.read, lay_out(tmp_path, ["dev", "eval"]), "cm.train.trn.txt", "must hold")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("LA_0079 LA_T_2 - A01 Spoof", ["line 4 ('Spoof')", "['bonafide', 'spoof']"]),
        ("LA_0079 LA_T_2 - spoof", ["more or fewer than 5 fields", "line 4 (4)"]),
        ("LA_0079 LA_T_1138215 - - bonafide", ["the same id twice", "line 1 ('LA_T_1138215'), line 4"]),
        ("LA_0079 ../LA_T_2 - - bonafide", ["line 4 ('../LA_T_2')"]),
    ],
    ids=["key", "fields", "twice", "outside"],
)
def test_malformed_protocol(tmp_path, line, parts):
    write(protocol(lay_out(tmp_path), "train"), *LINES["train"], "", line)
    refused(asvspoof2019_la.read, tmp_path, "cm.train.trn.txt", *parts)


def test_other_classes_are_refused(tmp_path):
    lay_out(tmp_path)
    with pytest.raises(DataError, match="has the classes fake, real, not happy, sad"):
        asvspoof2019_la.read(tmp_path, classes=["happy", "sad"])
    assert set(asvspoof2019_la.read(tmp_path, classes=["real", "fake"])["label"]) == {"real", "fake", ""}


def test_rates_of_the_verification_at_its_own_equal_error_rate(tmp_path):
    lay_out(tmp_path)
    assert asvspoof2019_la.asv_rates(tmp_path) is None
    targets = [f"bonafide target {score}" for score in (-1.0, 2.0, 3.0, 4.0)]
    nontargets = [f"bonafide nontarget {score}" for score in (-3.0, -2.5, -2.0, 2.5)]
    spoofs = [f"A07 spoof {score}" for score in (-4.0, 1.9, 2.0, 2.1, 9.0)]
    write_scores(tmp_path, "eval", *targets, *nontargets, *spoofs)
    # From 2.0 on accepted: one target of four refused, one nontarget of four accepted; two spoofs refused.
    expected = {"p_miss_asv": 0.25, "p_fa_asv": 0.25, "p_miss_spoof_asv": 0.4}
    assert asvspoof2019_la.asv_rates(tmp_path) == expected
    assert set(expected) < set(inspect.signature(plugins.load("metrics", "min_tdcf").measure).parameters)


def test_rates_are_of_the_subset_that_is_tested(tmp_path):
    perfect = ["bonafide target 1", "bonafide nontarget 0"]
    for subset, score in (("dev", "0"), ("eval", "1")):
        write_scores(tmp_path, subset, *perfect, f"A07 spoof {score}")
    lay_out(tmp_path, ["train", "dev"])
    assert asvspoof2019_la.asv_rates(tmp_path)["p_miss_spoof_asv"] == 1.0
    lay_out(tmp_path, ["eval"])
    assert asvspoof2019_la.asv_rates(tmp_path)["p_miss_spoof_asv"] == 0.0


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["x target 1", "x nontarget high", "A07 spoof 1"], ["no number in score", "line 2 ('high')"]),
        (["x target 1", "x nontarget nan", "A07 spoof 1"], ["no number in score", "line 2 ('nan')"]),
        (["x target 1", "x impostor 0"], ["line 2 ('impostor')"]),
        (["x target 1", "A07 spoof 1"], ["no scores of nontarget"]),
        ([""], ["no lines"]),
    ],
    ids=["text", "nan", "key", "absent", "empty"],
)
def test_malformed_scores(tmp_path, lines, parts):
    write_scores(lay_out(tmp_path), "eval", *lines)
    refused(asvspoof2019_la.asv_rates, tmp_path, "asv.eval.gi.trl.scores.txt", *parts)
