"""Clips that come in: the same kind is fine, another is named, and a watch forgets nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile

from fakevoice.cli.command_line import main
from fakevoice.core import plugins
from fakevoice.core.config import REPOSITORY
from fakevoice.core.errors import ArtifactError, ConfigError, DataError
from fakevoice.core.tables import read_table
from fakevoice.features.extract import pooled_names
from fakevoice.monitor import clips as incoming
from fakevoice.monitor import html_page
from fakevoice.monitor import verdict as monitoring
from fakevoice.monitor.clips import Clips, Reference, find_reference, list_clips, score_clips
from fakevoice.monitor.verdict import EXIT_CODES, FINE, MIN_CLIPS, RETRAIN, WATCH, Findings, as_dict, judge
from fakevoice.monitor.watch import Gauges, Watcher
from fakevoice.report import html_page as report_page

N_CLIPS = 40
TELEPHONE = scipy.signal.butter(8, [300, 3400], "bandpass", fs=16_000, output="sos")
OUTPUTS = ["fake", "real"]


@pytest.fixture(autouse=True)
def at_home_in_this_process(at_home, monkeypatch):
    """The run's home, no worker processes, and small pictures."""
    monkeypatch.setattr(report_page, "DPI", 40)


@pytest.fixture(scope="module")
def same_kind(tmp_path_factory) -> Path:
    """Half of the test clips of another demo: the same law as the run's, other speakers and noises."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        folder = tmp_path_factory.mktemp("other") / "demo"
        plugins.load("datasets", "demo").make(folder, n_train=8, n_test=2 * N_CLIPS, n_unlabeled=1, seed=6)
    came_in = tmp_path_factory.mktemp("same")
    for file in sorted((folder / "test").iterdir())[:N_CLIPS]:
        file.rename(came_in / file.name)
    return came_in


@pytest.fixture(scope="module")
def before(same_kind, tmp_path_factory) -> Path:
    """As many clips of the same demo."""
    return tmp_path_factory.getbasetemp() / "other0" / "demo" / "test"


@pytest.fixture(scope="module")
def by_telephone(same_kind, tmp_path_factory) -> Path:
    """The same clips 20 dB quieter through a telephone."""
    folder = tmp_path_factory.mktemp("telephone")
    for file in same_kind.iterdir():
        sound, rate = soundfile.read(file)
        soundfile.write(folder / f"{file.stem}.wav", 0.1 * scipy.signal.sosfilt(TELEPHONE, sound), rate)
    return folder


@pytest.fixture(scope="module")
def heard(predictor, same_kind, before, by_telephone, finished_run) -> dict[str, Clips]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        folders = {"before": before, "same": same_kind, "telephone": by_telephone}
        return {name: score_clips(predictor, list_clips([str(folder)]), "test")[0] for name, folder in folders.items()}


@pytest.fixture(scope="module")
def reference(heard) -> Reference:
    """Of forty clips; the run has only 16."""
    return Reference("test", heard["before"])


def judged(predictor, reference, clips: Clips, n_unreadable: int = 0) -> Findings:
    return judge(reference, clips, n_unreadable, OUTPUTS, pooled_names(predictor.config))


def test_the_reference_is_the_test_as_the_ensemble_scored_it(predictor, finished_run):
    """What the line wrote of the test clips is what hearing their files says."""
    reference = find_reference(predictor)
    assert reference.kind == "test" and len(reference.clips.table) == 16
    sources = list_clips([str(finished_run.paths.raw / "test")])
    clips, unreadable = score_clips(predictor, sources, "test")
    known = read_table(finished_run.paths.stage("prepare") / "clips.csv", ("id", "path", "split"))
    names = {Path(row.path).name: place for place, row in enumerate(known[known["split"] == "test"].itertuples())}
    order = [names[Path(path).name] for path in clips.table["path"]]
    assert unreadable.empty
    for column in ("compared_fake", "compared_real", "spread", "distance", "level_dbfs", "bandwidth_hz", "duration_s"):
        expected = reference.clips.table[column].to_numpy()[order]
        assert clips.table[column].to_numpy() == pytest.approx(expected, abs=2e-5, rel=1e-4), column
    assert clips.pooled == pytest.approx(reference.clips.pooled[order], rel=1e-3, abs=1e-3)


def test_the_same_kind_is_fine(predictor, reference, heard):
    findings = judged(predictor, reference, heard["same"])
    assert (findings.verdict, findings.reasons, findings.n) == (FINE, [], N_CLIPS)
    assert set(findings.drift["kind"]) == {"fact", "prediction", "feature"}


def test_quiet_clips_by_telephone_are_another_kind_and_what_changed_is_named(predictor, reference, heard):
    findings = judged(predictor, reference, heard["telephone"])
    assert findings.verdict == RETRAIN
    facts = findings.of_kind("fact")
    drifted = set(facts.loc[facts["level"] == RETRAIN, "name"])
    assert {"level_dbfs", "bandwidth_hz"} <= drifted and "duration_s" not in drifted
    (told,) = [reason for reason in findings.reasons if reason.key == "fact"]
    assert "level_dbfs (" in told.values["names"] and "bandwidth_hz (" in told.values["names"]
    assert set(findings.families["family"]) == {name.split("_")[0] for name in pooled_names(predictor.config)}


def test_few_clips_are_too_few_to_say(predictor, reference, heard):
    few = heard["telephone"].rows(np.arange(MIN_CLIPS - 1))
    findings = judged(predictor, reference, few)
    assert findings.verdict == WATCH and [reason.key for reason in findings.reasons] == ["few"]
    enough = heard["same"].rows(np.arange(MIN_CLIPS))
    assert judged(predictor, reference, enough).verdict == FINE


def test_many_unreadable_files_are_worth_a_look(predictor, reference, heard):
    assert judged(predictor, reference, heard["same"], 2).verdict == FINE  # 2 of 42
    findings = judged(predictor, reference, heard["same"], 3)
    assert findings.verdict == WATCH and findings.reasons[0].values == {"n": 3, "n_files": 43}


@pytest.mark.parametrize(("n_outside", "verdict"), [(2, FINE), (9, WATCH), (24, RETRAIN)])
def test_clips_outside_of_what_training_covered(predictor, heard, n_outside, verdict):
    """Of 120; beside a reference of the same clips, one of 800 outside."""
    same = heard["same"]

    def clips(n_outside: int, n_times: int) -> Clips:
        table = pd.concat([same.table] * n_times, ignore_index=True)
        distance = np.where(np.arange(len(table)) < n_outside, 1.5, 0.5)
        return Clips(table.assign(distance=distance), np.concatenate([same.pooled] * n_times))

    findings = judge(Reference("test", clips(1, 20)), clips(n_outside, 3), 0, OUTPUTS, pooled_names(predictor.config))
    assert findings.verdict == verdict and findings.outside == n_outside / 120
    assert [reason.key for reason in findings.reasons] == ["outside"] * (verdict != FINE)


@pytest.mark.parametrize(("share", "verdict"), [(0.0, FINE), (0.05, WATCH), (0.2, RETRAIN)])
def test_a_few_features_are_worth_a_look_and_many_call_for_training(predictor, heard, share, verdict):
    same = heard["same"]
    pooled = same.pooled.copy()
    pooled[:, : round(share * pooled.shape[1])] += 1e4
    findings = judged(predictor, Reference("test", same), Clips(same.table, pooled))
    assert findings.verdict == verdict
    assert [(reason.key, reason.values["n"]) for reason in findings.reasons] == [
        ("feature", round(share * pooled.shape[1]))
    ] * (share > 0)


def test_when_it_changed_is_seen(predictor, reference, heard):
    parts = [heard["same"].table.assign(modified_s=np.arange(40.0)), heard["telephone"].table.assign(modified_s=1e9)]
    clips = Clips(pd.concat(parts, ignore_index=True), np.concatenate([heard[k].pooled for k in ("same", "telephone")]))
    blocks = judged(predictor, reference, clips).blocks
    assert blocks["n"].tolist() == [10] * 8 and blocks["first"].tolist()[4] == "2001-09-09 01:46"
    assert (blocks["level_dbfs"][4:] < blocks["level_dbfs"][:4].min() - 10).all()
    mean = clips.table["fake"].to_numpy().reshape(8, 10).mean(axis=1)
    assert blocks["fake"].to_numpy() == pytest.approx(mean)


def test_random_halves_of_one_kind_are_fine(predictor, heard):
    rng, verdicts = np.random.default_rng(0), []
    both = np.concatenate([heard["same"].pooled] * 2)
    both = Clips(pd.concat([heard["same"].table] * 2, ignore_index=True), both + rng.normal(size=both.shape) * 1e-3)
    for _ in range(8):
        order = rng.permutation(len(both.table))
        halves = both.rows(order[:40]), both.rows(order[40:])
        reference = Reference("test", halves[0])
        verdicts.append(judge(reference, halves[1], 0, OUTPUTS, pooled_names(predictor.config)).verdict)
    assert verdicts == [FINE] * 8


def test_scenes_are_the_reference_where_there_are_few_test_clips(predictor, heard, monkeypatch):
    monkeypatch.setattr(incoming, "MIN_TEST", 17)
    monkeypatch.setattr(incoming, "N_AUDITED", 12)
    scenes = find_reference(predictor)
    assert scenes.kind == "scenes" and len(scenes.clips.table) == 96
    assert scenes.clips.table["level_dbfs"].notna().sum() == 12 and scenes.clips.table["spread"].isna().all()
    findings = judged(predictor, scenes, heard["telephone"])
    assert findings.verdict == RETRAIN and "spread" not in set(findings.drift["name"])
    shown = findings.of_kind("fact").set_index("name").loc["level_dbfs"]
    assert shown["n_reference"] == 12


def test_beside_scenes_one_fold_answers(predictor, same_kind):
    sources = list_clips([str(same_kind)])[:3]
    table = score_clips(predictor, sources, "scenes")[0].table
    scores = predictor.predict([source.path for source in sources])
    found = table.set_index("id").loc[[source.id for source in sources], [f"compared_{name}" for name in OUTPUTS]]
    at_an_end = np.isclose(found, scores.low, atol=1e-6) | np.isclose(found, scores.high, atol=1e-6)
    assert at_an_end.any() and not np.allclose(found, scores.probability, atol=1e-4)
    assert table.set_index("id")[OUTPUTS].loc[found.index].to_numpy() == pytest.approx(scores.probability, abs=1e-6)


def test_names_may_repeat_in_a_folder(predictor, same_kind, tmp_path):
    (file, *_) = same_kind.iterdir()
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "a.ogg").write_bytes(file.read_bytes())
    assert [source.id for source in list_clips([str(tmp_path)])] == ["monday/a.ogg", "tuesday/a.ogg"]
    with pytest.raises(DataError, match="no audio files"):
        list_clips([str(tmp_path / "monday" / ".."), str(tmp_path / "nothing")][:0])


def test_files_that_were_not_read_completely_are_listed(predictor, same_kind, inbox, tmp_path):
    (file, *_) = same_kind.iterdir()
    inbox.mkdir(exist_ok=True)
    content = file.read_bytes()
    (inbox / "cut.ogg").write_bytes(content[: len(content) * 2 // 3])
    (inbox / "whole.ogg").write_bytes(content)
    (inbox / "._whole.ogg").write_bytes(content)
    sources = list_clips([str(inbox)])
    clips, _ = score_clips(predictor, sources, "test")
    notes = dict(zip(clips.table["id"], clips.table["note"], strict=True))
    assert notes == {"cut.ogg": "the file ends before its stated length", "whole.ogg": ""}
    assert sources.skipped == ["are hidden"]


def test_nothing_readable_is_said_and_not_raised(predictor, reference, tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    clips, unreadable = score_clips(predictor, list_clips([str(tmp_path)]), "test")
    assert clips.table.empty and unreadable["id"].tolist() == ["a.wav"]
    findings = judged(predictor, reference, clips, 1)
    assert findings.verdict == WATCH and findings.drift.empty
    json.dumps(as_dict(findings), allow_nan=False)


@pytest.mark.parametrize("kind", ["same", "telephone"])
def test_the_command(same_kind, by_telephone, tmp_path, capsys, kind):
    folder = tmp_path / "in"
    folder.mkdir()
    for file in (same_kind if kind == "same" else by_telephone).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "cut.wav").write_bytes(b"RIFF")
    out = tmp_path / "out"
    code = main(["monitor", str(folder), "--config", "demo", "--out", str(out)])
    shown, values = capsys.readouterr().out, json.loads((out / "monitor.json").read_text())
    assert code == EXIT_CODES[FINE if kind == "same" else RETRAIN] == {"same": 0, "telephone": 20}[kind]
    assert f"verdict: {values['verdict']}" in shown and "next: " in shown and "40 clips beside 16 test clips" in shown
    assert [row["id"] for row in values["unreadable"]] == ["cut.wav"] and values["n_unreadable"] == 1
    page = (out / "monitor.html").read_text()
    assert "demo/default: clips that came in" in page and "들어온 클립 점검" in page
    assert ("resume-from" in page) == (kind == "telephone")
    assert (out / "blocks.png").read_bytes() and "http" not in page.replace("http-equiv", "")


def test_texts_are_in_both_languages_and_used():
    source = Path(html_page.__file__).read_text() + Path(monitoring.__file__).read_text()
    for key, said in report_page.monitor_texts().items():
        assert set(said) == {"en", "ko"}, key
        assert key not in report_page.texts(), key
        section, _, name = key.partition(".")
        known = section in ("column", "verdict", "next", "reason", "reference") or name in ("title", "see")
        assert known or f'"{key.removesuffix("_alt")}"' in source or name.startswith("reference_"), key


@pytest.fixture
def inbox(tmp_path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def arrive(files: list[Path], inbox: Path) -> None:
    for file in files:
        (inbox / file.name).write_bytes(file.read_bytes())


def test_a_watch_hears_what_is_new_and_remembers_it(predictor, same_kind, inbox, tmp_path):
    files, log = sorted(same_kind.iterdir()), tmp_path / "log"
    arrive(files[:2], inbox)
    watcher = Watcher(predictor, [str(inbox)], log)
    assert (watcher.look().n_new, watcher.look().n_new) == (2, 0)
    arrive(files[2:4], inbox)
    assert watcher.look().n_new == 0  # they may still be written
    look = watcher.look()
    assert look.n_new == 2 and look.findings.n == 4
    again = Watcher(predictor, [str(inbox)], log)
    assert again.look().n_new == 0 and len(again.heard) == 4
    assert again.look().findings.drift.equals(look.findings.drift)
    looks = read_table(log / "monitor.csv", ("time", "verdict"))
    assert looks["n_new"].tolist() == [2, 0, 0, 2, 0, 0] and looks["n"].tolist() == [2, 2, 2, 4, 4, 4]
    assert [path.name for path in log.glob("pooled-*")] == ["pooled-4.npy"]
    assert (log / "monitor.html").is_file()


def test_a_watch_leaves_what_is_being_written(predictor, same_kind, inbox, tmp_path):
    content = min(same_kind.iterdir()).read_bytes()
    watcher = Watcher(predictor, [str(inbox)], tmp_path / "log")
    (inbox / "a.ogg").write_bytes(content[:500])
    assert watcher.look().n_new == 0
    (inbox / "a.ogg").write_bytes(content)
    assert watcher.look().n_new == 0
    look = watcher.look()
    assert (look.n_new, look.findings.n, look.findings.n_unreadable) == (1, 1, 0)
    (inbox / "b.ogg").write_bytes(b"never audio")
    os.utime(inbox / "b.ogg", (1, 1))
    watcher.look()
    look = watcher.look()
    assert (look.n_new, look.findings.n_unreadable) == (1, 1) and watcher.look().n_new == 0


def test_a_watch_judges_the_newest_clips(predictor, same_kind, inbox, tmp_path, monkeypatch):
    monkeypatch.setattr("fakevoice.monitor.watch.WINDOW", 3)
    files = sorted(same_kind.iterdir())
    arrive(files[:2], inbox)
    watcher = Watcher(predictor, [str(inbox)], tmp_path / "log")
    watcher.look()
    arrive(files[2:5], inbox)
    watcher.look()
    assert watcher.look().findings.n == 3 and len(watcher.heard) == 5
    shown = watcher._newest()[0].table
    assert shown["id"].tolist() == [file.name for file in files[2:5]]
    fresh = score_clips(predictor, list_clips([str(inbox)]), "test")[0]
    assert np.array_equal(watcher._newest()[0].pooled, fresh.pooled[-3:])


def test_a_log_of_another_model_is_refused(predictor, same_kind, inbox, tmp_path):
    arrive([min(same_kind.iterdir())], inbox)
    Watcher(predictor, [str(inbox)], tmp_path).look()
    heard = (tmp_path / "heard.csv").read_text()
    (tmp_path / "heard.csv").write_text(heard.replace(predictor.version, "0" * 64))
    with pytest.raises(ArtifactError, match="another model"):
        Watcher(predictor, [str(inbox)], tmp_path)
    with pytest.raises(ConfigError, match="read but once"):
        Watcher(predictor, ["-"], tmp_path)


def metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_gauges_of_any_class():
    gauges = Gauges(0)
    try:
        gauges.show(
            {"time": "now", "n": 3, "outside": 0.25, "psi_fact": 1.5, "mean_10 speakers": 0.5, "verdict": WATCH}
        )
        gauges.show({"time": "now", "n": 4, "outside": 0.5, "psi_fact": 2.5, "mean_10 speakers": 0.75, "verdict": FINE})
        shown = metrics(gauges.port)
        with pytest.raises(ConfigError, match="choose another one"):
            Gauges(gauges.port)
    finally:
        gauges.close()
    assert shown.pop("fakevoice_monitor_last_look_timestamp_seconds") > 1e9
    assert shown == {
        "fakevoice_monitor_n": 4,
        "fakevoice_monitor_outside": 0.5,
        'fakevoice_monitor_psi{kind="fact"}': 2.5,
        'fakevoice_monitor_mean{output="10 speakers"}': 0.75,
        "fakevoice_monitor_verdict": 0,
    }


def test_the_watch_as_a_command_until_ctrl_c(finished_run, same_kind, inbox, tmp_path):
    arrive(sorted(same_kind.iterdir())[:2], inbox)
    command = [sys.executable, "-m", "fakevoice", "monitor", str(inbox), "--config", "demo", "--watch"]
    command += ["--every", "0.5", "--port", "0", "--out", str(tmp_path / "log")]
    environment = os.environ | {"FAKEVOICE_HOME": str(finished_run.home), "PYTHONPATH": str(REPOSITORY / "src")}
    with (tmp_path / "log.txt").open("w") as log:
        hears_ctrl_c = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=hears_ctrl_c)
    try:
        end, told = time.monotonic() + 90, ""
        while told.count("verdict") < 2 and time.monotonic() < end and process.poll() is None:
            time.sleep(0.2)
            told = (tmp_path / "log.txt").read_text()
        shown = metrics(int(told.split("127.0.0.1:")[1].split("/")[0]))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
    assert shown["fakevoice_monitor_n"] == 2 and shown["fakevoice_monitor_verdict"] == 10
    heard = pd.read_csv(tmp_path / "log" / "heard.csv")
    assert len(heard) == 2 and len(pd.read_csv(tmp_path / "log" / "monitor.csv")) >= 2
