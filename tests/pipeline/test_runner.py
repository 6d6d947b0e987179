"""The line does what has changed and nothing else, and says why."""

import re

import pytest

from fakevoice.cli.command_line import main
from fakevoice.core import artifacts
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.pipeline import runner
from fakevoice.pipeline.runner import STAGES, run_pipeline, stale_stages
from tests.support.code_edits import edit


def after(stage: str, *left_alone: str) -> list[str]:
    return [name for name in STAGES[STAGES.index(stage) :] if name not in left_alone]


def stale(config) -> list[str]:
    return [name for name, reason in stale_stages(config) if reason]


def test_second_run_touches_nothing(damageable, capsys):
    contents, times = damageable.contents(), damageable.times()
    assert main(["all", "--config", "demo", *damageable.overrides]) == 0
    assert "everything is up to date" in capsys.readouterr().out
    assert damageable.contents() == contents
    assert damageable.times() == times


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("networks.mel.training.learning_rate=0.001", after("train")),
        ("networks.mel.training.n_epochs=3", after("train")),
        ("networks.mfcc.model.args.width=5", after("train")),
        ("features.mel.n_mels=48", after("features")),
        ("spectrogram.hop_length=128", after("features")),
        ("shard_size=31", after("features")),
        ("scenes.n_scenes=95", after("scenes")),
        ("scenes.snr_db=[0.0,20.0]", after("scenes")),
        ("folds.n_folds=3", after("folds")),
        ("folds.groups=derived", after("folds")),
        ("stacker.n_rounds=11", after("stack")),
        ("ensemble.penalty=0.5", after("ensemble")),
        ("metric=brier", after("ensemble")),
        ("on_error=mark", after("prepare")),
    ],
)
def test_a_changed_key_makes_its_stage_and_what_comes_after_stale(at_home, word, expected):
    assert stale(load_config("demo", [*at_home.overrides, word])) == expected


def test_another_number_of_bands_makes_that_feature_anew(damageable):
    def shards(name: str) -> dict:
        return {path: path.stat().st_mtime_ns for path in damageable.paths.cache.glob(f"{name}-*/*.npy")}

    before = {name: shards(name) for name in ("mel", "mfcc", "pooled")}
    run_pipeline(load_config("demo", [*damageable.overrides, "features.mel.n_mels=48"]), "features")
    assert shards("mfcc") == before["mfcc"]
    for name in ("mel", "pooled"):
        assert len(shards(name)) == 2 * len(before[name])
        assert before[name].items() <= shards(name).items()  # the old ones lie there for going back


EDITS = {  # file → the first stage that depends on its code
    "audio/decode.py": "prepare",
    "audio/files.py": "prepare",  # reads the part of a file that a path names
    "audio/read.py": "prepare",
    "audio/spectrum.py": "prepare",
    "audio/synthesis/noises/rain.py": "prepare",  # the demo makes its clips with it
    "audio/synthesis/vocoders/lpc.py": "prepare",
    "core/tables.py": "prepare",
    "data/adapters/demo.py": "prepare",
    "data/audit.py": "prepare",
    "data/clip_tables.py": "prepare",
    "data/folds.py": "folds",
    "data/groups.py": "folds",
    "scenes/draw.py": "scenes",
    "scenes/noise_bank.py": "scenes",
    "audio/preprocess.py": "features",
    "scenes/render.py": "features",
    "features/extract.py": "features",
    "features/frames/mfcc.py": "features",
    "features/statistics/speech.py": "features",
    "features/store.py": "features",
    "pipeline/feature_shards.py": "features",
    "pipeline/stages/features.py": "features",
    "training/augment/spec_augment.py": "train",
    "training/fold_trainer.py": "train",
    "training/models/resnet.py": "train",
    "training/precision.py": "train",
    "training/schedule.py": "train",
    "ensemble/stacker.py": "stack",
    "ensemble/stacking.py": "stack",
    "ensemble/blend.py": "ensemble",
    "ensemble/calibrators/identity.py": "ensemble",
    "pipeline/submission.py": "submission",
    "analysis/results.py": "results",
    "analysis/results_report.py": "results",
}


@pytest.mark.parametrize(("file", "stage"), EDITS.items())
def test_edited_code_makes_its_stage_stale(at_home, monkeypatch, file, stage):
    edit(monkeypatch, file)
    reasons = dict(stale_stages(at_home.config))
    assert reasons[stage] == f"code of {file} changed"
    assert [name for name, reason in reasons.items() if not reason] == list(STAGES[: STAGES.index(stage)])


@pytest.mark.parametrize("file", ["serve/app.py", "report/charts.py", "cli/commands.py", "monitor/watch.py"])
def test_edits_that_change_no_artifact_leave_everything_up_to_date(at_home, monkeypatch, file):
    edit(monkeypatch, file)
    assert stale(at_home.config) == []


