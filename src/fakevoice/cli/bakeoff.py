"""Runs the variants of a study on the same clips and folds, and says which differ by more than chance."""

import time

import numpy as np
import pandas as pd

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.core import plugins
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import ConfigError, nearest
from fakevoice.core.paths import paths
from fakevoice.core.tables import write_table
from fakevoice.data.groups import first_group
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import label_and_probability
from fakevoice.pipeline.checks import check_config
from fakevoice.pipeline.runner import run_pipeline

N_DRAWS = 500


def choose_variants(config: Config, study: str, names: list[str]) -> dict[str, list[str]]:
    """The key=value words of each variant of a study.

    Args:
        study: a name in the config's `studies`.
        names: variants of it; all if empty.

    Raises:
        ConfigError: no such study or variant.
    """
    if study not in config.studies:
        known = nearest(study, list(config.studies)) if config.studies else f"{config.competition} has none"
        raise ConfigError(f"no study {study!r}; {known}")
    variants = config.studies[study]
    for name in names:
        if name not in variants:
            raise ConfigError(f"no variant {name!r} of the study {study}; {nearest(name, list(variants))}")
    return {name: words for name, words in variants.items() if name in (names or variants)}


def run_study(config_name: str, study: str, names: list[str], words: list[str]) -> pd.DataFrame:
    """Run each variant up to the ensemble as an experiment of its own, and compare them.

    What is up to date is not run again; variants with the same features share the cache.

    Args:
        config_name: as `load_config` takes it.
        names: variants of the study; all if empty.
        words: key=value words for all of them, on top of their own.

    Returns:
        The table of `compare`, also written to `runs/<competition>/<study>.csv`, with seconds that the run took
        (little where most of it was there).

    Raises:
        ConfigError: no such study or variant, or as `load_config`.
    """
    config = load_config(config_name, words)
    variants = choose_variants(config, study, names)
    configs = {
        name: load_config(config_name, [*changes, *words, f"experiment={study}-{name}"])
        for name, changes in variants.items()
    }
    for variant in configs.values():
        check_config(variant, paths(variant))  # before the first of them has run for an hour
    runs, seconds = {}, {}
    for name, variant in configs.items():
        print(f"\n{study}: {name}  {' '.join(variants[name])}", flush=True)
        start = time.monotonic()
        run_pipeline(variant, "ensemble")
        runs[name], seconds[name] = load_run(variant), time.monotonic() - start
    table = compare(runs).assign(seconds=[round(seconds[name], 1) for name in runs])
    write_table(paths(config).run.parent / f"{study}.csv", table)
    return table


def compare(runs: dict[str, Run]) -> pd.DataFrame:
    """The score of each run, and how much it differs from the first one on the same scenes.

    Args:
        runs: name → run, all of one task.

    Returns:
        variant, the metric, low and high (95 % by drawing groups), difference to the first, its low and high; no
        difference where the scenes are others.
    """
    first = next(iter(runs.values()))
    config, outputs = first.config, first.config.outputs
    measure, same = plugins.load("metrics", config.metric).measure, ["scene", "state", "fold"]
    n, rows = len(outputs), []

    def gain(label: np.ndarray, both: np.ndarray) -> float:
        return measure(label, both[:, :n]) - measure(label, both[:, n:])

    before = label_and_probability(first.oof, outputs)[1]
    for name, run in runs.items():
        label, probability = label_and_probability(run.oof, outputs)
        groups = first_group(run.scenes, run.voices)
        low, high = bootstrap_interval(measure, label, probability, groups, N_DRAWS)
        row = {"variant": name, config.metric: measure(label, probability), "low": low, "high": high}
        if run is not first and run.scenes[same].equals(first.scenes[same]):
            both = np.hstack([probability, before])
            ends = bootstrap_interval(gain, label, both, groups, N_DRAWS)
            row |= dict(zip(("difference", "from", "to"), (gain(label, both), *ends), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, columns=["variant", config.metric, "low", "high", "difference", "from", "to"])
