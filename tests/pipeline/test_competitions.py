"""Every competition that ships goes through the line, each on a few clips in its own layout."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.core.artifacts import read_json
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import read_table
from fakevoice.features.extract import check_features, pooled_names
from fakevoice.features.store import CachedFeature
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline, stale_stages
from fakevoice.training.cross_validation import check_networks
from tests.support import tiny_whisper

SMALL = ["stacker.n_rounds=10", "stacker.min_rows_per_leaf=3", "ensemble.n_bootstrap=20", "folds.n_folds=2"]


def tone(hz: float, rate_hz: int, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return 0.3 * np.sin(2 * np.pi * hz * time_s + rng.uniform(0, 6)) + rng.normal(0, 0.03, len(time_s))


def quick(config: str, **training: object) -> list[str]:
    """Words that train every network of a config for a moment."""
    words = {"n_epochs": 2, "batch_size": 4, "learning_rate": 0.01, "ema_decay": 0.5} | training
    networks = load_config(config).networks
    return [f"networks.{name}.training.{key}={value}" for name in networks for key, value in words.items()]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a config on the raw folder that a function has written."""
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")

    def run_config(name: str, *words: str) -> tuple[Paths, dict]:
        config = load_config(name, [*SMALL, *words])
        assert run_pipeline(config)
        assert all(reason == "" for _, reason in stale_stages(config))
        folder = paths(config).stage("results")
        assert (folder / "results.md").read_text().startswith(f"## {config.competition}\n\n`./run.sh all --config")
        return paths(config), json.loads((folder / "results.json").read_text())

    return run_config


