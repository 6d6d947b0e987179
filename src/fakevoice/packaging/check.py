"""Checks a package before it costs a submission: `./run.sh package --check`.

It is unpacked into an empty folder and run in a new environment without network on read-only data: on test clips and
difficult files, on some of them alone and in another order, and in every case that must end without a submission.
"""

import json
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.core import artifacts
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError, SubmissionError
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.inference.code_competition import FACTS, MAX_UNREADABLE, RUN
from fakevoice.inference.inputs import Source
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import answer
from fakevoice.packaging.builder import MODEL, REQUIREMENTS, ZIP, Built, dataset_slug
from fakevoice.packaging.sandbox import SCRIPTS, Finished, Sandbox
from fakevoice.packaging.trial_data import LONG, Trial, make_trial, make_writable, write_data

SAME = 1e-6  # largest difference of a probability between two ways to score one file
LARGEST_DIFFERENCE = 5e-3  # from `predict`; other library versions cause up to 8e-4, since trees have thresholds
N_ALONE = 4  # test clips that are scored alone
N_TOGETHER = 64  # files of the run in another order
SCORED = re.compile(r"scored in ([\d.]+) s")


@dataclass
class Report:
    """Lines of a check, and what failed."""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, holds: bool, text: str) -> None:
        """A line about something that must hold."""
        self.lines.append(f"{'ok    ' if holds else 'FAILED'}  {text}")
        if not holds:
            self.failures.append(text)

    def note(self, text: str) -> None:
        """A line about something that is only reported."""
        self.lines.append(f"        {text}")


@dataclass(frozen=True)
class _Unpacked:
    """A package as it is unpacked on the server."""

    folder: Path
    model: Path
    data: Path
    out: Path
    command: list[str]


def check(config: Config, built: Built, base: Path, n_clips: int | None = None) -> Report:
    """Run a package as a server would.

    Args:
        config: as of `builder.build`.
        base: interpreter whose packages stand for those of the server.
        n_clips: test clips; all if None.

    Raises:
        ArtifactError: no test clip can be read, or the run is not finished.
        SubmissionError: the package does not start; the message ends with what it printed.
    """
    report = Report()
    predictor = Predictor.load(paths(config))
    folder = Path(tempfile.mkdtemp(prefix="fakevoice-check-"))
    read_only: list[Path] = []
    try:
        trial = make_trial(_test_clips(config, n_clips), folder / "made", predictor.config)
        place = _unpack(built, config, folder)
        sandbox = Sandbox(folder / "environment", base)
        _install(sandbox, built, place, config, report)
        read_only.append(write_data(place.data, trial.files, predictor.config))
        before = artifacts.listing(place.data)
        done = sandbox.run(place.command, place.folder)
        if done.exit_code or not place.out.is_file():
            raise SubmissionError(f"the package ended with exit code {done.exit_code}:\n{done.stderr[-3000:]}")
        answers = _answers(place.out, predictor.config)
        report.add(artifacts.listing(place.data) == before, "data/ is unchanged")
        _check_answers(answers, trial, predictor, done, report)
        cases = _cases(place, trial, folder / "cases", predictor.config)
        read_only += [Path(case["data"]) for case in cases.values() if Path(case["data"]) != place.data]
        results = _run_cases(sandbox, place, cases, folder)
        _check_cases(cases, results, answers, predictor.config, report)
        _check_time(done, results, len(trial.files), built, config, report)
        report.add(not sandbox.attempts.is_file(), "no attempt to open a connection")
    finally:
        make_writable(path for path in read_only if path.is_dir())
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _test_clips(config: Config, n_most: int | None) -> list[Path]:
    """Readable files from all over the test; training clips where there is no test."""
    places = paths(config)
    clips = read_table(places.stage("prepare") / "clips.csv", CLIP_TEXT)
    readable = clips[(clips["error"] == "") & ~clips["path"].str.contains("#t=", regex=False)]
    if readable.empty:
        raise ArtifactError(f"{places.run}: no clip is a whole file that can be read")
    test = readable[readable["split"] == "test"]
    chosen = test if len(test) else readable
    n_clips = min(n_most or len(chosen), len(chosen))
    rows = np.unique(np.linspace(0, len(chosen) - 1, n_clips).round().astype(int))
    return [places.raw / path for path in chosen["path"].iloc[rows]]


