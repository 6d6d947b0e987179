"""Fake voice and fake music in long files, end to end on a few generated files."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.analysis.finished_run import load_run
from fakevoice.analysis.results import collect
from fakevoice.core.artifacts import read_array, read_json
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import read_table
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline, stale_stages

WORDS = [
    *("dataset.args.n_clips=10", "dataset.args.n_test=4", "dataset.args.longest_s=9", "folds.n_folds=2"),
    *("scenes.n_scenes=80", "scenes.codecs=[ulaw]", "scenes.noises=[hum]"),
    *("files.n_files=40", "files.duration_s=[4,9]", "files.hop_s=4", "shard_size=64"),
    *("statistics=[rhythm]", "features.mel.n_mels=24"),
    *(f"networks.mel.training.{word}" for word in ("n_epochs=1", "batch_size=16", "precision=fp32")),
    *("networks.mel.model.args.width=4", "stacker.n_rounds=5", "stacker.min_rows_per_leaf=5"),
    "ensemble.n_bootstrap=10",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Config, Paths]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(tmp_path_factory.mktemp("deepvoice")))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        config = load_config("deepvoice_demo", WORDS)
        assert run_pipeline(config)
        assert all(reason == "" for _, reason in stale_stages(config))
        yield config, paths(config)


@pytest.fixture(scope="module")
def predictor(run) -> Predictor:
    return Predictor.load(run[1])


@pytest.fixture(scope="module")
def submission(run) -> pd.DataFrame:
    (file,) = run[1].submissions.glob("deepvoice_demo-*.csv")
    return read_table(file, ("id",))


def test_the_submission_holds_five_different_numbers_of_every_file(run, submission):
    config, _ = run
    assert submission.columns.tolist() == ["id", *config.outputs] and len(submission) == 4
    values = submission[config.outputs]
    assert all(values[output].is_unique for output in config.outputs) and values.dtypes.eq(np.float64).all()


def test_files_are_scored_by_their_windows_and_by_duration(run):
    config, places = run
    windows = read_table(places.stage("features") / "file_windows.csv", ("scene",))
    files = read_table(places.stage("scenes") / "files.csv", ("scene", "state", "noise", "event", "codec"))
    n_windows = windows.groupby("scene").size()
    n_expected = np.ceil(files.set_index("scene")["duration_s"] / 4).astype(int)  # a last one ends with the file
    assert n_windows.to_dict() == n_expected.to_dict() and n_windows.max() > 1
    assert read_array(places.stage("stack") / "files.npy").shape == (2, len(windows), 5)
    metrics = read_json(places.stage("ensemble") / "metrics.json")
    assert metrics["expected_score"] == metrics["files_score"]
    assert set(metrics["pooling"]) == set(config.outputs)
    table = collect(load_run(config))["by_duration"].set_index("files")
    assert table.loc["all", "n"] == 40 and table.loc["all", "deepvoice_score"] == pytest.approx(metrics["files_score"])
    assert {"eer_file", "eer_voice", "eer_music", "auc_voice_present", "auc_music_present"} <= set(table.columns)


def test_prediction_gives_the_answers_of_the_submission(run, predictor, submission):
    config, places = run
    table = answer(predictor, list_sources([str(places.raw / "test")])).table.set_index("id")
    assert table["n_windows"].max() > 1
    expected = submission.set_index("id")[config.outputs]
    assert np.abs(table.loc[expected.index, config.outputs] - expected).to_numpy().max() < 1e-5


def test_the_answer_for_a_file_depends_on_that_file_alone(run, predictor, tmp_path):
    config, places = run
    assert config.rules.independent_files
    files = sorted((places.raw / "test").iterdir())
    for index in range(60):  # more company, short and long
        sound = np.random.default_rng(index).normal(0, 0.1, 16000 * (1 + index % 7))
        soundfile.write(tmp_path / f"other{index:02d}.wav", sound, 16000)
    everything = list_sources([str(places.raw / "test"), str(tmp_path)])
    together = answer(predictor, everything).table.set_index("id")
    turned = answer(predictor, everything[::-1]).table.set_index("id")
    for file in files:
        alone = answer(predictor, list_sources([str(file)])).table.set_index("id")
        for table in (together, turned):
            assert np.abs(table.loc[file.stem, config.outputs] - alone.loc[file.stem, config.outputs]).max() < 1e-6


def test_a_metric_of_certain_outputs_needs_them_in_its_order(run):
    config, _ = run
    turned = config.model_copy(update={"answers": config.answers[::-1]})
    with pytest.raises(ConfigError, match="deepvoice_score is a score of the answers FILE_FAKE_PROB, VOICE"):
        run_pipeline(turned)
