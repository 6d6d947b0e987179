"""Nothing asks the network at run time but what a user has asked for in so many words."""

import ast
import re

import pytest
import yaml

from fakevoice.core.config import CONFIGS, REPOSITORY, load_config
from tests.support.alone import run_alone

PACKAGE = REPOSITORY / "src" / "fakevoice"
MODULES = sorted(file.relative_to(PACKAGE).with_suffix("").as_posix() for file in PACKAGE.rglob("*.py"))
IMPORTS = """
import importlib, pkgutil, fakevoice
for module in pkgutil.walk_packages(fakevoice.__path__, "fakevoice."):
    if not module.name.endswith(("__main__", ".run_model")):
        importlib.import_module(module.name)
"""
COMMANDS = """
import fakevoice.serve.app  # which ./run.sh serve starts
from fakevoice.cli.command_line import main
for words in {commands}:
    assert main(words) == 0, words
"""
ASKS = """
import socket
from fakevoice.parallel.pool import run_parallel
for address in ("192.0.2.1", "127.0.0.1"):  # one of no machine, kept for examples, and this one
    list(run_parallel(socket.gethostbyname, [address] * 2, "", "", 2))
"""
# What can reach another machine, and the module that makes it do so only when it is told to.
CLIENTS = {
    "aiohttp": set(),
    "botocore": set(),
    "boto3": set(),
    "distributed": {"parallel/dask_engine"},  # engine=dask
    "fsspec": {"core/remote"},  # FAKEVOICE_DATA or data.root is a URL
    "ftplib": set(),
    "http": set(),
    "httpx": set(),
    "huggingface_hub": {"core/models"},  # ./run.sh fetch-models
    "kaggle": set(),
    "mlflow": {"pipeline/tracking"},  # tracking=mlflow
    "requests": set(),
    "s3fs": set(),
    "smtplib": set(),
    "socket": {"parallel/torchrun", "serve/app"},  # the name of this machine; a port of it
    "timm": {"training/fold_trainer", "training/models/timm_backbone"},  # SyncBatchNorm; architectures
    "torch.hub": set(),
    "transformers": {"core/third_party", "features/encoders/transformers"},  # from folders
    "urllib": {"core/remote", "serve/access"},  # parts of an address, which ask nobody
    "urllib3": set(),
    "webbrowser": set(),
    "xmlrpc": set(),
}


def imported(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_who_could_ask_the_network():
    imports = {module: imported(module) for module in MODULES}
    for client, expected in CLIENTS.items():
        asks = re.compile(rf"{re.escape(client)}(\.|$)")
        assert {module for module in MODULES if any(map(asks.match, imports[module]))} == expected, client


def values(node: object, keys: tuple[str, ...]) -> list:
    """What stands for these keys, however deep."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    own = [node[key] for key in keys if key in node] if isinstance(node, dict) else []
    return own + [value for part in inner for value in values(part, keys)]


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_config_of_the_project_asks_for_it(file):
    words = ("root", "engine", "scheduler", "tracking", "resume_from")
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert values(config, words) == []


def test_nor_does_a_default():
    config = load_config("demo")
    assert (config.engine, config.scheduler, config.tracking, config.data.root) == ("local", "", "none", "")


def test_the_guard_bites_in_a_worker_too(tmp_path):
    with pytest.raises(AssertionError, match=r"no network in this test: socket\.gethostbyname"):
        run_alone(["-c", ASKS], tmp_path)
    attempts = (tmp_path / "attempts.txt").read_text().splitlines()
    assert set(attempts) == {"socket.gethostbyname 192.0.2.1"}


def test_what_follows_a_run_asks_nobody(damageable, tmp_path):
    """The line itself: tests/reliability/test_determinism.py."""
    clips = damageable.home / "data" / "demo" / "test"
    commands = [
        ["predict", str(clips), "--out", str(tmp_path / "scores.csv"), "--config", "demo"],
        ["report", "--config", "demo", *damageable.overrides],
    ]
    said, attempts = run_alone(["-c", COMMANDS.format(commands=commands)], tmp_path, LOKY_MAX_CPU_COUNT="1")
    assert attempts == [], said
    assert (tmp_path / "scores.csv").read_text().count("\n") == 1 + len(list(clips.iterdir()))


@pytest.mark.slow
def test_importing_any_module_asks_nobody(tmp_path):
    assert run_alone(["-c", IMPORTS], tmp_path) == ("", [])


@pytest.mark.slow
def test_export_asks_nobody(damageable, tmp_path):
    command = ["-m", "fakevoice", "export", "--config", "demo", *damageable.overrides]
    said, attempts = run_alone(command, tmp_path)
    assert attempts == [], said


@pytest.mark.slow
def test_missing_pretrained_weights_are_not_downloaded(tmp_path):
    command = """
from fakevoice.core.errors import ConfigError
from fakevoice.training.models.{} import build
try:
    build((64, 64), 2, {}="no/such")
except ConfigError as error:
    print(error)
"""
    for name, argument in (("timm_backbone", "weights"), ("encoder", "checkpoint")):
        code = command.format(name, argument)
        said, attempts = run_alone(["-c", code], tmp_path)
        assert "fetch-models" in said and attempts == []
