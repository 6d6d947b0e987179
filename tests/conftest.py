"""What many tests share: the whole line, run once on a tiny demo in a folder of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import threadpoolctl
from filelock import FileLock

from fakevoice.core.artifacts import checksum
from fakevoice.core.config import Config, load_config
from fakevoice.core.paths import Paths, paths
from fakevoice.inference.predictor import Predictor
from fakevoice.pipeline.runner import run_pipeline
from tests.support import tiny_whisper

TINY = [
    "dataset.args.n_train=60",
    "dataset.args.n_test=16",
    "dataset.args.n_unlabeled=8",
    "scenes.n_scenes=96",
    "scenes.codecs=[mp3,vorbis]",  # opus takes several times as long
    "statistics=[rhythm,voicing,speech]",  # of nine, for speed
    "shard_size=32",
    "folds.n_folds=2",
    *(f"networks.{name}.training.{word}" for name in ("mel", "mfcc") for word in ("n_epochs=2", "batch_size=16")),
    *(f"networks.{name}.model.args.width=4" for name in ("mel", "mfcc")),
    *(f"networks.{name}.training.precision=fp32" for name in ("mel", "mfcc")),  # not what is faster at the moment
    "stacker.n_rounds=10",
    "stacker.min_rows_per_leaf=5",
    "ensemble.n_bootstrap=20",
]


@dataclass(frozen=True)
class FinishedRun:
    """A line that has been run to its end.

    Attributes:
        home: FAKEVOICE_HOME of the run.
        overrides: the key=value words that make `config` of ``demo``.
        paths: folders of the run.
    """

    home: Path
    config: Config
    overrides: list[str]
    paths: Paths

    def copy(self, folder: Path) -> Path:
        """An independent home with the same artifacts, up to date as the original is."""
        return shutil.copytree(self.home, folder / "home")

    def contents(self) -> dict[str, str]:
        """Path → checksum of every artifact; TensorBoard's events and history.csv tell the time of writing."""
        told = (".lock", "events.", "history.csv")
        files = [path for path in self.home.rglob("*") if path.is_file() and not path.name.startswith(told)]
        return {str(path.relative_to(self.home)): checksum(path) for path in files}

    def times(self) -> dict[str, int]:
        """Path → when each artifact was written, in ns."""
        return {name: (self.home / name).stat().st_mtime_ns for name in self.contents()}

    def stage_file(self, name: str) -> Path:
        """The one artifact whose path ends with `name`."""
        (found,) = self.home.rglob(name)
        return found

    def submission(self) -> Path:
        """The file that is uploaded."""
        (found,) = (self.home / "submissions").glob("demo-*.csv")
        return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run what takes longest as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long: ./run.sh test --slow runs it"))
    items.sort(key=_rank_of_file(items))


def _rank_of_file(items: list[pytest.Item]) -> Callable[[pytest.Item], int]:
    """One file makes the finished run while other workers run what does not need it, instead of waiting for it."""
    need_run = list(dict.fromkeys(item.path for item in items if "finished_run" in item.fixturenames))

    def rank(item: pytest.Item) -> int:
        if item.path not in need_run:
            return 1
        return 0 if item.path == need_run[0] else 2

    return rank


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other are slow where others compute too."""
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def models(tmp_path_factory) -> Iterator[Path]:
    """A folder of models that holds tiny random encoders under the names that configs use."""
    folder = tmp_path_factory.mktemp("models")
    for name in tiny_whisper.NAMES:
        tiny_whisper.write(folder / "openai" / name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> FinishedRun:
    """The line on a tiny demo, in this process, so that its warnings are errors; tests only read it."""
    here = tmp_path_factory.getbasetemp()
    folder = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here  # one for all workers
    home, config = folder / "finished" / "home", load_config("demo", TINY)
    with FileLock(folder / "finished.lock"), pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")  # starting workers takes longer than this work
        run_pipeline(config)
        return FinishedRun(home, config, list(TINY), paths(config))


@pytest.fixture(scope="session")
def predictor(finished_run) -> Predictor:
    """The models of the finished run."""
    return Predictor.load(finished_run.paths)


@pytest.fixture
def at_home(finished_run, monkeypatch) -> FinishedRun:
    """The finished run, with its home as FAKEVOICE_HOME during the test, for looking only."""
    monkeypatch.setenv("FAKEVOICE_HOME", str(finished_run.home))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return finished_run


@pytest.fixture
def damageable(at_home, tmp_path, monkeypatch) -> FinishedRun:
    """A copy of the finished run that is FAKEVOICE_HOME during the test, and may be damaged."""
    home = at_home.copy(tmp_path)
    monkeypatch.setenv("FAKEVOICE_HOME", str(home))
    return FinishedRun(home, at_home.config, at_home.overrides, paths(at_home.config))
