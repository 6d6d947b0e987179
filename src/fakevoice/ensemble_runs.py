"""Runs the ensemble: the score of each member and of the blend on scenes that none of them saw."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice import lookup
from fakevoice.bootstrap import bootstrap_interval
from fakevoice.config import Config, Paths
from fakevoice.ensemble import chains_to_logits, cross_fit, fit_blend
from fakevoice.storage import read_array, write_array, write_json
from fakevoice.tables import write_table
from fakevoice.tasks import targets

STACK = "stack"
PARTS = ("auc", "brier", "ece", "eer", "accuracy")


def run_ensemble(config: Config, paths: Paths, scenes: pd.DataFrame, voices: pd.DataFrame) -> list[Path]:
    """Fit the blend, print the table of members, and write everything that predicting and analysing need."""
    folder, members = paths.stage("ensemble"), [*config.networks, STACK]
    target, fold = targets(scenes["state"], config), scenes["fold"].to_numpy(np.int64)
    oof, chains = load_members(paths, members)
    probability = cross_fit(oof, target, fold, members, config)
    table = _member_table(oof, target, fold, members, probability, config)
    measure = lookup.load("metrics", config.metric).measure
    groups = _first_group(scenes, voices)
    interval = bootstrap_interval(measure, target, probability, groups, config.ensemble.n_bootstrap, config.seed)
    blend = fit_blend(oof, target, members, config)
    summary = {"metric": config.metric, "oof_score": measure(target, probability)}
    summary |= {
        "oof_low": interval[0],
        "oof_high": interval[1],
        "weights": dict(zip(members, blend.weights, strict=True)),
    }
    write_json(folder / "ensemble.json", blend.to_dict())
    write_json(folder / "config.json", config.model_dump(mode="json"))
    write_json(folder / "metrics.json", summary)
    write_table(folder / "members.csv", table)
    write_table(folder / "oof.csv", _oof_table(scenes, target, probability, oof, members, config))
    write_array(folder / "test.npy", blend.probability(chains_to_logits(chains, members)))
    _report(table, summary, config)
    return [folder / f"{n}.json" for n in ("ensemble", "config", "metrics")] + [
        *(folder / f"{n}.csv" for n in ("members", "oof")),
        folder / "test.npy",
    ]


def load_members(paths: Paths, members: list[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Out-of-fold logits (n_scenes, n_members, n_outputs), and the test logits of each member's fold models."""
    trained, stacked = paths.stage("train"), paths.stage("stack")
    files = {m: (trained / f"oof-{m}.npy", trained / f"test-{m}.npy") for m in members if m != STACK}
    files[STACK] = (stacked / "oof.npy", stacked / "test.npy")
    oof = np.stack([read_array(files[member][0]) for member in members], axis=1)
    return oof, {member: read_array(files[member][1]) for member in members}


def _member_table(
    oof: np.ndarray, target: np.ndarray, fold: np.ndarray, members: list[str], ensemble: np.ndarray, config: Config
) -> pd.DataFrame:
    """Score and its parts, each member calibrated alone under the same cross-fitting as the ensemble."""
    alone = {m: cross_fit(oof[:, [i]], target, fold, [m], config) for i, m in enumerate(members)}
    names = [config.metric, *(name for name in PARTS if name != config.metric)]
    rows = [
        {"member": m, **{n: lookup.load("metrics", n).measure(target, p) for n in names}}
        for m, p in {**alone, "ensemble": ensemble}.items()
    ]
    return pd.DataFrame(rows)


def _first_group(scenes: pd.DataFrame, voices: pd.DataFrame) -> np.ndarray:
    """Group of each scene's first voice, or the scene itself: what errs together is resampled together."""
    first = voices.drop_duplicates("scene").set_index("scene")["group"]
    return scenes["scene"].map(first).fillna(scenes["scene"]).to_numpy(str)


def _oof_table(
    scenes: pd.DataFrame,
    target: np.ndarray,
    probability: np.ndarray,
    oof: np.ndarray,
    members: list[str],
    config: Config,
) -> pd.DataFrame:
    table = scenes[["scene", "fold", "state"]].copy()
    for index, output in enumerate(config.outputs):
        table[f"label_{output}"] = target[:, index].astype(int)
        table[f"probability_{output}"] = probability[:, index]
        for place, member in enumerate(members):
            table[f"logit_{member}_{output}"] = oof[:, place, index]
    return table


def _report(table: pd.DataFrame, summary: dict, config: Config) -> None:
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(
        f"expected {config.metric}: {summary['oof_score']:.4f} (95 % interval {summary['oof_low']:.4f} to "
        f"{summary['oof_high']:.4f}), on simulated scenes of groups that no model saw; it assumes that the test's "
        "mix of states and conditions is the simulated one",
        flush=True,
    )
