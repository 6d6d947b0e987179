"""Builds a package of a finished run: `./run.sh package` → submit.zip for DACON, a dataset and a notebook for Kaggle.

runs/<competition>/<experiment>/package/dacon/submit.zip
runs/<competition>/<experiment>/package/kaggle/dataset/     weights, code, wheels, dataset-metadata.json
runs/<competition>/<experiment>/package/kaggle/notebook/    notebook.ipynb, kernel-metadata.json
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fakevoice.core import artifacts
from fakevoice.core.config import Config, config_hash
from fakevoice.core.config_sections import Package
from fakevoice.core.errors import SubmissionError
from fakevoice.core.paths import paths
from fakevoice.inference.predictor import Predictor
from fakevoice.packaging.model_folder import write_model
from fakevoice.packaging.requirements import requirements
from fakevoice.pipeline.submission import SCORES, log_submission

Form = Literal["dacon", "kaggle"]
SCRIPTS = Path(__file__).parent / "scripts"
ZIP, REQUIREMENTS, MODEL = "submit.zip", "requirements.txt", "model"
TIME_IN_ZIP = (1980, 1, 1, 0, 0, 0)  # equal contents give equal bytes
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")  # of Kaggle's machines
PIP_S = 600.0
USER = "INSERT_USERNAME_HERE"  # as in the files that Kaggle's client makes


@dataclass(frozen=True)
class Built:
    """A package on the disk.

    Attributes:
        form: of which site.
        folder: holds what is uploaded.
        name: its line in submissions/log.csv, with the beginning of its hash.
        size, unpacked: in bytes.
        requirements: lines of requirements.txt.
        notes: what the user has to know or do.
    """

    form: Form
    folder: Path
    name: str
    size: int
    unpacked: int
    requirements: list[str]
    notes: list[str]


def build(config: Config, form: Form) -> Built:
    """Build the package of a finished run, and add its line to submissions/log.csv.

    Args:
        config: names the competition and the experiment, and describes the server; all else is taken from the run.

    Raises:
        ArtifactError: the run is not finished, or a file of it is damaged.
        ConfigError: a package that is needed conflicts with the server.
        SubmissionError: it is larger than the server allows; nothing is left.
    """
    places = paths(config)
    predictor = Predictor.load(places)
    on_server = predictor.config.model_copy(update={"device": config.package.device})
    folder = places.run / "package" / form
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fakevoice-") as temporary:
        contents = Path(temporary)
        modules = write_model(replace(predictor, config=on_server), contents / MODEL)
        lines = requirements(modules, config.package)
        artifacts.write_text(contents / REQUIREMENTS, "".join(f"{line}\n" for line in lines))
        shutil.copyfile(SCRIPTS / "script.py", contents / "script.py")
        notes = _write_dacon(contents, folder) if form == "dacon" else _write_kaggle(contents, folder, config, lines)
        unpacked = _size(contents)
    size = _size(folder)
    _check_size(folder, size, unpacked, config.package)
    metrics = artifacts.read_json(places.stage("ensemble") / "metrics.json")
    entry = {key: f"{metrics[key]:.6f}" for key in SCORES}
    name = f"{config.competition}-{_hash(folder)}.{'zip' if form == 'dacon' else 'kaggle'}"
    entry |= {"config": config_hash(predictor.config), "experiment": config.experiment}
    log_submission(places.submissions, name, entry)
    return Built(form, folder, name, size, unpacked, lines, notes)


def summary(built: Built, config: Config) -> str:
    """What was built, and how to go on."""
    shown = built.folder / ZIP if built.form == "dacon" else built.folder
    sizes = f"{built.size / 1e6:.1f} MB, {built.unpacked / 1e6:.1f} MB unpacked"
    named = config.competition + (f" experiment={config.experiment}" if config.experiment != "default" else "")
    lines = [
        f"{shown}: {sizes}",
        f"requirements.txt: {', '.join(built.requirements) or 'nothing, the server has all'}",
        *built.notes,
        f"when the score is there: ./run.sh leaderboard add SCORE {built.name} --config {named}",
    ]
    return "\n".join(lines)


def _write_dacon(contents: Path, folder: Path) -> list[str]:
    """Pack `contents` so that its files are at the root of submit.zip; safetensors do not compress."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / ZIP, "w") as archive:
        for file in sorted(Path(entry.path) for entry in artifacts.walk(contents)):
            info = zipfile.ZipInfo(file.relative_to(contents).as_posix(), TIME_IN_ZIP)
            info.compress_type = zipfile.ZIP_STORED if file.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 2**20)
    return []


