"""The command line: `./run.sh all | <stage> | status | predict | score`; --help tells the rest.

Nothing heavy is imported before it is known to be needed.
"""

import argparse
import signal
import sys
import textwrap
import warnings
from functools import partial
from pathlib import Path

from fakevoice import ranks
from fakevoice.errors import ConfigError, FakevoiceError

STAGE_HELP = {
    "prepare": "raw folder → clip table and audit of every file",
    "folds": "grouped, stratified folds.csv",
    "scenes": "simulated test conditions inside each fold",
    "features": "spectrograms, cepstra and pooled statistics as .npy shards",
    "train": "k-fold networks, out-of-fold and test logits",
    "stack": "LightGBM on pooled features and out-of-fold logits",
    "ensemble": "blend, calibration, expected score",
    "submission": "the checked CSV and a line in submissions/log.csv",
    "results": "tables by member, fold and kind of clip, beside what was published",
}
WORDS = {"predict": "PATH or experiment=NAME", "bakeoff": "STUDY, VARIANT or key=value"}
EPILOG = """
A stage brings what it needs before it up to date first.
key=value words change any key of the config, e.g. networks.mel.training.n_epochs=5 or seed=1.
FAKEVOICE_DATA (default: data/) holds one folder per competition, and may be a URL as s3://bucket/prefix, as may
data.root=...; FAKEVOICE_HOME (default: here) holds folds.csv, features_cache/, runs/, submissions/ and data_cache/.
What a raw folder must hold: ./run.sh prepare --help
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 a named error, 2 a wrong config or call, 130/143 stopped.

    Under torchrun the first process does so, and the others help it to train.
    """
    return ranks.run(partial(_run, arguments), _stop_workers)


