"""Scores what others build for such a competition beside a finished run of ours, on its clips and its folds.

    .venv/bin/python benchmarks/score_peers.py --config voices [--solution CSV] [key=value ...]

A peer is a file in benchmarks/peers: sections that replace those of our config, trained by the ordinary line. Its
probabilities are what its authors would submit: the sigmoid of the fold models' mean logit, over a temperature
where they set one, and no calibration. Each system's out-of-fold score is on its own world: clean clips where it
trains on clean clips. The test is the same for all, and needs a solution.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.special import expit

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array, read_json, write_json
from fakevoice.core.config import Config, load_config, validate
from fakevoice.core.errors import ArtifactError, DataError, FakevoiceError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data.groups import first_group
from fakevoice.ensemble.blend import STACK, Blend, cross_fit, fit_blend
from fakevoice.ensemble.evaluate import scored_rows
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import label_and_probability
from fakevoice.pipeline.runner import run_pipeline

PEERS = Path(__file__).parent / "peers"
MEASURES = {"score": "dacon_score", "AUC": "auc", "Brier": "brier", "ECE": "ece"}
N_DRAWS = 200
Scores = dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Peer:
    """A system of the field.

    Attributes:
        temperature: its authors divide the logits by it.
        config: with one network.
    """

    title: str
    temperature: float
    config: Config


@dataclass(frozen=True)
class Answers:
    """What one system says of its own out-of-fold scenes, and of the test clips in their order.

    Attributes:
        label, oof: (n_scenes, n_outputs) of 0 and 1, and of probabilities.
        groups: (n_scenes,) group of the first voice.
        test: (n_test, n_outputs) probabilities.
    """

    title: str
    label: np.ndarray
    oof: np.ndarray
    groups: np.ndarray
    test: np.ndarray


def read_peer(file: Path, ours: Config) -> Peer:
    """Our config with the sections that a peer replaces.

    Raises:
        ConfigError: the two together are no config that can be run.
    """
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    config = validate({**ours.model_dump(), **tree["config"], "experiment": f"peer_{file.stem}"})
    return Peer(tree["title"], tree.get("temperature", 1.0), config)


def peer_answers(peer: Peer) -> Answers:
    """Train a peer's network where that is not done yet, and read its logits."""
    run_pipeline(peer.config, "train")
    places, (name,) = paths(peer.config), peer.config.networks
    scenes, voices = _scenes(places)
    oof = read_array(places.stage("train") / f"oof-{name}.npy")
    test = read_array(places.stage("train") / f"test-{name}.npy").mean(axis=0)  # over the fold models
    label = targets(scenes["state"], peer.config)
    return Answers(
        peer.title, label, expit(oof / peer.temperature), first_group(scenes, voices), expit(test / peer.temperature)
    )


def _scenes(places: Paths) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = places.stage("scenes")
    return read_table(folder / "scenes.csv", SCENE_TEXT), read_table(folder / "voices.csv", VOICE_TEXT)


def finished_config(asked: Config) -> Config:
    """The config that the finished run was made with.

    Raises:
        ArtifactError: there is no such run.
    """
    file = paths(asked).stage("ensemble") / "config.json"
    if not file.is_file():
        raise ArtifactError(f"no finished run in {paths(asked).run}: ./run.sh all first")
    return validate(read_json(file))


def our_answers(ours: Config) -> list[Answers]:
    """Each member of the finished run alone, calibrated as the ensemble is, and the ensemble last.

    Out of fold, all are judged by the scenes that the ensemble is judged by.
    """
    places = paths(ours)
    folder, (scenes, voices) = places.stage("ensemble"), _scenes(places)
    table = read_table(folder / "oof.csv", ("scene", "state"))
    rows = scored_rows(scenes, voices, table["fold"].to_numpy(int), places, ours)
    label, oof = label_and_probability(table, ours.outputs)
    groups = first_group(scenes, voices)[rows]
    whole = Answers("ours: ensemble", label[rows], oof[rows], groups, read_array(folder / "test.npy"))
    shares = np.array(Blend.from_dict(read_json(folder / "ensemble.json")).shares)
    return [*(_member(name, table, rows, whole, shares, ours) for name in (*ours.networks, STACK)), whole]


