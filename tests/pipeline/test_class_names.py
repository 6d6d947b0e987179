"""Names of classes may contain any printable character: the run, the report, the export and `predict` keep them."""

import csv
import html

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.paths import paths
from fakevoice.export.exporter import export
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.report.html_page import write_report

NAMES = ["a,b:c", "[y] {z}", "a b", "a_b", '가짜 "음성" | $1^2$ <b>']
EXAMPLES = [["a,b", "c:d"], ["bona fide", "spoof"], ["[y]", "{z}"], ["_silence_", "a/b\\c"]]
RATE_HZ = 8000


def write_clips(folder, classes):
    rng, rows = np.random.default_rng(0), []
    (folder / "train").mkdir(parents=True)
    for index in range(6 * len(classes)):
        label = index % len(classes)
        time_s = np.arange(RATE_HZ // 2) / RATE_HZ
        sound = 0.3 * np.sin(2 * np.pi * (200 + 250 * label) * time_s) + rng.normal(0, 0.03, len(time_s))
        soundfile.write(folder / "train" / f"{index}.wav", sound, RATE_HZ)
        rows.append((f"t{index}", f"train/{index}.wav", classes[label]))
    train = pd.DataFrame(rows, columns=["id", "path", "label"])
    train.to_csv(folder / "train.csv", index=False)
    test = train.head(4).drop(columns="label").assign(id=["a", "b", "c", "d"])
    test.to_csv(folder / "test.csv", index=False)
    test[["id"]].assign(**dict.fromkeys(classes, 0.5)).to_csv(folder / "sample_submission.csv", index=False)


def own_config(tmp_path, classes, is_mixed):
    text = {
        "competition": "names",
        "dataset": {"name": "dacon"},
        "task": "multilabel",
        "classes": classes,
        "metric": "accuracy",
        "leak_auc": 2,
        "measures": ["log_loss"],
        "sample_rate_hz": RATE_HZ,
        "clip_duration_s": 0.5,
        "folds": {"groups": "none", "n_folds": 2},
        "spectrogram": {"n_fft": 256, "hop_length": 128},
        "features": {"mel": {"n_mels": 16}},
        "pooled": ["mel"],
        "statistics": [],
        "networks": {
            "mel": {"feature": "mel", "model": {"name": "linear"}, "training": {"n_epochs": 1, "batch_size": 4}}
        },
        "stacker": {"n_rounds": 3, "min_rows_per_leaf": 3},
        "ensemble": {"n_bootstrap": 10},
    }
    if is_mixed:
        both = "+".join(classes)
        states = dict.fromkeys(["none", *classes, both], 1 / (len(classes) + 2))
        scenes = {"n_scenes": 48, "states": states, "resynthesis_probability": 0.0, "codec_probability": 0.0}
        text["scenes"] = scenes | {"resynthesis": {classes[0]: classes[1]}}
        text["scenes"] |= {"band_limit_hz": [2000.0, 4000.0], "room_probability": 0.0}
    file = tmp_path / "names.yaml"
    file.write_text(yaml.safe_dump(text, allow_unicode=True), encoding="utf-8")
    return load_config(str(file))


@pytest.mark.parametrize(
    ("classes", "is_mixed"),
    [(NAMES, False), *(pytest.param(classes, True, marks=pytest.mark.slow) for classes in EXAMPLES)],
)
def test_any_class_name_works_up_to_submission_report_and_export(tmp_path, monkeypatch, classes, is_mixed):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    write_clips(tmp_path / "data" / "names", classes)
    config = own_config(tmp_path, classes, is_mixed)
    run_pipeline(config)
    (file,) = (tmp_path / "home" / "submissions").glob("names-*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        assert next(csv.reader(lines)) == ["id", *classes]
    report = write_report(config)
    assert html.escape(classes[0]) in report.read_text(encoding="utf-8")
    export(config, tmp_path / "export")
    assert read_json(tmp_path / "export" / "model.json")["outputs"] == classes
    clip = tmp_path / "data" / "names" / "train" / "0.wav"
    predictor = Predictor.load(paths(config))
    table = answer(predictor, list_sources([str(clip)])).table
    assert list(table.columns[1 : len(classes) + 1]) == classes and table[classes[0]].between(0, 1).all()
