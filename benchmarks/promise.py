"""Does the expected score come true? A finished run's scenes are asked, on sources that are held out as a whole.

    .venv/bin/python benchmarks/promise.py --config voices [--sources CSV] [--repeats 4]

Each repeat holds out every source once, a third of them at a time. On scenes without a voice of theirs LightGBM is
fitted as the stacker is (networks would take days), blended, and the score to expect is found as the line finds it.
Then tests are drawn from scenes with voices of held-out sources alone and without copies, counted and scored: as they
were simulated, and with shortcuts discounted. The CSV names the source of each training clip (id, source), which the
line itself never reads; without it, recording channels stand for sources. No labels of the test are used.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array, read_json
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import ArtifactError, DataError, FakevoiceError
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data.folds import read_folds
from fakevoice.data.groups import first_group, make_channels
from fakevoice.data.shortcuts import overlap_weights, recording_facts, scene_weights
from fakevoice.ensemble.blend import STACK, Blend, cross_fit, fit_blend
from fakevoice.ensemble.expected_score import Replays, replay_tests
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import adjust, draw_tests, estimate_shares, resample_by_weight
from fakevoice.ensemble.stacker import fit_fold, predict_logits
from fakevoice.features.extract import pooled_names
from fakevoice.features.store import CachedFeature
from fakevoice.parallel.pool import run_parallel

N_PARTS, N_TESTS = 3, 30  # sources are held out a third at a time; tests of either kind
NEAR = 0.02


@dataclass(frozen=True, eq=False)
class Material:
    """What a run left, as far as LightGBM needs it.

    Attributes:
        run: config and tables.
        clips: training clips with group, label, fold and facts, indexed by id; their fingerprints and sources.
        columns, names, target, fold, group: of the scenes; pooled statistics alone.
    """

    run: Run
    clips: pd.DataFrame
    fingerprints: np.ndarray
    sources: pd.Series
    columns: np.ndarray
    names: list[str]
    target: np.ndarray
    fold: np.ndarray
    group: np.ndarray

    def weights(self, rows: np.ndarray, clips: np.ndarray) -> np.ndarray:
        """(n_rows,) what scenes count where recordings are to tell no label, as models of these clips see it."""
        exponent, seed = self.run.config.scenes.group_exponent, self.run.config.seed
        of_clips = overlap_weights(self.clips[clips], self.fingerprints[clips], exponent, seed)
        scenes = self.run.scenes.iloc[rows]
        return scene_weights(scenes, self.run.voices[self.run.voices["scene"].isin(scenes["scene"])], of_clips)

    def judged(self, rows: np.ndarray, clips: np.ndarray) -> np.ndarray:
        """Positions in `rows`, drawn by `weights`."""
        state, seed = self.run.scenes["state"].to_numpy(str)[rows], self.run.config.seed
        return resample_by_weight(self.weights(rows, clips), self.fold[rows], state, seed)

    def n_clips(self) -> tuple[int, int]:
        """Unlabeled clips and test clips."""
        return Shares.from_dict(self.run.metrics["combinations"]).n_counted, len(self.run.test_probability)


def load_material(config: Config, sources: Path | None) -> Material:
    """Read a finished run."""
    run = load_run(config)
    prepared = run.paths.stage("prepare")
    clips, audit = (read_table(prepared / f"{name}.csv", CLIP_TEXT) for name in ("clips", "audit"))
    train = (clips["split"] == "train").to_numpy()
    rows = read_folds(run.paths.folds_csv, run.config.competition)
    table, fingerprints = (
        recording_facts(rows, audit, clips["id"][train]),
        read_array(prepared / "fingerprints.npy")[train],
    )
    if sources is None:
        named = make_channels(table["group"], fingerprints, run.config.folds.n_folds)
    else:
        named = _read_sources(sources, table.index)
    pooled = run.paths.cache / read_json(run.paths.stage("features") / "features.json")["pooled"]
    return Material(
        *(run, table, fingerprints, named, CachedFeature(pooled, "scenes").all(), pooled_names(run.config)),
        target=targets(run.scenes["state"], run.config),
        fold=run.scenes["fold"].to_numpy(np.int64),
        group=first_group(run.scenes, run.voices),
    )


def _read_sources(file: Path, clips: pd.Index) -> pd.Series:
    """Source by clip.

    Raises:
        DataError: clips that the file does not name.
    """
    named = read_table(file, ("id", "source")).set_index("id")["source"].reindex(clips)
    missing = named.index[named.isna()]
    if len(missing):
        raise DataError(f"{len(missing)} training clips have no source in {file}, e.g. {missing[0]}: add their rows")
    return named


def held_out_parts(material: Material, n_repeats: int) -> Iterator[frozenset[str]]:
    """Names of the sources that are held out at a time."""
    names = np.unique(material.sources.to_numpy(str))
    for repeat in range(n_repeats):
        order = np.random.default_rng([material.run.config.seed, 12, repeat]).permutation(names)
        yield from (frozenset(order[part::N_PARTS].tolist()) for part in range(N_PARTS))


def split_scenes(material: Material, held_out: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of scenes without any held-out voice, and with such voices alone; those without voices take turns."""
    voices = material.run.voices
    is_held_out = voices["clip"].map(material.sources).isin(held_out).groupby(voices["scene"])
    share = material.run.scenes["scene"].map(is_held_out.mean()).to_numpy(float)  # nan where nobody speaks
    copied = material.run.scenes["scene"].isin(voices.loc[voices["vocoder"] != "", "scene"]).to_numpy()
    turn = np.arange(len(share)) % N_PARTS == 0
    silent = np.isnan(share)
    return np.flatnonzero((share == 0) | (silent & ~turn)), np.flatnonzero(((share == 1) & ~copied) | (silent & turn))