def _member(
    name: str, table: pd.DataFrame, rows: np.ndarray, whole: Answers, shares: np.ndarray, ours: Config
) -> Answers:
    """One member as an ensemble of its own: cross-fitted out of fold, on the test at the shares of the whole."""
    logits = table[[f"logit_{name}_{output}" for output in ours.outputs]].to_numpy(float)[:, None]
    label, _ = label_and_probability(table, ours.outputs)
    oof = cross_fit(logits, label, table["fold"].to_numpy(int), [name], ours, rows).probability()[rows]
    blend = fit_blend(logits[rows], whole.label, [name], ours).at_shares(shares)
    places = paths(ours)
    file = places.stage(STACK) / "test.npy" if name == STACK else places.stage("train") / f"test-{name}.npy"
    test = blend.probability(read_array(file).mean(axis=0)[:, None])  # over the fold models
    return Answers(f"ours: {name}", whole.label, oof, whole.groups, test)


def read_solution(file: Path, ours: Config) -> np.ndarray:
    """Labels (n_test, n_outputs) float64 in the order of the test clips.

    Raises:
        DataError: a column or a clip is missing.
    """
    clips = read_table(paths(ours).stage("prepare") / "clips.csv", CLIP_TEXT)
    solution = read_table(file, ("id", "state"))
    if {"id", *ours.outputs} - set(solution.columns):
        raise DataError(f"{file} needs the columns id, {', '.join(ours.outputs)}")
    asked = clips.loc[clips["split"] == "test", ["id"]]
    label = asked.merge(solution, on="id", how="left", validate="1:1")[ours.outputs].to_numpy(float)
    if np.isnan(label).any():
        raise DataError(f"{file} lacks {np.isnan(label).any(axis=1).sum()} of the test clips")
    return label


def scores(label: np.ndarray, probability: np.ndarray, groups: np.ndarray | None) -> Scores:
    """Each measure's value and the ends of its 95 % interval, resampled by group where there are groups."""
    found = {}
    for title, name in MEASURES.items():
        measure = plugins.load("metrics", name).measure
        found[title] = (measure(label, probability), *bootstrap_interval(measure, label, probability, groups, N_DRAWS))
    return found


def score_all(answers: list[Answers], solution: np.ndarray | None) -> list[dict[str, Any]]:
    """A row per system: title, scores out of fold and, where there is a solution, on the test."""
    rows = [{"system": a.title, "oof": scores(a.label, a.oof, a.groups)} for a in answers]
    if solution is not None:
        for row, answer in zip(rows, answers, strict=True):
            row["test"] = scores(solution, answer.test, None)
    return rows


def markdown(rows: list[dict[str, Any]], split: str) -> str:
    """One table: a line per system, each value with its 95 % interval."""
    lines = [["system", *MEASURES], ["---"] * (1 + len(MEASURES))]
    for row in rows:
        cells = [f"{value:.4f} ({low:.4f} to {high:.4f})" for value, low, high in row[split].values()]
        lines.append([row["system"], *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str]) -> None:
    """Train the peers, print the tables, write the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="of the finished run")
    parser.add_argument("--solution", type=Path, help="CSV with id and a column of 0 and 1 per output")
    parser.add_argument("--peers", type=Path, nargs="*", default=sorted(PEERS.glob("*.yaml")), metavar="YAML")
    parser.add_argument("--out", type=Path, help="JSON to write; runs/<competition>/peers.json if not given")
    parser.add_argument("words", nargs="*", metavar="key=value", help="as the finished run was given")
    options = parser.parse_args(arguments)
    ours = finished_config(load_config(options.config, options.words))
    solution = read_solution(options.solution, ours) if options.solution else None
    peers = [read_peer(file, ours) for file in options.peers]
    rows = score_all([*map(peer_answers, peers), *our_answers(ours)], solution)
    write_json(options.out or paths(ours).run.parent / "peers.json", rows)
    for split, title in (("oof", "Out of fold, each on its own scenes or clips"), ("test", "Test")):
        if split in rows[0]:
            print(f"\n{title}, value (95 % interval):\n\n{markdown(rows, split)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FakevoiceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
