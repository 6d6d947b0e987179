"""A package holds what scoring needs and nothing else, and is listed among the submissions."""

import json
import shutil
import zipfile

import nbformat
import pytest

from fakevoice.cli.command_line import main
from fakevoice.core.artifacts import checksum
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError, SubmissionError
from fakevoice.packaging import builder, model_folder
from fakevoice.packaging.sandbox import Sandbox, this_python
from fakevoice.packaging.trial_data import write_data
from fakevoice.pipeline.submission import read_log

FORBIDDEN = ("loop", "loss", "fold_trainer", "cross_validation", "batches", "augment", "adaptation", "stages", "scenes")


@pytest.fixture(scope="module")
def home(finished_run, tmp_path_factory):
    """A copy of the finished run in which `./run.sh package` has been run."""
    folder = finished_run.copy(tmp_path_factory.mktemp("packaged"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(folder))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        assert main(["package", "--config", "demo"]) == 0
        yield folder


@pytest.fixture(scope="module")
def archive(home):
    return home / "runs" / "demo" / "default" / "package" / "dacon" / "submit.zip"


@pytest.fixture(scope="module")
def names(archive) -> list[str]:
    return zipfile.ZipFile(archive).namelist()


@pytest.fixture
def unproved(monkeypatch):
    """Packages are built without scoring the canned input, to save time."""
    monkeypatch.setattr(
        model_folder, "_fingerprint", lambda folder: {"logits": [], "modules": ["lightgbm", "pydantic"]}
    )


def test_the_root_of_the_zip_is_what_the_site_asks_for(names):
    assert {name.partition("/")[0] for name in names} == {"script.py", "requirements.txt", "model"}


def test_the_zip_holds_no_training_code_no_data_and_no_caches(names):
    for name in names:
        assert not set(name.removesuffix(".py").split("/")) & set(FORBIDDEN), name
        assert not name.endswith((".csv", ".npy", ".pyc", ".ogg")), name
    weights = [name for name in names if name.endswith("weights.safetensors")]
    assert len(weights) == 4
    assert {"model/package.json", "model/run/ensemble/config.json"} <= set(names)


def test_every_line_of_requirements_has_a_version(archive):
    lines = zipfile.ZipFile(archive).read("requirements.txt").decode().splitlines()
    assert {"lightgbm", "pydantic", "psutil"} <= {line.partition("==")[0] for line in lines}
    assert all("==" in line for line in lines)


def test_the_script_scores_in_a_new_environment_without_network(archive, finished_run, tmp_path):
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "package")
    clips = sorted((finished_run.paths.raw / "test").iterdir())[:3]
    write_data(tmp_path / "package" / "data", {clip.stem: clip for clip in clips}, finished_run.config)
    sandbox = Sandbox(tmp_path / "environment", this_python())
    sandbox.block_network()
    done = sandbox.run(["script.py"], tmp_path / "package")
    assert done.exit_code == 0, done.stderr
    assert not sandbox.attempts.exists() and done.peak_bytes > 10**8
    rows = (tmp_path / "package" / "output" / "submission.csv").read_text().splitlines()
    assert rows[0] == "id,fake,real" and len(rows) == 4
    assert not list((tmp_path / "package").rglob("__pycache__"))


def test_a_package_is_in_the_log_and_takes_the_score_of_the_leaderboard(home, archive, monkeypatch, capsys):
    monkeypatch.setenv("FAKEVOICE_HOME", str(home))
    name = f"demo-{checksum(archive)[:8]}.zip"
    log = read_log(home / "submissions").set_index("file")
    submission = next(file for file in log.index if file.endswith(".csv"))
    scores = ["config", "experiment", "oof_score", "expected_score", "expected_low", "expected_high"]
    assert log.loc[name, scores].tolist() == log.loc[submission, scores].tolist()
    assert main(["leaderboard", "add", "0.25", name, "--config", "demo"]) == 0
    assert main(["leaderboard", "--config", "demo"]) == 0
    assert any(name in line and "0.25" in line for line in capsys.readouterr().out.splitlines())