def write_digits(folder: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    (folder / "train").mkdir(parents=True)
    for index in range(80):
        name = f"{index:04d}.{'wav' if index % 5 else 'WAV'}"
        soundfile.write(folder / "train" / name, tone(200 + 300 * (index % 10), 8000, 0.5, rng), 8000, format="WAV")
        rows.append((name, index % 10))
    pd.DataFrame(rows, columns=["file_name", "label"]).to_csv(folder / "train.csv", index=False)


def test_digits(run, tmp_path):
    write_digits(tmp_path / "data" / "digits")
    widths = [f"networks.{name}.model.args.width=6" for name in ("mel", "mfcc")]
    places, results = run("digits", *quick("digits", n_epochs=10), *widths, "stacker.n_rounds=20")
    members = {row["member"]: row for row in results["members"]}
    assert list(members) == ["mel", "mfcc", "stack", "ensemble"] and members["ensemble"]["accuracy"] > 0.8
    assert [row["fold"] for row in results["by_fold"]] == [0] * 4 + [1] * 4
    published = {(row["system"], row["fold"]): row["accuracy"] for row in results["published"]}
    assert published["ensemble", "0"] == 0.9875 and published["ensemble", "mean"] == pytest.approx(0.9765)
    page = (places.stage("results") / "results.md").read_text()
    assert "| 0 | 0.9875 | 0.9500 | 0.9650 |" in page and "ours: ensemble" in page
    assert "each clip is a group of its own" in page  # six speakers may stand on both sides
    assert (places.stage("results") / "resblock_performance.png").read_bytes()[:4] == b"\x89PNG"
    counts = pd.DataFrame(results["confusion"])
    assert counts["n"].sum() == 80
    right = counts.loc[counts["truth"] == counts["predicted"], "n"].sum() / 80
    assert right == pytest.approx(members["ensemble"]["accuracy"])


def test_digits_with_an_encoder():
    config = load_config("digits", ["preset=encoder"])
    shapes = check_features(config)
    assert shapes["whisper"] == (5 * tiny_whisper.N_CHANNELS, 1)
    check_networks(config, shapes)


def test_emotion(run, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "data" / "emotion"
    folder.mkdir(parents=True)
    for actor in range(1, 5):
        for number in range(1, 351, 25):
            sound = tone(150 + 250 * ((number - 1) // 50) + 10 * actor, 16000, 1.0, rng)
            soundfile.write(folder / f"actor{actor:03d}_{number:03d}.wav", sound, 16000)
    probe = [f"networks.probe.training.{word}" for word in ("n_epochs=2", "batch_size=4")]
    words = [*quick("emotion"), "clip_duration_s=1", "statistics=[pitch]", "preset=encoder", *probe]
    places, results = run("emotion", *words)
    assert [row["member"] for row in results["members"]] == ["mel", "mfcc", "probe", "stack", "ensemble"]
    assert {row["group"] for row in results["groups"]} == {f"actor{actor:03d}" for actor in range(1, 5)}
    assert {"macro_f1", "precision", "recall", "accuracy"} <= set(results["groups"][0])
    assert {row["group"] for row in results["confusion"]} == {row["group"] for row in results["groups"]}
    folds = read_table(places.folds_csv, ("competition", "id", "group", "label"))
    assert folds.groupby(folds["id"].str[:8])["fold"].nunique().eq(1).all()  # no actor on both sides
    assert (places.stage("results") / "confusion.png").stat().st_size > 5000


def write_statistics(folder: Path, n_rows: int = 200) -> None:
    names, rng = pooled_names(load_config("deep_voice")), np.random.default_rng(0)
    label = np.arange(n_rows) % 2
    table = pd.DataFrame(rng.normal(0, 1, (n_rows, len(names))), columns=names)
    table["rms"] += 3 * label
    folder.mkdir(parents=True)
    table.assign(label=label).to_csv(folder / "DATASET-balanced.csv", index=False)


def test_deep_voice_as_a_table(run, tmp_path):
    write_statistics(tmp_path / "data" / "deep_voice")
    places, results = run("deep_voice", "stacker.n_rounds=40", "stacker.min_rows_per_leaf=10")
    members = {row["member"]: row for row in results["members"]}
    assert list(members) == ["stack", "ensemble"] and members["ensemble"]["accuracy"] > 0.85
    assert {row["system"] for row in results["published"]} == {"XGBoost"}
    page = (places.stage("results") / "results.md").read_text()
    assert "each clip is a group of its own" in page and "| published | XGBoost | 0.9930 |" in page
    assert (read_table(places.stage("prepare") / "audit.csv", ("id", "sha256", "flags"))["error"].isna()).all()
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / "new.wav", rng.normal(0, 0.1, 22050), 22050)
    table = answer(Predictor.load(places), list_sources([str(tmp_path / "new.wav")])).table
    assert table.columns[:2].tolist() == ["id", "fake"] and 0 < table["fake"].iloc[0] < 1  # of the same statistics


def test_given_statistics_follow_their_clips_through_the_folds(run, tmp_path):
    """folds.csv may be edited, also in its order, and scenes come in that order."""
    write_statistics(tmp_path / "data" / "deep_voice", 60)
    places, _ = run("deep_voice")
    lines = places.folds_csv.read_text().splitlines()
    places.folds_csv.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    places, _ = run("deep_voice")
    folder = places.cache / read_json(places.stage("features") / "features.json")["pooled"]
    given = read_table(places.stage("prepare") / "given.csv", ("id",)).set_index("id")
    voices = read_table(places.stage("scenes") / "voices.csv", ("scene", "clip", "group", "label", "vocoder"))
    assert voices["clip"].iloc[0] == lines[-1].split(",")[1]
    expected = given.loc[voices["clip"], pooled_names(load_config("deep_voice"))].to_numpy(np.float32)
    assert np.array_equal(CachedFeature(folder, "scenes").all(), expected)


def test_deep_voice_by_recording(run, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "data" / "deep_voice"
    for label, hz in (("REAL", 300), ("FAKE", 2000)):
        (folder / label).mkdir(parents=True)
        for index in range(3):
            soundfile.write(folder / label / f"{index}.wav", tone(hz, 22050, 4.2, rng), 22050)
    probe = [f"networks.probe.training.{word}" for word in ("n_epochs=2", "batch_size=4")]
    places, results = run("deep_voice", "preset=encoder", *probe)
    assert [row["member"] for row in results["members"]] == ["probe", "stack", "ensemble"]
    folds = read_table(places.folds_csv, ("competition", "id", "group", "label"))
    assert len(folds) == 24 and folds["group"].nunique() == 6
    assert folds.groupby(folds["id"].str.split("#").str[0])["fold"].nunique().eq(1).all()
    assert (
        len(results["groups"]) == 6 and "group of its own" not in (places.stage("results") / "results.md").read_text()
    )


def test_statistics_that_are_not_given_are_refused(run, tmp_path):
    write_statistics(tmp_path / "data" / "deep_voice")
    with pytest.raises(ConfigError, match=r"statistics \['deep_voice', 'rhythm'\]: the data does not give rhythm"):
        run("deep_voice", "statistics=[deep_voice,rhythm]")


def test_a_table_has_no_sound_for_features(run, tmp_path):
    write_statistics(tmp_path / "data" / "deep_voice")
    with pytest.raises(ConfigError, match="has no sound"):
        run("deep_voice", "features.mel.n_mels=20")


def write_asvspoof(home: Path, n_clips: int = 16) -> None:
    """A small tree in the official layout: bona fide below 500 Hz, attacks above; A09 sounds like the bona fide."""
    rng = np.random.default_rng(0)
    (home / "ASVspoof2019_LA_cm_protocols").mkdir(parents=True)
    for subset, ending, attacks in (("train", "trn", ["A01", "A02"]), ("eval", "trl", ["A07", "A09"])):
        clips, lines = home / f"ASVspoof2019_LA_{subset}" / "flac", []
        clips.mkdir(parents=True)
        for index in range(2 * n_clips):
            attack = attacks[index // 2 % 2] if index % 2 else "-"
            hz = rng.uniform(150, 450) if attack in ("-", "A09") else rng.uniform(1500, 4000)
            name = f"LA_{subset[0].upper()}_{index:07d}"
            soundfile.write(clips / f"{name}.flac", tone(hz, 16000, 1.0, rng), 16000)
            lines.append(f"LA_{index % 8:04d} {name} - {attack} {'spoof' if index % 2 else 'bonafide'}")
        file = home / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{subset}.{ending}.txt"
        file.write_text("\n".join(lines) + "\n")
    (home / "ASVspoof2019_LA_asv_scores").mkdir()
    scores = [f"bonafide target {rng.normal(3):.4f}" for _ in range(40)]
    scores += [f"bonafide nontarget {rng.normal(0):.4f}" for _ in range(40)]
    scores += [f"A07 spoof {rng.normal(2):.4f}" for _ in range(40)]
    file = home / "ASVspoof2019_LA_asv_scores" / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt"
    file.write_text("\n".join(scores) + "\n")


def test_asvspoof2019_la(run, tmp_path):
    write_asvspoof(tmp_path / "data" / "asvspoof2019_la" / "LA")
    words = [
        "networks.lfcc_lcnn=null",
        "networks.mel_resnet2.model.args.width=8",
        "networks.mel_resnet2.training.n_epochs=8",
    ]
    quickly = [word for word in quick("asvspoof2019_la", n_epochs=8) if "mel_resnet2" in word]
    places, results = run("asvspoof2019_la", "clip_duration_s=1", *words[:2], *quickly)
    test = {row["clips"]: row for row in results["test"]}
    assert {"all", "subset eval", "attack A07", "attack A09"} <= set(test)
    assert test["attack A07"]["n"] == 24 and test["all"]["n"] == 32  # an attack against all bona fide clips
    assert test["attack A07"]["eer"] < 0.2 < test["attack A09"]["eer"]
    rates = read_json(places.stage("prepare") / "measures.json")["min_tdcf"]
    assert set(rates) == {"p_miss_asv", "p_fa_asv", "p_miss_spoof_asv"} and 0 < rates["p_miss_asv"] < 0.3
    assert 0 <= test["subset eval"]["min_tdcf"] <= 1
    clips = read_table(places.stage("prepare") / "clips.csv", ("id", "label", "split"))
    assert (clips.loc[clips["split"] == "test", "label"] == "").all()  # the truth is for measuring alone


@pytest.mark.slow
def test_length_bias(run, capsys):
    words = [
        "dataset.args.n_clips=40",
        "networks.padded.model.args.width=4",
        "networks.five_seconds.model.args.width=4",
    ]
    places, results = run("length_bias", *words, *quick("length_bias", n_epochs=10))
    assert re.search(r"warning: mel, .* alone tells fake in every fold \(AUC", capsys.readouterr().out)
    auc = {row["member"]: row["auc"] for row in results["members"]}
    assert auc["padded"] > 0.95 and auc["five_seconds"] < 0.75
    epochs = pd.DataFrame(results["epochs"])
    assert epochs.groupby("network").size().to_dict() == {"five_seconds": 10, "padded": 10}
    assert {"auc", "accuracy", "eer"} <= set(epochs) and epochs["auc"].between(0, 1).all()
    shortcuts = read_table(places.stage("folds") / "shortcuts.csv", ("shortcut", "label")).set_index("shortcut")["auc"]
    assert shortcuts["length"] > 0.95
    assert (places.stage("results") / "lcnn_performance.png").is_file()
