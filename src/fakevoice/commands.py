"""What each command does; `cli` reads the words.

Each function takes the parsed options and returns an exit code, or nothing for 0. Nothing heavy is imported before it
is known to be needed.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fakevoice.errors import ConfigError

if TYPE_CHECKING:
    from fakevoice.config import Config
    from fakevoice.recordings import Answers

MOST_SHOWN = 20  # recordings; more are in the file


def run_all(options: Namespace) -> None:
    """Every stage that is not up to date."""
    if options.resume_from:
        from fakevoice.resuming import comparison, extend_folds, resumed_words

        if options.force:
            raise ConfigError("--force makes new folds, and the earlier weights have seen them: not with --resume-from")
        config = options.config or _found_config(options.words)
        options.words = resumed_words(config, options.words, options.resume_from)
        extend_folds(_config(options), options.resume_from)
    _run_line(options, "results", "all" if options.force else "")
    if options.resume_from:
        print(comparison(_config(options), options.resume_from))


def run_stage(options: Namespace) -> None:
    """One stage, after what it needs."""
    _run_line(options, options.stage, options.stage if options.force else "")


def _run_line(options: Namespace, last: str, force: str) -> None:
    from fakevoice import remote
    from fakevoice.line import run_line
    from fakevoice.places import data_url, paths

    config = _config(options)
    if config.tracking == "mlflow":
        from fakevoice.tracking import check_installed

        check_installed()
    place = remote.shown(data_url(config)) or paths(config).raw
    print(f"{config.competition}/{config.experiment}, data in {place}", flush=True)
    if not run_line(config, last, force, options.verify):
        print("everything is up to date")
        return
    from fakevoice.summary import closing_text

    print(f"\n{closing_text(config, options.config or config.competition, last)}")
    if config.tracking == "mlflow" and last == "results":
        from fakevoice.tracking import track

        print(track(config))


def status(options: Namespace) -> None:
    """Which stages are stale, and why."""
    from fakevoice.history import last_times
    from fakevoice.line import stale_stages
    from fakevoice.places import paths
    from fakevoice.progress import duration_text

    config = _config(options)
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
    from fakevoice.doctor import examine

    text, is_well = examine(options.config, options.words)
    print(text)
    return 0 if is_well else 1


def bakeoff(options: Namespace) -> None:
    """Run the variants of a study and compare them."""
    from fakevoice.bakeoff import run_study

    study, *variants = [word for word in options.words if "=" not in word] or [""]
    words = [word for word in options.words if "=" in word]
    table = run_study(options.config or _found_config(words), study, variants, words)
    print(f"\n{table.to_string(index=False, float_format='{:.4f}'.format, na_rep='')}")
    print("differences are to the first variant on the same clips and folds, with a 95 % interval")


def tune(options: Namespace) -> None:
    """Search the values of some keys for the best out-of-fold score."""
    from fakevoice.tuning import summary, tune

    name = options.config or _found_config(options.words)
    table = tune(name, options.words, options.trials)
    print(summary(name, options.words, table))


def predict(options: Namespace) -> None:
    """Score audio with the trained ensemble."""
    from fakevoice.cluster import engine
    from fakevoice.inference import Predictor
    from fakevoice.places import paths
    from fakevoice.recordings import answer
    from fakevoice.sources import list_sources
    from fakevoice.tables import write_table

    asked, config = _asked(options)
    sources = list_sources(asked, config.data.cache_gb)
    predictor = Predictor.load(paths(config))
    wants_all = bool(options.timeline or options.plot)
    with engine(config, paths(config), [source.path for source in sources]):
        answers = answer(predictor, sources, options.hop, early=wants_all)
    out = Path(options.out)
    write_table(out, answers.table)
    if options.timeline:
        write_table(Path(options.timeline), answers.timeline)
    if options.plot:
        from fakevoice.timeline_plot import save_timeline

        files = {source.id: source.path for source in sources}
        save_timeline(Path(options.plot), answers.timeline, files, predictor.config)
    _tell(answers, out, predictor.config)


def _tell(answers: "Answers", out: Path, config: "Config") -> None:
    outputs, table = config.outputs, answers.table
    if len(table) <= MOST_SHOWN:
        print(table.to_string(index=False, float_format="{:.3f}".format))
    print(f"{out}: {len(table)} rows. {', '.join(outputs)}: calibrated probability that it is heard; _low, _high: what")
    print("folds of the ensemble say alone; n_windows: how many were heard; note: why the numbers are worth less")
    noted = (table["note"] != "").sum() - len(answers.unreadable)
    if noted:
        print(f"{noted} recordings lie outside of what training covered: see note", file=sys.stderr)
    if len(answers.unreadable):
        from fakevoice.tables import write_table

        errors = out.with_suffix(".errors.csv")
        write_table(errors, answers.unreadable)
        first = "\n".join(f"  {row.path}: {row.reason}" for row in answers.unreadable.head(10).itertuples())
        print(
            f"{len(answers.unreadable)} files could not be read and got the prior; {errors} lists them:\n{first}",
            file=sys.stderr,
        )


def stream(options: Namespace) -> None:
    """Score raw samples from standard input as they come, one line of JSON for each answer."""
    import json

    from fakevoice.inference import Predictor
    from fakevoice.places import paths
    from fakevoice.stream import Listener, as_dict, listen

    predictor = Predictor.load(paths(_config(options)))
    listener = Listener(predictor, options.rate, options.channels, options.hop)
    for reply in listen(listener, sys.stdin.buffer):
        print(json.dumps(as_dict(reply, predictor.config)), flush=True)


def monitor(options: Namespace) -> int | None:
    """Hold clips that came in against the run, once or again and again."""
    from fakevoice.extraction import pooled_names
    from fakevoice.incoming import find_reference, hear, list_clips
    from fakevoice.inference import Predictor
    from fakevoice.monitor_page import text, write_page
    from fakevoice.monitoring import EXIT_CODES, judge
    from fakevoice.places import paths

    asked, config = _asked(options)
    if not asked:
        raise ConfigError("monitor: name a folder, files, or - for a list of paths on standard input")
    predictor, folder = Predictor.load(paths(config)), options.out or paths(config).run / "monitor"
    if options.watch:
        from fakevoice.watching import Watcher, watch

        watch(Watcher(predictor, asked, folder), options.every, options.port)
    sources, reference = list_clips(asked, config.data.cache_gb), find_reference(predictor)
    clips, unreadable = hear(predictor, sources, reference.kind)
    made_by = predictor.config
    findings = judge(reference, clips, len(unreadable), made_by.outputs, pooled_names(made_by))
    page = write_page(folder, findings, reference, clips, unreadable, made_by)
    print(f"{text(findings, made_by)}\n{page}")
    return EXIT_CODES[findings.verdict]


def serve(options: Namespace) -> None:
    """The page and its API, until a signal ends it."""
    from fakevoice.service import serve

    serve(_config(options), options.host, options.port, options.token or os.environ.get("FAKEVOICE_TOKEN", ""))


def score(options: Namespace) -> None:
    """Measure a submission against a solution."""
    from fakevoice.measuring import measure_submission

    print(measure_submission(options.submission, options.solution))


def report(options: Namespace) -> None:
    """Write the page about a finished run."""
    from fakevoice.report import write_report

    page = write_report(_config(options))
    print(f"{page} (one file, {page.stat().st_size / 1e6:.1f} MB; its pictures lie beside it)")


def export(options: Namespace) -> None:
    """Write the networks of a finished run as files that need none of this."""
    from fakevoice.export import export

    print(export(_config(options), options.out, options.int8))


def submit(options: Namespace) -> None:
    """Hand the submission in, or say where to."""
    from fakevoice.boards import submit

    files = _taken(options, "FILE.csv", 1)
    print(submit(_config(options), Path(files[0]) if files else None, options.message))


def leaderboard(options: Namespace) -> None:
    """Show what each submission scored, or write down what the board says."""
    from fakevoice.boards import leaderboard, record_score

    words = _taken(options, "add SCORE FILE.csv", 3)
    config = _config(options)
    if not words:
        print(leaderboard(config).to_string(index=False, na_rep=""))
        return
    try:
        action, score, *file = words
        if action != "add":
            raise ValueError
        value = float(score)
    except ValueError:
        raise ConfigError(f"{' '.join(words)!r}: say `leaderboard add SCORE`, or add a FILE.csv") from None
    print(record_score(config, value, Path(file[0]) if file else None))


def _taken(options: Namespace, meant: str, n_most: int) -> list[str]:
    """The words that are no key=value; those stay in the options."""
    words = [word for word in options.words if "=" not in word]
    if len(words) > n_most:
        raise ConfigError(f"{' '.join(words)!r}: at most {meant} beside key=value words")
    options.words = [word for word in options.words if "=" in word]
    return words


def tensorboard(options: Namespace) -> NoReturn:
    """Become TensorBoard, with the trainings of all experiments of a competition."""
    from fakevoice.places import paths

    folder = paths(_config(options)).run.parent
    if not any(folder.glob("*/tensorboard")):
        raise ConfigError(f"no training in {folder} yet: ./run.sh train first, and this beside it")
    _become("tensorboard.main", "--logdir", str(folder), "--port", str(options.port))


def notebooks(options: Namespace) -> NoReturn:
    """Become JupyterLab on the notebooks, each beside an .ipynb that is kept equal to it."""
    from fakevoice.config import REPOSITORY
    from fakevoice.notebooks import pair

    folder = REPOSITORY / "notebooks"
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


def _asked(options: Namespace) -> tuple[list[str], "Config"]:
    """The words that name recordings, and the config that the others make; a file's name may hold an =."""
    from fakevoice import remote
    from fakevoice.config import load_config

    asked = [word for word in options.words if "=" not in word or remote.is_url(word) or Path(word).exists()]
    overrides = [word for word in options.words if word not in asked]
    return asked, load_config(options.config or _found_config(overrides), overrides)


def _config(options: Namespace) -> "Config":
    from fakevoice.config import load_config

    return load_config(options.config or _found_config(options.words), options.words)


def _found_config(words: list[str]) -> str:
    """The competition whose data lies there; the demo where there is none."""
    from fakevoice import remote
    from fakevoice.config import config_names
    from fakevoice.places import data_root

    roots = [word.removeprefix("data.root=") for word in words if word.startswith("data.root=")]
    root = data_root(*roots[-1:])
    if remote.is_url(root):
        raise ConfigError(f"data at {remote.shown(root)}: choose the competition with --config NAME")
    folder = Path(root)
    found = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "demo") if folder.is_dir() else []
    known = [name for name in found if name in config_names()]
    if len(known) > 1:
        raise ConfigError(f"several competitions in {folder}: choose with --config {' | '.join(known)}")
    if found and not known:
        raise ConfigError(f"{folder} holds {', '.join(found)}, but configs/ has none of them: copy configs/dacon.yaml")
    return known[0] if known else "demo"
