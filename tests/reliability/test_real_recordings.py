"""A small line on real recordings, where there are any: other lengths, levels and codecs than the demo's."""

import numpy as np
import pytest

from fakevoice.core.config import load_config
from fakevoice.core.paths import data_folder, paths
from fakevoice.core.tables import read_table
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.pipeline.runner import run_pipeline

REAL = data_folder() / "voices"
SMALL = [
    "scenes.n_scenes=96",
    "folds.n_folds=2",
    "shard_size=64",
    *(
        f"networks.{name}.training.{word}"
        for name in ("mel", "mfcc", "probe", "probe_tiny")
        for word in ("n_epochs=1", "batch_size=16")
    ),
    *(f"networks.{name}.model.args.width=4" for name in ("mel", "mfcc")),
    "stacker.n_rounds=10",
    "stacker.min_rows_per_leaf=5",
    "ensemble.n_bootstrap=20",
]

pytestmark = pytest.mark.skipif(
    not (REAL / "train.csv").is_file(), reason=f"no recordings in {REAL}; FAKEVOICE_DATA says where they are"
)


@pytest.fixture
def voices(tmp_path):
    """A folder of 120 training clips of all sorts, 24 test clips and 10 unlabeled ones, linked."""
    raw = tmp_path / "data" / "voices"
    (raw / "unlabeled_data").mkdir(parents=True)
    for split in ("train", "test"):
        (raw / split).symlink_to(REAL / split)
    for file in sorted((REAL / "unlabeled_data").iterdir())[:10]:
        (raw / "unlabeled_data" / file.name).symlink_to(file)
    meta = read_table(REAL / "train_meta.csv", ("id", "group", "source", "system", "license"))
    train = read_table(REAL / "train.csv", ("id", "path", "label")).merge(meta[["id", "group"]], on="id")
    some = train.sample(frac=1, random_state=0).groupby(["label", "group"]).head(3).groupby("label").head(60)
    some[["id", "path", "label"]].to_csv(raw / "train.csv", index=False)
    some[["id", "group"]].to_csv(raw / "train_meta.csv", index=False)
    for name in ("test", "sample_submission"):
        read_table(REAL / f"{name}.csv", ("id", "path"))[:24].to_csv(raw / f"{name}.csv", index=False)
    return raw


def test_the_line_on_real_recordings(voices, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    config = load_config("voices", SMALL)
    assert run_pipeline(config)
    assert not run_pipeline(config)
    (file,) = paths(config).submissions.glob("voices-*.csv")
    submission = read_table(file, ("id",))
    assert submission["id"].tolist() == read_table(voices / "sample_submission.csv", ("id",))["id"].tolist()
    answers = answer(Predictor.load(paths(config)), list_sources([str(voices / "test.csv")]))
    table = answers.table
    assert table["id"].tolist() == submission["id"].tolist()
    assert np.abs(table[["fake", "real"]] - submission[["fake", "real"]]).to_numpy().max() < 1e-5
    assert answers.unreadable.empty