def test_the_kaggle_form_is_a_dataset_and_a_notebook_without_network(damageable, unproved, monkeypatch):
    monkeypatch.setattr(builder, "_download_wheels", lambda *given: ["no wheels were added (test)"])
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    words = ["board.site=kaggle", "board.competition=which-voices", "package.device=cuda"]
    built = builder.build(load_config("demo", words), "kaggle")
    assert {path.name for path in (built.folder / "dataset").iterdir()} == {
        "model",
        "script.py",
        "requirements.txt",
        "dataset-metadata.json",
    }
    dataset = json.loads((built.folder / "dataset" / "dataset-metadata.json").read_text())
    kernel = json.loads((built.folder / "notebook" / "kernel-metadata.json").read_text())
    assert dataset["id"] == "me/demo-default-package" and kernel["dataset_sources"] == [dataset["id"]]
    assert kernel["competition_sources"] == ["which-voices"]
    assert (kernel["enable_internet"], kernel["enable_gpu"]) == ("false", "true")
    notebook = nbformat.read(built.folder / "notebook" / kernel["code_file"], as_version=4)
    nbformat.validate(notebook)
    install, code = (cell["source"] for cell in notebook.cells)
    assert install.startswith("!pip install --no-index --find-links /kaggle/input/demo-default-package/wheels")
    compile(code, "notebook", "exec")
    assert built.name.endswith(".kaggle") and "no wheels were added (test)" in builder.summary(
        built, load_config("demo")
    )


@pytest.mark.parametrize("key", ["zip_gb", "unpacked_gb"])
def test_a_package_that_is_too_large_is_refused_and_removed(tmp_path, key):
    folder = tmp_path / "dacon"
    folder.mkdir()
    builder._check_size(folder, 1_000_000, 2_000_000, load_config("demo").package)
    server = load_config("demo", [f"package.{key}=0.0005"]).package
    with pytest.raises(SubmissionError, match=rf"the package has 0.00[12] GB, package.{key} allows 0.0005"):
        builder._check_size(folder, 1_000_000, 2_000_000, server)
    assert not folder.exists()


def test_a_package_of_the_same_run_has_the_same_hash(damageable, unproved):
    config = load_config("demo")
    first, second = (builder.build(config, "dacon").name for _ in range(2))
    assert first == second


def test_encoders_are_copied_and_found_by_a_relative_name(models, tmp_path):
    folder = shutil.copytree(models / "openai" / "whisper-base", tmp_path / "elsewhere" / "mine")
    args = {"encoder": "transformers", "checkpoint": str(folder), "layers": [1]}
    config = load_config("voices")
    config = config.model_copy(update={"features": config.features | {"other": args}})
    packaged = model_folder._copy_encoders(config, tmp_path / "encoders")
    assert packaged.features["whisper"]["checkpoint"] == "openai/whisper-base"
    assert packaged.features["other"]["checkpoint"] == "mine"
    assert packaged.features["other"]["precision"] in ("fp32", "bf16")
    for name in ("openai/whisper-base", "mine"):
        assert {path.name for path in (tmp_path / "encoders" / name).iterdir()} == {
            "config.json",
            "preprocessor_config.json",
            "model.safetensors",
        }


def test_only_plugins_of_the_config_are_copied(tmp_path):
    config = load_config("voices")
    files = {path.relative_to(tmp_path / "fakevoice").as_posix() for path in model_folder.copy_code(config, tmp_path)}
    assert {"features/encoders/transformers.py", "training/models/linear.py", "features/frames/mel.py"} <= files
    assert not files & {"training/models/aasist.py", "features/frames/cqt.py", "training/augment/spec_augment.py"}
    assert {"__init__.py", "training/models/__init__.py", "inference/code_competition.py"} <= files


def test_options_of_the_check_need_the_check(at_home, capsys):
    assert main(["package", "--n", "3", "--config", "demo"]) == 2
    assert "add --check" in capsys.readouterr().err


def test_an_unfinished_run_is_refused(damageable, capsys):
    shutil.rmtree(damageable.paths.stage("ensemble"))
    assert main(["package", "--config", "demo"]) == 1
    assert "./run.sh all first" in capsys.readouterr().err


def test_a_connection_is_refused_and_written_down(tmp_path):
    sandbox = Sandbox(tmp_path / "environment", this_python())
    sandbox.block_network()
    assert not sandbox.attempts.exists()
    done = sandbox.run(["-c", "import urllib.request as r; r.urlopen('http://192.0.2.1')"], tmp_path)
    assert done.exit_code and "no network" in done.stderr
    assert "192.0.2.1" in sandbox.attempts.read_text()


def test_an_interpreter_that_makes_no_environment_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot make an environment"):
        Sandbox(tmp_path / "environment", tmp_path / "python")