def _run(arguments: list[str] | None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    warnings.formatwarning = _plain_warning
    try:
        return options.run(options) or 0
    except FakevoiceError as error:
        print(f"fakevoice: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        _stop_workers()
        print("fakevoice: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except SystemExit as stop:
        _stop_workers()
        return stop.code


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options of one command; words may stand before, between and after the flags."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if any(word.startswith("-") for word in others) or (others and not hasattr(options, "words")):
        parser.error(f"unknown: {' '.join(others)}")
    if others:
        options.words += others
    return options


def _plain_warning(message: Warning, *where: object) -> str:
    return f"warning: {message}\n"


def _stop(signal_number: int, frame) -> None:
    raise SystemExit(128 + signal_number)


def _stop_workers() -> None:
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run.sh",
        description="Which voices in a 5-second clip are real, generated, both or neither.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG + "\n./run.sh test runs the test suite, ./run.sh bench measures speed.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "all", "every stage that is not up to date", _run_all)
    for name, text in STAGE_HELP.items():
        _add(commands, name, text, _run_stage).set_defaults(stage=name)
    _add(commands, "status", "which stages are stale, and why", _status)
    _add(commands, "bakeoff", "run the variants of a study of the config and compare them", _bakeoff)
    predict = _add(commands, "predict", "score audio with the trained ensemble", _predict)
    predict.add_argument("--out", metavar="FILE.csv", default="predictions.csv")
    score = commands.add_parser("score", help="measure a submission against a solution that holds the labels")
    score.add_argument("submission", type=Path)
    score.add_argument("solution", type=Path)
    score.set_defaults(run=_score)
    return parser


def _add(commands, name: str, text: str, run) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=_stage_text(name, text), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", metavar="NAME", default="", help="configs/NAME.yaml, or a path to a YAML")
    if name not in ("status", "predict", "bakeoff"):
        parser.add_argument("--force", action="store_true", help="redo it though it is up to date")
    if name not in ("predict", "bakeoff"):
        parser.add_argument("--verify", action="store_true", help="check the checksum of every artefact first")
    parser.add_argument("words", nargs="+" if name in WORDS else "*", metavar=WORDS.get(name, "key=value"))
    parser.set_defaults(run=run)
    return parser


def _stage_text(name: str, text: str) -> str:
    if name != "prepare" or name not in sys.argv or not {"-h", "--help"} & set(sys.argv):
        return text  # the adapters import much
    from fakevoice import lookup

    expects = [
        f"{adapter}:\n{textwrap.indent(lookup.load('datasets', adapter).EXPECTS.strip(), '  ')}"
        for adapter in lookup.names("datasets")
    ]
    return "\n\n".join([text, "What the adapters (dataset.name) expect in the raw folder:", *expects])


def _config(options: argparse.Namespace):
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


def _run_all(options: argparse.Namespace) -> None:
    _line(options, "results", "all" if options.force else "")


def _run_stage(options: argparse.Namespace) -> None:
    _line(options, options.stage, options.stage if options.force else "")


def _line(options: argparse.Namespace, last: str, force: str) -> None:
    from fakevoice import remote
    from fakevoice.line import run_line
    from fakevoice.places import data_url, paths

    config = _config(options)
    place = remote.shown(data_url(config)) or paths(config).raw
    print(f"{config.competition}/{config.experiment}, data in {place}", flush=True)
    if run_line(config, last, force, options.verify):
        _summary(config, options.config or config.competition, last)
    else:
        print("everything is up to date")


def _summary(config, name: str, last: str) -> None:
    from fakevoice.places import paths
    from fakevoice.storage import read_json

    places = paths(config)
    if config.experiment != "default":
        name += f" experiment={config.experiment}"
    print(f"\nartefacts: {places.run}\nnext:")
    if last != "results":
        print(f"  ./run.sh all --config {name}")
        return
    metrics = read_json(places.stage("ensemble") / "metrics.json")
    manifest = read_json(places.stage("submission") / "manifest.json")
    for submission in manifest["outputs"]:
        if config.dataset.name == "demo":
            print(f"  ./run.sh score {submission} data/demo/solution.csv    (expected {metrics['expected_score']:.4f})")
            print("  the demo proves the line; its scores are no evidence about real generators")
        else:
            print(f"  upload {submission}, expected {metrics['metric']} {metrics['expected_score']:.4f}")
    if config.studies:
        print(f"  ./run.sh bakeoff {' | '.join(config.studies)} --config {config.competition}")
    print(f"  ./run.sh predict FILE_OR_FOLDER --config {name}")
    print(f"  .venv/bin/tensorboard --logdir {places.run / 'tensorboard'}")


def _bakeoff(options: argparse.Namespace) -> None:
    from fakevoice.bakeoff import run_study

    names = [word for word in options.words if "=" not in word]
    words = [word for word in options.words if "=" in word]
    table = run_study(options.config or _found_config(words), names[0] if names else "", names[1:], words)
    print(f"\n{table.to_string(index=False, float_format='{:.4f}'.format, na_rep='')}")
    print("differences are to the first variant on the same clips and folds, with a 95 % interval")


def _status(options: argparse.Namespace) -> None:
    from fakevoice.line import stale_stages

    config = _config(options)
    print(f"{config.competition}/{config.experiment}")
    for name, reason in stale_stages(config, options.verify):
        print(f"  {name:<11}{'stale: ' + reason if reason else 'up to date'}")


def _predict(options: argparse.Namespace) -> None:
    from fakevoice import remote
    from fakevoice.cluster import engine
    from fakevoice.config import load_config
    from fakevoice.inference import Predictor, list_clips, predict_table
    from fakevoice.places import paths
    from fakevoice.tables import write_table

    asked = [word for word in options.words if "=" not in word or remote.is_url(word) or Path(word).exists()]
    overrides = [word for word in options.words if word not in asked]
    config = load_config(options.config or _found_config(overrides), overrides)
    clips = list_clips(asked, config.data.cache_gb)
    predictor = Predictor.load(paths(config))
    with engine(config, paths(config), [path for _, path in clips]):
        table, unreadable = predict_table(predictor, clips)
    out = Path(options.out)
    write_table(out, table)
    print(f"{out}: {len(table)} rows, columns {', '.join(table.columns)} (probability of each)")
    errors = out.with_suffix(".errors.csv")
    if len(unreadable):
        write_table(errors, unreadable)
        first = "\n".join(f"  {row.path}: {row.reason}" for row in unreadable.head(10).itertuples())
        print(
            f"{len(unreadable)} files could not be read and got the prior; {errors} lists them:\n{first}",
            file=sys.stderr,
        )


def _score(options: argparse.Namespace) -> None:
    from fakevoice.measuring import measure_submission

    print(measure_submission(options.submission, options.solution))