def ask(held_out: frozenset[str], config: Config, sources: Path | None) -> list[dict]:
    """Promise and measured score of each test on one set of held-out sources."""
    material = load_material(config, sources)
    run, (known, new) = material.run, split_scenes(material, held_out)
    target, fold = material.target[known], material.fold[known]
    logits, of_new = np.zeros((len(known), 1, len(run.config.outputs))), []
    for index in np.unique(fold):
        fitted = (material.columns[known], material.names, target, fold, index)
        boosters = fit_fold(*fitted, run.config.stacker, run.config.seed)
        held_back = known[fold == index]
        logits[fold == index, 0] = predict_logits(boosters, material.columns[held_back], material.names)
        of_new.append(predict_logits(boosters, material.columns[new], material.names)[:, None])
    rows = material.judged(known, ~material.sources.isin(held_out).to_numpy())
    blend = fit_blend(logits[rows], target[rows], [STACK], run.config)
    fitted = cross_fit(logits, target, fold, [STACK], run.config, rows)
    simulated, (n_unlabeled, n_test) = np.array(blend.simulated), material.n_clips()
    shares = Shares(np.array(blend.combinations), simulated, simulated, n_unlabeled)
    replays = replay_tests(fitted, material.group[known], rows, shares, n_test, run.config)
    return list(_tests(material, new, np.array(of_new), blend, replays))


def _tests(
    material: Material, new: np.ndarray, logits: np.ndarray, blend: Blend, replays: Replays
) -> Iterator[dict[str, str | float]]:
    """Tests of scenes `new`, of which each of the fold models says `logits` (n_folds, n_new, 1, n_outputs)."""
    config, (n_unlabeled, n_test) = material.run.config, material.n_clips()
    measure, target = plugins.load("metrics", config.metric).measure, material.target[new]
    combinations, simulated = np.array(blend.combinations), np.array(blend.simulated)
    single = np.stack([blend.combination_probability(of_fold, combinations) for of_fold in logits], axis=1)
    together = blend.combination_probability(logits.mean(axis=0), combinations)
    heard = Shares(combinations, simulated, simulated, n_unlabeled).heard(target)
    kinds = {
        "as simulated": np.arange(len(new)),
        "shortcuts discounted": material.judged(new, np.ones(len(material.clips), bool)),
    }
    for kind, chosen in kinds.items():
        drawn = (heard[chosen], np.zeros(len(chosen), int), material.group[new[chosen]], simulated)
        for rows in draw_tests(*drawn, n_unlabeled + n_test, N_TESTS, config.seed):
            unlabeled, test = np.split(chosen[rows], [n_unlabeled])
            count = estimate_shares(single[unlabeled].reshape(-1, len(combinations)), simulated)
            expected, low, high = replays.like(count).summary()
            probability = blend.probability_of_outputs(adjust(together[test], count, simulated), combinations)
            measured = measure(target[test], probability)
            yield {"tests": kind, "measured": measured, "expected": expected, "low": low, "high": high}


def describe(tests: pd.DataFrame) -> str:
    """How often the promise came true, by kind of tests and over all; a small test without a value tells nothing."""
    tests = tests.dropna(subset="measured")
    off = (tests["measured"] - tests["expected"]).abs()
    told = tests.assign(
        off=off,
        near=off <= NEAR,
        inside=tests["measured"].between(tests["low"], tests["high"]),
        width=tests["high"] - tests["low"],
    )
    columns = ["measured", "expected", "off", "near", "inside", "width"]
    table = pd.concat([told.groupby("tests")[columns].mean(), told[columns].mean().to_frame("all").T])
    between = told.groupby("set")["measured"].mean().std()
    return (
        f"{table.to_string(float_format='{:.4f}'.format)}\n"
        f"off: mean distance; near: share within {NEAR}; inside: share in the interval of 95 %\n"
        f"{told['set'].nunique()} sets of held-out sources; their mean scores deviate by {between:.4f}"
    )


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    """Ask, print and return one row per test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="voices")
    parser.add_argument("--sources", type=Path, help="CSV of training clips: id, source")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_args(arguments)
    config = load_config(given.config, given.overrides)
    material = load_material(config, given.sources)
    if not all(material.n_clips()):
        raise ArtifactError(f"{config.competition} has no unlabeled clips or no test: nothing is counted or replayed")
    parts = list(held_out_parts(material, given.repeats))
    work = partial(ask, config=config, sources=given.sources)
    found = run_parallel(work, parts, "promise", "sets of sources")
    tests = pd.DataFrame([{"set": index, **test} for index, rows in enumerate(found) for test in rows])
    print(describe(tests))
    return tests


if __name__ == "__main__":
    try:
        main()
    except FakevoiceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
