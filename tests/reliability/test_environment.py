"""run.sh makes an environment, keeps it up to date, and recovers by itself where it is incomplete, copied or moved."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fakevoice.cli import environment
from fakevoice.core import library_caches
from fakevoice.core.config import REPOSITORY, config_names
from tests.support.checkouts import Checkout, make_checkout

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PYTEST = "-n auto --dist loadfile --no-loadscope-reorder"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="run.sh is a shell script")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Checkout:
    """A checkout with an environment, only copied by tests."""
    checkout = make_checkout(tmp_path_factory.mktemp("made"))
    assert checkout.run("status").returncode == 0
    return checkout


@pytest.fixture
def checkout(made, tmp_path) -> Checkout:
    """A checkout with an environment of its own: one that was copied."""
    copied = Checkout(tmp_path / "a copy", made.python)
    shutil.copytree(made.folder, copied.folder, symlinks=True)
    return copied


def origin(checkout: Checkout, python: str = ".venv/bin/python") -> Path:
    """The file that ``import fakevoice`` finds without run.sh, as in a notebook."""
    command = [checkout.folder / python, "-c", "import fakevoice; print(fakevoice.__file__)"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True)
    return Path(done.stdout.strip())


def sentence(done: subprocess.CompletedProcess) -> str:
    """The only line that a failed command printed."""
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    return line


# An environment is made once.


def test_a_new_checkout(made, tmp_path):
    fresh = make_checkout(tmp_path)
    assert fresh.asked("status", "--verify") == [
        "install --quiet --disable-pip-version-check --constraint .venv/.versions -r requirements.txt",
        "src/fakevoice/__main__.py status --verify",
    ]
    assert fresh.asked("status") == ["src/fakevoice/__main__.py status"]
    assert origin(fresh) == fresh.folder / "src" / "fakevoice" / "__init__.py"


def test_another_lock_is_installed(checkout):
    with (checkout.folder / "requirements.txt").open("a") as file:
        file.write("another==1.0\n")
    assert "-r requirements.txt" in checkout.asked("status")[0]
    assert len(checkout.asked("status")) == 1


def test_versions_are_without_hashes(checkout):
    """pip checks hashes as soon as it finds one, and refuses a local build of PyTorch then."""
    checkout.run("install", "tune")
    versions = (checkout.folder / ".venv" / ".versions").read_text()
    assert "torch==2.13.0\n" in versions and "hash" not in versions and "\\" not in versions
    locked = (REPOSITORY / "constraints.txt").read_text()
    assert versions.splitlines() == [name.strip() for name in re.findall(r"^([a-z0-9].*) \\$", locked, re.MULTILINE)]


@pytest.mark.parametrize("command", ["bench", "notebooks", "export", "test"])
def test_extras_are_installed_on_first_use(checkout, command):
    first = checkout.asked(command, "word")
    assert "install" in first[0] and "==" in first[0]
    assert len(checkout.asked(command, "word")) == 1
    with (checkout.folder / "constraints.txt").open("a") as file:
        file.write("# another\n")
    assert len(checkout.asked(command, "word")) == 2


def test_tests_are_started_with_all_extras(checkout):
    installed, ran = checkout.asked("test", "-k", "name")
    assert ran.endswith(f"pytest/__main__.py {PYTEST} -k name")
    for package in ("pytest==", "mlflow==", "dask=="):
        assert f" {package}" in installed


@pytest.mark.parametrize(("command", "word"), [("bench", "--help"), ("notebooks", "-h"), ("export", "--help")])
def test_help_waits_for_no_extras(checkout, command, word):
    assert len(checkout.asked(command, word)) == 1
    assert len(checkout.asked(command, f"{word}ful")) == 2


def test_an_unknown_extra(checkout):
    done = checkout.run("install", "clustr")
    assert sentence(done).startswith("fakevoice: no extra 'clustr'; there are cluster, s3,")


def test_extras_include_others():
    extras = {"a": ["one==1"], "b": ["fakevoice[a, c]", "two==2"], "c": ["three==3"]}
    assert [*environment.packages_of("b", extras)] == ["one==1", "three==3", "two==2"]


# Where it is started from.


@pytest.mark.parametrize("shell", [["sh"], ["bash"], []])
def test_by_a_shell_or_through_links(checkout, tmp_path, shell):
    link, relative = tmp_path / "bin" / "fv", tmp_path / "bin" / "link"
    link.parent.mkdir()
    link.symlink_to(checkout.folder / "run.sh")
    relative.symlink_to("fv")
    for script in (checkout.folder / "run.sh", link, relative):
        done = checkout.run("status", script=[*shell, script])
        assert done.returncode == 0, done.stderr
        assert f"ran {checkout.folder}/src/fakevoice/__main__.py status" in done.stdout


def test_sh_in_the_folder_itself(checkout):
    done = subprocess.run(["sh", "run.sh", "status"], cwd=checkout.folder, capture_output=True, text=True)
    assert done.returncode == 0 and "ran" in done.stdout and not done.stderr


# A copied or moved project.


@pytest.mark.parametrize("move", [False, True])
def test_a_copy_runs_its_own_code(made, checkout, tmp_path, move):
    if move:
        checkout.folder = checkout.folder.rename(tmp_path / "moved")
    scripts = checkout.folder / ".venv" / "bin"
    (scripts / "old-tool").write_text("#!/somewhere/python\nprint()\n")
    assert origin(checkout) == checkout.folder / "src" / "fakevoice" / "__init__.py"  # before run.sh has seen it
    (ran,) = checkout.asked("status", PYTHONPATH=str(made.folder / "src"))
    assert ran == "src/fakevoice/__main__.py status"
    for name in ("tool", "old-tool", "activate"):
        text = (scripts / name).read_text()
        assert str(checkout.folder) in text and str(made.folder) not in text
    assert subprocess.run([scripts / "tool"]).returncode == 1  # sys.exit of a version: it was started


# An incomplete environment.


def is_killed(venv: Path) -> None:
    (venv / ".installing").write_text("4194304999\n")  # larger than any process id


def without_pip(venv: Path) -> None:
    (pip,) = venv.glob("lib/python*/site-packages/pip")
    shutil.rmtree(pip)


def dangling(venv: Path) -> None:
    for name in ("python", "python3"):
        (venv / "bin" / name).unlink(missing_ok=True)
        (venv / "bin" / name).symlink_to("/nowhere/python3")


def no_python(venv: Path) -> None:
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").write_text("not a program")


def upgraded(venv: Path) -> None:
    (library,) = venv.glob("lib/python*")
    library.rename(library.with_name("python3.1"))


def empty(venv: Path) -> None:
    shutil.rmtree(venv)
    venv.mkdir()


@pytest.mark.parametrize("damage", [is_killed, without_pip, dangling, no_python, upgraded, empty])
def test_an_incomplete_environment_is_made_again(checkout, damage):
    damage(checkout.folder / ".venv")
    done = checkout.run("status")
    assert done.returncode == 0 and "ran" in done.stdout
    assert ".venv is incomplete: making it again" in done.stderr
    assert len(checkout.asked("status")) == 1


def test_a_link_to_nothing_is_replaced(checkout, tmp_path):
    shutil.rmtree(checkout.folder / ".venv")
    (checkout.folder / ".venv").symlink_to(tmp_path / "nowhere")
    assert len(checkout.asked("status")) == 2


def test_another_run_that_installs_is_waited_for(checkout):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        marker = checkout.folder / ".venv" / ".installing"
        marker.write_text(f"{other.pid}\n")
        command = [checkout.folder / "run.sh", "status"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            assert waiting.stderr.readline() == f"waiting for process {other.pid}, which installs into .venv\n"
            marker.unlink()
            assert "ran" in waiting.communicate(timeout=20)[0]
        other.communicate(b"\n")


def test_a_failed_installation_is_not_taken_for_a_finished_one(checkout):
    (pip,) = (checkout.folder / ".venv").glob("lib/python*/site-packages/pip")
    (pip / "__main__.py").write_text("raise SystemExit(1)")
    assert checkout.run("install", "tune").returncode == 1
    assert "making it again" in checkout.run("status").stderr


# The Python that it is made from.


@pytest.mark.parametrize("python", ["true", "/nowhere/python", "echo complete; true", "/"])
def test_python_that_is_none(tmp_path, python):
    done = make_checkout(tmp_path).run("status", PYTHON=python)
    assert sentence(done) == f"fakevoice: PYTHON={python} is not Python 3.11 or newer"


def test_an_old_python(tmp_path):
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 0\n")
    old.chmod(0o755)
    assert "is not Python 3.11 or newer" in sentence(make_checkout(tmp_path).run("status", PYTHON=str(old)))


def test_no_python_at_all(tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "readlink", "cat"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    done = make_checkout(tmp_path).run("status", PYTHON="", PATH=str(tmp_path / "bin"))
    assert sentence(done).startswith("fakevoice: Python 3.11 or newer is needed")


def test_without_ensurepip(tmp_path):
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\necho no ensurepip\n")
    bare.chmod(0o755)
    told = sentence(make_checkout(tmp_path).run("status", PYTHON=str(bare)))
    assert told.startswith(f"fakevoice: {bare} has no ensurepip: apt-get install python3-venv")


# Libraries that want a home directory or libsndfile.


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    for variable in library_caches.FOLDERS:
        monkeypatch.setenv(variable, "")  # so that what the function sets is taken back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    return monkeypatch


def test_caches_stay_where_they_are_in_a_usual_home(surroundings):
    library_caches.use_writable_folders()
    assert "NUMBA_CACHE_DIR" not in os.environ and "MPLCONFIGDIR" not in os.environ


def test_without_a_home_caches_are_kept_in_the_project(surroundings, tmp_path):
    surroundings.setenv("HOME", str(Path(__file__) / "no folder"))  # root may write to any real one
    surroundings.setenv("NUMBA_CACHE_DIR", "a choice of the user")
    library_caches.use_writable_folders()
    assert os.environ["NUMBA_CACHE_DIR"] == "a choice of the user"
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / ".cache" / "matplotlib")


def test_without_a_named_home_the_same_folder_is_home(surroundings, tmp_path):
    surroundings.setattr(library_caches.os.path, "expanduser", lambda path: path)  # HOME unset, no passwd entry
    library_caches.use_writable_folders()
    assert os.environ["HOME"] == str(tmp_path / ".cache")


def test_without_any_writable_folder_caches_are_temporary(surroundings):
    for variable in ("HOME", "FAKEVOICE_HOME"):
        surroundings.setenv(variable, str(Path(__file__) / "no folder"))
    library_caches.use_writable_folders()
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert os.access(folder, os.W_OK) and folder.stat().st_mode & 0o77 == 0
    folder.rmdir()


@pytest.mark.parametrize("command", ["doctor", "predict"])
def test_without_libsndfile(at_home, tmp_path, command):
    (tmp_path / "soundfile.py").write_text("raise OSError(\"cannot load library 'libsndfile.so'\")")
    words = {"doctor": ["doctor"], "predict": ["predict", "clip.wav", "--config", "demo"]}[command]
    paths = os.pathsep.join([str(tmp_path), str(REPOSITORY / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "fakevoice", *words],
        env=os.environ | {"PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "apt-get install libsndfile1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if command == "predict":
        assert sentence(done).startswith("fakevoice: libsndfile, which decodes audio, cannot be loaded")


# An installed package, and the repository on other systems.


def test_an_installed_package_has_its_configs(tmp_path):
    """As pip lays out the wheel that pyproject.toml describes."""
    site = tmp_path / "lib" / "python" / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "src" / "fakevoice", site / "fakevoice", ignore=ignored)
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in included.items():
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / source).is_dir() else shutil.copy
        copy(REPOSITORY / source, site / target)
    lines = [
        "from fakevoice.core import config, paths",
        "print(config.CONFIGS, paths.home(), *config.config_names())",
        "config.load_config('dacon', ['preset=large'])",
        "assert (config.REPOSITORY / 'requirements.txt').is_file()",
    ]
    known = {name: value for name, value in os.environ.items() if name != "FAKEVOICE_HOME"}
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=known | {"PYTHONPATH": str(site)},
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
    )
    configs = site / "fakevoice" / "shipped" / "configs"
    assert done.stdout.split() == [str(configs), str(work), *config_names()]


def test_git_keeps_bytes_and_line_ends():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a clone")
    names = ["run.sh", ".ci/run", "docs/lock.sh", "src/fakevoice/__init__.py", "folds.csv", "configs/demo.yaml"]
    command = ["git", "check-attr", "text", "eol", "--", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    told = re.findall(r"^(.+): (text|eol): (.+)$", done.stdout, re.MULTILINE)
    found = {(name, attribute): value for name, attribute, value in told}
    for name in names[:4]:
        assert found[name, "eol"] == "lf"
    for name in names[4:]:
        assert found[name, "text"] == "unset"