def _write_kaggle(contents: Path, folder: Path, config: Config, lines: list[str]) -> list[str]:
    """The dataset with the wheels, the notebook, and the metadata of both."""
    user = os.environ.get("KAGGLE_USERNAME") or USER
    slug = dataset_slug(config)
    notes = _download_wheels(contents, config.package) if lines else []
    if user == USER:
        notes.append(f"set KAGGLE_USERNAME, or replace {USER} in dataset-metadata.json and kernel-metadata.json")
    if not config.board.competition:
        notes.append("board.competition is empty: set it to the name in the competition's address")
    dataset = {"title": slug, "id": f"{user}/{slug}", "licenses": [{"name": "other"}]}
    artifacts.write_json(contents / "dataset-metadata.json", dataset)
    shutil.copytree(contents, folder / "dataset")
    notebook = folder / "notebook"
    artifacts.write_json(notebook / "notebook.ipynb", notebook_of(config, bool(lines)))
    kernel = {
        "id": f"{user}/{slug}-inference",
        "title": f"{slug}-inference",
        "code_file": "notebook.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": "true",
        "enable_gpu": "false" if config.package.device == "cpu" else "true",
        "enable_internet": "false",
        "dataset_sources": [f"{user}/{slug}"],
        "competition_sources": [config.board.competition] if config.board.competition else [],
    }
    artifacts.write_json(notebook / "kernel-metadata.json", kernel)
    return [
        *notes,
        f"upload: kaggle datasets create -p {folder / 'dataset'} --dir-mode zip; kaggle kernels push -p {notebook}",
    ]


def dataset_slug(config: Config) -> str:
    """Name of the dataset in Kaggle's addresses."""
    return f"{config.competition}-{config.experiment}-package".lower().replace("_", "-").replace(".", "-")


def notebook_of(config: Config, installs: bool) -> dict:
    """The notebook, as .ipynb holds it: one cell that installs the wheels, one that writes the submission."""
    source = f"/kaggle/input/{dataset_slug(config)}"
    install = f"!pip install --no-index --find-links {source}/wheels -r {source}/{REQUIREMENTS}"
    code = (
        "import sys\n"
        "from pathlib import Path\n\n"
        f'sys.path.insert(0, "{source}/model/code")\n'
        "from fakevoice.inference.code_competition import main\n\n"
        f'data = Path("/kaggle/input/{config.board.competition or config.competition}")\n'
        f'code = main(Path("{source}/model"), data, Path("/kaggle/working/submission.csv"))\n'
        'assert code == 0, "see the message above"'
    )
    cells = [install, code] if installs else [code]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell{i}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": text,
            }
            for i, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _download_wheels(contents: Path, server: Package) -> list[str]:
    """Download the wheels of requirements.txt for the server's Python; says what is missing instead of failing."""
    there = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", server.python, *there, "--dest", str(contents / "wheels")]
    command += ["-r", str(contents / REQUIREMENTS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S)
        reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"pip has not answered for {PIP_S:.0f} s"
    if not reason:
        return []
    return [f"no wheels were added ({reason}): pip download them into dataset/wheels where there is a package index"]


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in artifacts.walk(folder))


def _check_size(folder: Path, size: int, unpacked: int, server: Package) -> None:
    limits = (("package.zip_gb", size, server.zip_gb), ("package.unpacked_gb", unpacked, server.unpacked_gb))
    for key, n_bytes, limit_gb in limits:
        if n_bytes > limit_gb * 1e9:
            shutil.rmtree(folder)
            raise SubmissionError(f"the package has {n_bytes / 1e9:.3g} GB, {key} allows {limit_gb:g}")


def _hash(folder: Path) -> str:
    """Eight hexadecimal digits: of submit.zip those of its SHA-256."""
    if (folder / ZIP).is_file():
        return artifacts.checksum(folder / ZIP)[:8]
    files = sorted(Path(entry.path) for entry in artifacts.walk(folder))
    return hashlib.sha256(json.dumps(artifacts.describe(files, folder)).encode()).hexdigest()[:8]