def _unpack(built: Built, config: Config, folder: Path) -> _Unpacked:
    if built.form == "dacon":
        root = folder / "package"
        with zipfile.ZipFile(built.folder / ZIP) as archive:
            archive.extractall(root)
        return _Unpacked(root, root / MODEL, root / "data", root / "output" / "submission.csv", ["script.py"])
    kaggle = folder / "kaggle"
    root = kaggle / "input" / dataset_slug(config)
    shutil.copytree(built.folder / "dataset", root)
    notebook = artifacts.read_json(built.folder / "notebook" / "notebook.ipynb")
    code = [cell["source"] for cell in notebook["cells"] if not cell["source"].startswith("!")]
    artifacts.write_text(folder / "notebook.py", "\n".join(code).replace("/kaggle/", f"{kaggle}/"))
    (kaggle / "working").mkdir()
    data = kaggle / "input" / (config.board.competition or config.competition)
    out = kaggle / "working" / "submission.csv"
    return _Unpacked(root, root / MODEL, data, out, [str(folder / "notebook.py")])


def _install(sandbox: Sandbox, built: Built, place: _Unpacked, config: Config, report: Report) -> None:
    server = config.package
    if built.requirements:
        wheels = None if built.form == "dacon" else place.folder / "wheels"
        seconds, reason = sandbox.install(place.folder / REQUIREMENTS, wheels)
        limit = f"limit {server.install_minutes:g} min"
        if reason:
            report.note(f"installation not measured ({limit}), the packages of {sandbox.base} are used: {reason}")
        else:
            report.add(seconds <= 60 * server.install_minutes, f"installation takes {seconds:.1f} s ({limit})")
    sandbox.block_network()
    versions = sandbox.versions()
    other = [
        f"{name} {versions.get(name, 'missing')} instead of {version}"
        for name, version in server.preinstalled.items()
        if versions.get(name) != version
    ]
    report.note(f"environment: a new one on the packages of {sandbox.base}")
    report.note(f"not as on the server: {', '.join(other) or 'nothing'}")


def _answers(path: Path, config: Config) -> pd.DataFrame:
    """Answers (n_files, n_outputs), indexed by id."""
    return read_table(path, ("id",)).set_index("id")[config.outputs]


def _check_answers(answers: pd.DataFrame, trial: Trial, predictor: Predictor, done: Finished, report: Report) -> None:
    report.add(list(answers.index) == list(trial.files), f"{len(answers)} rows in the order of the sample submission")
    sources = [Source(id, file) for id, file in (trial.clips | trial.difficult).items()]
    expected = answer(predictor, sources).table.set_index("id")[predictor.config.outputs]
    difference = (answers.loc[expected.index] - expected).abs()
    clips = difference.loc[list(trial.clips)].to_numpy().max()
    others = difference.loc[list(trial.difficult)].to_numpy().max()
    text = f"largest difference from predict: {clips:.1e} on {len(trial.clips)} test clips, {others:.1e} on"
    report.add(max(clips, others) <= LARGEST_DIFFERENCE, f"{text} {', '.join(trial.difficult)}")
    prior = predictor.blend.prior
    has_prior = np.abs(answers.loc[list(trial.unreadable)].to_numpy() - prior).max() < 1e-3
    counted = f"{len(trial.unreadable)} of {len(answers)} files could not be read" in done.stderr
    report.add(has_prior and counted, f"{', '.join(trial.unreadable)} get the prior and are counted on standard error")


def _cases(place: _Unpacked, trial: Trial, folder: Path, config: Config) -> dict[str, dict[str, str]]:
    """Runs after the first one: by name the model, the data and the CSV."""
    scored = trial.clips | trial.difficult
    alone = [*list(trial.clips)[:N_ALONE], *trial.difficult]
    data = {f"alone: {id}": {id: scored[id]} for id in alone}
    together = [*trial.difficult, *trial.clips, *trial.padding][:N_TOGETHER]
    data["another order"] = {id: trial.files[id] for id in reversed(together)}
    first, second = list(trial.files.values())[:2]
    damaged = next(iter(trial.unreadable.values()))
    data["constant answers"] = {"a": first, "b": first}
    data["unreadable files"] = {"a": first, "b": second, "c": damaged}
    cases = {}
    for index, (name, files) in enumerate(data.items()):
        written = write_data(folder / f"data{index}", files, config)
        cases[name] = {"model": str(place.model), "data": str(written), "out": str(folder / f"out{index}.csv")}
    for name, change in (("missing weights", _remove), ("truncated weights", _cut), ("other weights", _exchange)):
        model = folder / name.replace(" ", "-")
        shutil.copytree(place.model, model, copy_function=os.link)
        change(model)
        cases[name] = {"model": str(model), "data": str(place.data), "out": str(folder / f"{model.name}.csv")}
    return cases


