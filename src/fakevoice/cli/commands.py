"""What each command does; `cli` reads the words.

Each function takes the parsed options and returns an exit code, or nothing for 0. Nothing heavy is imported before it
is known to be needed.
"""

import math
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

from fakevoice.cli.arguments import competition_of, config_of, taken
from fakevoice.core.errors import ConfigError


def run_all(options: Namespace) -> None:
    """Every stage that is not up to date."""
    if options.resume_from:
        from fakevoice.pipeline.resume import comparison, extend_folds, resumed_words

        if options.force:
            raise ConfigError("--force makes new folds, and the earlier weights have seen them: not with --resume-from")
        config = options.config or competition_of(options.words)
        options.words = resumed_words(config, options.words, options.resume_from)
        extend_folds(config_of(options), options.resume_from)
    _run_line(options, "results", "all" if options.force else "")
    if options.resume_from:
        print(comparison(config_of(options), options.resume_from))


def run_stage(options: Namespace) -> None:
    """One stage, after what it needs."""
    _run_line(options, options.stage, options.stage if options.force else "")


def _run_line(options: Namespace, last: str, force: str) -> None:
    from fakevoice.core import remote
    from fakevoice.core.paths import data_url, paths
    from fakevoice.pipeline.runner import run_pipeline

    config = config_of(options)
    if config.tracking == "mlflow":
        from fakevoice.pipeline.tracking import check_installed

        check_installed()
    place = remote.shown(data_url(config)) or paths(config).raw
    print(f"{config.competition}/{config.experiment}, data in {place}", flush=True)
    if not run_pipeline(config, last, force, options.verify):
        print("everything is up to date")
        return
    from fakevoice.pipeline.summary import closing_text

    print(f"\n{closing_text(config, options.config or config.competition, last)}")
    if config.tracking == "mlflow" and last == "results":
        from fakevoice.pipeline.tracking import track

        print(track(config))


def status(options: Namespace) -> None:
    """Which stages are stale, and why."""
    from fakevoice.core.paths import paths
    from fakevoice.core.progress import duration_text
    from fakevoice.pipeline.history import last_times
    from fakevoice.pipeline.runner import stale_stages

    config = config_of(options)
    print(f"{config.competition}/{config.experiment}")
    took, stale = last_times(paths(config).run), []
    for name, reason in stale_stages(config, options.verify):
        state = f"stale: {reason}" if reason else "up to date"
        last = f"  (took {duration_text(took[name])})" if name in took else ""
        print(f"  {name:<11}{state}{last}")
        stale += [name] if reason else []
    named = options.config or config.competition
    print(f"next: ./run.sh {'all' if stale else 'report'} --config {named}")


def doctor(options: Namespace) -> int:
    """What is here, what is missing, and what mends it."""
    from fakevoice.cli.doctor import examine

    text, is_well = examine(options.config, options.words)
    print(text)
    return 0 if is_well else 1


def fetch_models(options: Namespace) -> None:
    """Download the pretrained models of a config; the only command that downloads a model."""
    from fakevoice.core import plugins
    from fakevoice.features import embed

    config = config_of(options)
    folders = {name: embed.fetch(args) for name, args in config.features.items() if embed.is_encoder(args)}
    for name, network in config.networks.items():
        module = plugins.load("models", network.model.name)
        if hasattr(module, "fetch"):
            folders[name] = module.fetch(**network.model.args)
    folders = {name: folder for name, folder in folders.items() if folder is not None}
    for name, folder in folders.items():
        print(f"{name}: {folder}", flush=True)
    if not folders:
        print(f"{config.competition} uses no pretrained model")
    print(f"next: ./run.sh all --config {options.config or config.competition}")


def bakeoff(options: Namespace) -> None:
    """Run the variants of a study and compare them."""
    from fakevoice.cli.bakeoff import run_study

    study, *variants = [word for word in options.words if "=" not in word] or [""]
    words = [word for word in options.words if "=" in word]
    table = run_study(options.config or competition_of(words), study, variants, words)
    print(f"\n{table.to_string(index=False, float_format='{:.4f}'.format, na_rep='')}")
    print("differences are to the first variant on the same clips and folds, with a 95 % interval")


