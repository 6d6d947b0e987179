"""What the commands that hear audio do with a finished run: predict, stream, monitor, serve.

As in `commands`, each function takes the parsed options, and nothing heavy is imported before it is known to be needed.
"""

import os
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fakevoice.cli.arguments import config_of, recordings_and_config
from fakevoice.core.errors import ConfigError

if TYPE_CHECKING:
    from fakevoice.core.config import Config
    from fakevoice.inference.recordings import Answers

MOST_SHOWN = 20  # recordings; more are in the file


def predict(options: Namespace) -> None:
    """Score audio with the trained ensemble."""
    from fakevoice.cli.outputs import check_outputs
    from fakevoice.core.paths import paths
    from fakevoice.core.tables import safe_cells, write_table
    from fakevoice.inference.inputs import list_sources
    from fakevoice.inference.predictor import Predictor
    from fakevoice.inference.recordings import answer
    from fakevoice.parallel.dask_engine import engine

    asked, config = recordings_and_config(options)
    sources = list_sources(asked, config.data.cache_gb)
    out, errors = Path(options.out), _errors_file(Path(options.out))
    outputs = [out, errors, *map(Path, filter(None, [options.timeline, options.plot]))]
    check_outputs(list(filter(None, outputs)), [*map(Path, asked), *(source.path for source in sources)])
    predictor = Predictor.load(paths(config))
    wants_all = bool(options.timeline or options.plot)
    with engine(config, paths(config), [source.path for source in sources]):
        answers = answer(predictor, sources, options.hop, early=wants_all)
    shown = safe_cells if options.safe_csv else lambda table: table
    write_table(out, shown(answers.table))
    if options.timeline:
        write_table(Path(options.timeline), shown(answers.timeline))
    if errors and len(answers.unreadable):
        write_table(errors, shown(answers.unreadable))
    if options.plot:
        from fakevoice.cli.timeline_plot import save_timeline

        files = {source.id: source.path for source in sources}
        save_timeline(Path(options.plot), answers.timeline, files, predictor.config)
    _tell(answers, sources.skipped, out, errors, predictor.config)


def _errors_file(out: Path) -> Path | None:
    """The file that lists unreadable recordings next to a table; none next to a device such as /dev/stdout."""
    from fakevoice.core.artifacts import is_device

    return None if is_device(out) else out.with_suffix(".errors.csv")


def _tell(answers: "Answers", skipped: list[str], out: Path, errors: Path | None, config: "Config") -> None:
    from fakevoice.audio.messages import count_notes, count_reasons
    from fakevoice.data.synthetic import synthetic_note
    from fakevoice.inference.recordings import OUTSIDE

    outputs, table = config.outputs, answers.table
    if errors:  # otherwise the table itself may be on standard output
        if len(table) <= MOST_SHOWN:
            print(table.to_string(index=False, float_format="{:.3f}".format))
        print(f"{out}: {len(table)} rows. {', '.join(outputs)}: calibrated probability that it is heard; _low, _high:")
        print("the range over the folds of the ensemble; n_windows: number of windows scored; note: why to be careful")
    n_outside = table["note"].str.contains(OUTSIDE, regex=False).sum()
    if n_outside:
        print(f"{n_outside} recordings are outside of what training covered: see note", file=sys.stderr)
    lines = [count_notes(answers.file_notes["note"]), count_reasons([*skipped, *answers.unreadable["reason"]])]
    for line in filter(None, [*lines, synthetic_note(config)]):
        print(line, file=sys.stderr)
    if len(answers.unreadable):
        first = "\n".join(f"  {row.path}: {row.reason}" for row in answers.unreadable.head(10).itertuples())
        n_unreadable = len(answers.unreadable)
        text = f"{n_unreadable} files could not be read and got the prior; {errors or out} lists them:\n{first}"
        print(text, file=sys.stderr)


def stream(options: Namespace) -> None:
    """Score raw samples from standard input as they come, one line of JSON for each answer."""
    import json

    from fakevoice.core.paths import paths
    from fakevoice.inference.predictor import Predictor
    from fakevoice.inference.stream import Listener, as_dict, listen

    predictor = Predictor.load(paths(config_of(options)))
    listener = Listener(predictor, options.rate, options.channels, options.hop)
    for reply in listen(listener, sys.stdin.buffer):
        print(json.dumps(as_dict(reply, predictor.config)), flush=True)


def monitor(options: Namespace) -> int | None:
    """Compare clips that came in with the run, once or repeatedly."""
    from fakevoice.audio.messages import count_notes, count_reasons
    from fakevoice.core.paths import paths
    from fakevoice.data.synthetic import synthetic_note
    from fakevoice.features.extract import pooled_names
    from fakevoice.inference.predictor import Predictor
    from fakevoice.monitor.clips import find_reference, list_clips, score_clips
    from fakevoice.monitor.html_page import text, write_page
    from fakevoice.monitor.verdict import EXIT_CODES, RETRAIN, judge

    if options.watch and options.retrain:
        raise ConfigError(
            "--retrain: not with --watch, which never ends; run monitor --retrain regularly, e.g. by cron"
        )
    asked, config = recordings_and_config(options)
    if not asked:
        raise ConfigError("monitor: name a folder, files, or - for a list of paths on standard input")
    if options.out:
        from fakevoice.cli.outputs import check_writable

        check_writable(options.out)
        if any(Path(word).exists() and options.out.resolve() == Path(word).resolve() for word in asked):
            raise ConfigError(f"--out {options.out} is an input too: name another folder")
    predictor, folder = Predictor.load(paths(config)), options.out or paths(config).run / "monitor"
    if options.watch:
        from fakevoice.monitor.watch import Watcher, watch

        watch(Watcher(predictor, asked, folder), options.every, options.port)
    sources, reference = list_clips(asked, config.data.cache_gb), find_reference(predictor)
    clips, unreadable = score_clips(predictor, sources, reference.kind)
    made_by = predictor.config
    findings = judge(reference, clips, len(unreadable), made_by.outputs, pooled_names(made_by))
    page = write_page(folder, findings, reference, clips, unreadable, made_by)
    print(f"{text(findings, made_by)}\n{page}")
    lines = [count_notes(clips.table["note"]), count_reasons([*sources.skipped, *unreadable["reason"]])]
    for line in filter(None, [*lines, synthetic_note(made_by)]):
        print(line, file=sys.stderr)
    if options.retrain and findings.verdict == RETRAIN:
        retrain(options, asked, config)
        return 0
    return EXIT_CODES[findings.verdict]


def retrain(options: Namespace, asked: list[str], config: "Config") -> None:
    """Train a new experiment that starts from the weights of the run, with the clips that the data folder holds now.

    Args:
        asked: the words that name recordings.
        config: of the run.
    """
    from fakevoice.cli.commands import run_all

    words = [word for word in options.words if word not in asked and not word.startswith("experiment=")]
    experiment = f"{config.experiment}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    print(f"retraining as experiment {experiment}", flush=True)
    new = {"words": [*words, f"experiment={experiment}"], "resume_from": config.experiment}
    run_all(Namespace(config=options.config, **new, force=False, verify=False))


def serve(options: Namespace) -> None:
    """The page and its API, until a signal ends it."""
    from fakevoice.serve.app import serve

    serve(config_of(options), options.host, options.port, options.token or os.environ.get("FAKEVOICE_TOKEN", ""))