def test_a_plugin_that_the_config_does_not_name_does_not_count(at_home, monkeypatch):
    edit(monkeypatch, "training/models/lcnn.py")
    assert stale(at_home.config) == []


def test_a_changed_raw_file_makes_everything_stale(damageable):
    with (damageable.home / "data/demo/train_meta.csv").open("a") as file:
        file.write("\n")
    assert dict(stale_stages(damageable.config))["prepare"] == "input raw changed"


def test_status_names_the_reason(at_home, capsys):
    words = [*at_home.overrides, "stacker.n_rounds=11"]
    assert main(["status", "--config", "demo", *words]) == 0
    lines = dict(runner.split(maxsplit=1) for runner in capsys.readouterr().out.splitlines()[1:])
    told = {name: runner.split("  (took")[0] for name, runner in lines.items()}
    assert told["train"] == "up to date"
    assert told["stack"] == "stale: config key stacker.n_rounds changed"
    assert told["ensemble"] == "stale: comes after stack"


def test_status_before_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    assert [reason for _, reason in stale_stages(load_config("demo"))] == ["never run"] * len(STAGES)
    assert not (tmp_path / "runs").exists()  # looking leaves nothing behind


@pytest.mark.parametrize("stage", ["folds", "stack", "ensemble"])
def test_force_redoes_one_stage_with_equal_bytes(damageable, stage):
    contents, times = damageable.contents(), damageable.times()
    assert run_pipeline(damageable.config, stage, force=stage)
    assert damageable.contents() == contents
    written = {name for name, time in damageable.times().items() if time != times[name]}
    assert written
    assert {name for name in written if name != "folds.csv"} == {
        name for name in contents if name.startswith(f"runs/demo/default/{stage}/")
    }


def test_a_change_of_one_network_trains_that_one_alone(damageable):
    def weights() -> dict:
        files = damageable.paths.stage("train").rglob("*.safetensors")
        return {path.parent.parent.name + path.parent.name: path.stat().st_mtime_ns for path in files}

    before = weights()
    run_pipeline(load_config("demo", [*damageable.overrides, "networks.mfcc.training.learning_rate=0.001"]), "train")
    assert {name for name, time in weights().items() if time != before[name]} == {"mfccfold0", "mfccfold1"}


def test_a_forced_stage_never_deletes_an_earlier_submission(damageable):
    earlier = damageable.submission()
    config = load_config("demo", [*damageable.overrides, "ensemble.penalty=9.0", "ensemble.calibrator=platt"])
    assert run_pipeline(config, force="submission")
    assert earlier.is_file() and len(list(earlier.parent.glob("demo-*.csv"))) == 2


def test_what_a_worker_left_when_it_was_killed_is_gone_in_the_end(damageable, monkeypatch):
    """Its task was done by another one, and the run went on."""
    contents, (mel,) = damageable.contents(), damageable.paths.cache.glob("mel-*")
    left = f"{artifacts.TEMPORARY}{artifacts.HOST}-{2**22 + 1}-0f-scenes-00000.npy"  # no process has such a number
    run_stage = runner._run_stage
    monkeypatch.setattr(runner, "_run_stage", lambda *args: (mel / left).touch() or run_stage(*args))
    run_pipeline(damageable.config, force="submission")
    assert damageable.contents() == contents


def test_logits_of_clips_that_are_gone_do_not_reach_the_ensemble(damageable):
    left = damageable.paths.stage("stack") / "forgotten.npy"
    left.write_bytes((damageable.paths.stage("stack") / "unlabeled.npy").read_bytes())
    run_pipeline(damageable.config, last="stack", force="stack")
    assert not left.exists()
    assert (damageable.paths.stage("stack") / "unlabeled.npy").is_file()


@pytest.mark.parametrize("word", ["scenes.codecs=[mp2]", "scenes.container=mp2"])
def test_an_unknown_codec_stops_a_run_before_it_starts(finished_run, monkeypatch, tmp_path, word):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no codec 'mp2'.*mp3"):
        run_pipeline(load_config("demo", [*finished_run.overrides, word]))
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("measures=[auk]", "no metrics/measures/auk.py; did you mean 'auc'"),
        ("epoch_measures=[auk]", "no metrics/measures/auk.py; did you mean 'auc'"),
        ("statistics=[rythm]", "no features/statistics/rythm.py; did you mean 'rhythm'"),
        ("networks.mel.model.name=resnet3", "no training/models/resnet3.py; did you mean 'resnet'"),
        ("networks.mel.warm_start=demo/other/mel", "experiment=other"),
    ],
)
@pytest.mark.parametrize("experiment", ["default", "new"])
def test_a_plugin_that_is_not_there_stops_a_run_before_it_starts(damageable, word, message, experiment, capsys):
    config = load_config("demo", [*damageable.overrides, word, f"experiment={experiment}"])
    before = damageable.times()
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_pipeline(config)
    assert damageable.times() == before and "──" not in capsys.readouterr().out