def _weights(model: Path) -> tuple[Path, Path]:
    """The same file of two folds."""
    for pattern in ("train/*/fold{}/weights.safetensors", "stack/fold{}-output0.txt"):
        first, second = (sorted((model / RUN).glob(pattern.format(fold))) for fold in (0, 1))
        if first:
            return first[0], second[0]
    raise SubmissionError(f"{model} holds no weights")


def _remove(model: Path) -> None:
    _weights(model)[0].unlink()


def _cut(model: Path) -> None:
    file, _ = _weights(model)
    content = file.read_bytes()
    file.unlink()  # a link to the file of the package
    file.write_bytes(content[: len(content) // 2])


def _exchange(model: Path) -> None:
    """Use the weights of one fold twice, with checksums that fit."""
    first, second = _weights(model)
    first.unlink()
    shutil.copyfile(second, first)
    manifest = next(parent for parent in first.parents if (parent / "manifest.json").is_file()) / "manifest.json"
    outputs = artifacts.read_json(manifest)["outputs"] | artifacts.describe([first], model)
    artifacts.write_json(manifest, {"outputs": outputs})
    facts = artifacts.read_json(model / FACTS)
    facts["files"] |= artifacts.describe([first, manifest], model)
    artifacts.write_json(model / FACTS, facts)


def _run_cases(sandbox: Sandbox, place: _Unpacked, cases: dict, folder: Path) -> dict[str, dict]:
    given, results = folder / "cases.json", folder / "results.json"
    given.write_text(json.dumps(cases), encoding="utf-8")
    done = sandbox.run([SCRIPTS / "probe.py", place.model / "code", given, results], folder)
    if done.exit_code:
        raise SubmissionError(f"the package ended with exit code {done.exit_code}:\n{done.stderr[-3000:]}")
    return artifacts.read_json(results)


def _check_cases(cases: dict, results: dict, answers: pd.DataFrame, config: Config, report: Report) -> None:
    differences = {"alone": 0.0, "another order": 0.0}
    n_files = dict.fromkeys(differences, 0)
    for name, result in results.items():
        out = Path(cases[name]["out"])
        kind = name.partition(":")[0]
        if kind not in differences:
            message = result["stderr"].strip().splitlines()[-1]
            holds = result["exit_code"] != 0 and not out.is_file()
            report.add(holds, f"{name}: exit code {result['exit_code']}, no submission. {message}")
            continue
        if result["exit_code"]:
            report.add(False, f"{name}: exit code {result['exit_code']}. {result['stderr'].strip()}")
            continue
        found = _answers(out, config)
        largest = (found - answers.loc[found.index]).abs().to_numpy().max()
        differences[kind] = max(differences[kind], largest)
        n_files[kind] += len(found)
    for kind, largest in differences.items():
        text = f"{kind}: {n_files[kind]} files get the same answers, largest difference {largest:.1e}"
        report.add(largest <= SAME, text)


def _check_time(done: Finished, results: dict, n_files: int, built: Built, config: Config, report: Report) -> None:
    server = config.package
    scoring_s = float(SCORED.search(done.stderr)[1])
    total_s = done.seconds - scoring_s + scoring_s / n_files * server.files
    cores = os.cpu_count()
    text = f"{scoring_s / n_files:.3f} s per file on {cores} cores, {total_s / 60:.1f} min for {server.files} files"
    report.add(total_s <= 60 * server.inference_minutes, f"{text} (limit {server.inference_minutes:g} min)")
    report.note(
        f"start {done.seconds - scoring_s:.1f} s; a file of 60 s alone {results[f'alone: {LONG}']['seconds']:.1f} s"
    )
    report.note(f"memory of all processes together: {done.peak_bytes / 1e9:.2f} GB")
    zip_text = f"{built.size / 1e6:.1f} MB (limit {server.zip_gb:g} GB)"
    report.note(f"size {zip_text}, unpacked {built.unpacked / 1e6:.1f} MB (limit {server.unpacked_gb:g} GB)")
    report.note(f"at most {MAX_UNREADABLE:.0%} of the files may be unreadable")