def tune(options: Namespace) -> None:
    """Search the values of some keys for the best out-of-fold score."""
    from fakevoice.cli.tune import summary, tune

    name = options.config or competition_of(options.words)
    table = tune(name, options.words, options.trials)
    print(summary(name, options.words, table))


def score(options: Namespace) -> None:
    """Measure a submission against a solution."""
    from fakevoice.cli.score import measure_submission

    print(measure_submission(options.submission, options.solution))


def report(options: Namespace) -> None:
    """Write the page about a finished run."""
    from fakevoice.report.html_page import write_report

    page = write_report(config_of(options))
    print(f"{page} (one file, {page.stat().st_size / 1e6:.1f} MB; its pictures lie beside it)")


def export(options: Namespace) -> None:
    """Write the networks of a finished run as files that need none of this."""
    from fakevoice.cli.outputs import check_folder
    from fakevoice.export.exporter import FACTS, WRITTEN, export

    if options.out:
        check_folder(options.out, WRITTEN, FACTS)
    print(export(config_of(options), options.out, options.int8))


def package(options: Namespace) -> None:
    """Build the package of a finished run for a code competition, and check it."""
    from fakevoice.core.errors import SubmissionError
    from fakevoice.packaging.builder import build, summary
    from fakevoice.packaging.check import check
    from fakevoice.packaging.sandbox import this_python

    if not options.check and (options.n or options.python):
        raise ConfigError("--n and --python are about the check: add --check")
    config = config_of(options)
    built = build(config, options.form)
    print(summary(built, config), flush=True)
    if options.check:
        report = check(config, built, options.python or this_python(), options.n)
        print("\n".join(report.lines))
        if report.failures:
            raise SubmissionError(f"the check failed in {len(report.failures)} points: {'; '.join(report.failures)}")


def submit(options: Namespace) -> None:
    """Hand the submission in, or say where to."""
    from fakevoice.cli.leaderboard import submit

    files = taken(options, "FILE.csv", 1)
    print(submit(config_of(options), Path(files[0]) if files else None, options.message, options.force))


def leaderboard(options: Namespace) -> None:
    """Show what each submission scored, or write down what the board says."""
    from fakevoice.cli.leaderboard import leaderboard, record_score

    words = taken(options, "add SCORE FILE", 3)
    config = config_of(options)
    if not words:
        print(leaderboard(config).to_string(index=False, na_rep=""))
        return
    try:
        action, score, *file = words
        if action != "add":
            raise ValueError
        value = float(score) if score.isascii() else math.nan
    except ValueError:
        raise ConfigError(f"{' '.join(words)!r}: say `leaderboard add SCORE`, or add a FILE") from None
    print(record_score(config, value, Path(file[0]) if file else None))


def tensorboard(options: Namespace) -> NoReturn:
    """Become TensorBoard, with the trainings of all experiments of a competition."""
    from fakevoice.core.paths import paths

    folder = paths(config_of(options)).run.parent
    if not any(folder.glob("*/tensorboard")):
        raise ConfigError(f"no training in {folder} yet: ./run.sh train first, and this beside it")
    _become("tensorboard.main", "--logdir", str(folder), "--port", str(options.port))


def notebooks(options: Namespace) -> NoReturn:
    """Become JupyterLab on the notebooks, each beside an .ipynb that is kept equal to it."""
    from fakevoice.cli.notebooks import pair
    from fakevoice.core.config import REPOSITORY

    folder = REPOSITORY / "notebooks"
    if not folder.is_dir():
        raise ConfigError("the notebooks are part of the repository, not of the installed package")
    for path in pair(folder):
        print(f"{path} and its .py are one notebook", flush=True)
    if options.config:
        os.environ["FAKEVOICE_CONFIG"] = options.config
    if options.words:
        os.environ["FAKEVOICE_OVERRIDES"] = " ".join(options.words)
    in_a_container = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    _become("jupyterlab", "--notebook-dir", str(folder), "--port", str(options.port), *in_a_container)


def _become(module: str, *arguments: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
