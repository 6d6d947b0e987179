"""What a finished run can be asked: the conditions of its scenes, the worst of them, and how they sound.

Notebooks and reports call this module, `slices` and `exploration`, and define nothing of their own.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from fakevoice.analysis.exploration import load_clips
from fakevoice.core.artifacts import read_array, read_json, refuse_damaged
from fakevoice.core.config import Config, validate
from fakevoice.core.errors import ArtifactError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table
from fakevoice.core.tasks import rows_by_output
from fakevoice.data.clip_cache import open_clips
from fakevoice.data.groups import first_group
from fakevoice.metrics.slices import label_and_probability
from fakevoice.scenes.draw import VOICE_GAIN_DB
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render_all

N_BANDS = 5  # of SNR, overlap and level difference, equally wide
PROBABILITY_FLOOR = 1e-9


@dataclass(frozen=True, eq=False)
class Run:
    """The tables of a finished run.

    Attributes:
        config: the one that made the run, not the one that it was asked for with.
        clips: as of `load_clips`.
        scenes, voices: as `scenes.draw_scenes` drew them.
        oof: per scene the label, the cross-fitted probability and each member's logit of every output.
        members: score and its parts of each member and of the ensemble.
        importance: mean gain of each column of the stacker, one table column per output.
        metrics: the ensemble's score, its interval, and the weights.
        test_probability: (n_test, n_outputs) float64, rows as the test clips of clips.csv.
    """

    config: Config
    paths: Paths
    clips: pd.DataFrame
    scenes: pd.DataFrame
    voices: pd.DataFrame
    oof: pd.DataFrame
    members: pd.DataFrame
    importance: pd.DataFrame
    metrics: dict[str, Any]
    test_probability: np.ndarray


def load_run(config: Config) -> Run:
    """Read what `./run.sh all` left.

    Args:
        config: names the competition and the experiment; all else is taken from the run itself.

    Raises:
        ArtifactError: the run is not finished, a file is damaged, or its predictions are of other scenes.
    """
    places = paths(config)
    scenes_folder, ensemble = places.stage("scenes"), places.stage("ensemble")
    if not (ensemble / "manifest.json").is_file():
        raise ArtifactError(f"no finished run in {places.run}: ./run.sh all --config {config.competition}")
    for stage in ("prepare", "scenes", "stack", "ensemble"):
        refuse_damaged(places.stage(stage) / "manifest.json", places.home)
    run = Run(
        config=validate(read_json(ensemble / "config.json")),
        paths=places,
        clips=load_clips(config),
        scenes=read_table(scenes_folder / "scenes.csv", SCENE_TEXT),
        voices=read_table(scenes_folder / "voices.csv", VOICE_TEXT),
        oof=read_table(ensemble / "oof.csv", SCENE_TEXT),
        members=read_table(ensemble / "members.csv", ("member",)),
        importance=read_table(places.stage("stack") / "importance.csv", ("column",)),
        metrics=read_json(ensemble / "metrics.json"),
        test_probability=read_array(ensemble / "test.npy"),
    )
    same = ["scene", "fold", "state"]
    if not run.scenes[same].equals(run.oof[same]):
        raise ArtifactError(f"{ensemble / 'oof.csv'} is of other scenes: ./run.sh all --config {config.competition}")
    return run


def describe_scenes(run: Run) -> pd.DataFrame:
    """Each scene's conditions, predictions and loss.

    Returns:
        The columns of the scene table and of `Run.oof`, and: n_voices; overlap_s (time in which two
        voices sound at once, as drawn: a voice of too few recordings ends earlier);
        level_difference_db (loudest to softest voice); snr_band, overlap_band, level_band (ordered);
        noise_kind and event_kind (plug-in, "mined" or "none"); codec ("none" without); groups and
        vocoders (joined by "|"); first_group (of the first voice, or the scene itself: what errs
        together); loss, and loss_<output>, in nats.
    """
    table = run.scenes.merge(run.oof, on=["scene", "fold", "state"], validate="1:1")
    voices = run.voices.drop_duplicates(["scene", "slot"])
    by_scene = voices.groupby("scene")
    table["n_voices"] = table["scene"].map(by_scene.size()).fillna(0).astype(int)
    table["overlap_s"] = table["scene"].map(_overlap_s(voices)).fillna(0.0)
    difference_db = by_scene["gain_db"].max() - by_scene["gain_db"].min()
    table["level_difference_db"] = table["scene"].map(difference_db).where(table["n_voices"] > 1)
    table["first_group"] = first_group(table, voices)
    for column, source in (("groups", "group"), ("vocoders", "vocoder")):
        table[column] = by_scene[source].agg(_listed).reindex(table["scene"], fill_value="").to_numpy()
    for column, source in (("noise_kind", "noise"), ("event_kind", "event"), ("codec", "codec")):
        table[column] = table[source].str.partition(":")[0].replace("", "none")
    return _with_loss(_with_bands(table, run.config), run.config)


def _listed(names: pd.Series) -> str:
    return "|".join(sorted(set(names) - {""}))


def _overlap_s(voices: pd.DataFrame) -> pd.Series:
    """Time by scene in which at least two voices sound: where the count of those begun and not ended is 2 or more."""
    begin = voices[["scene"]].assign(time_s=voices["offset_s"], step=1)
    end = voices[["scene"]].assign(time_s=voices["offset_s"] + voices["duration_s"], step=-1)
    edges = pd.concat([begin, end]).sort_values(["scene", "time_s"], kind="stable")
    until_next_s = edges["time_s"].shift(-1) - edges["time_s"]
    return until_next_s.where(edges["step"].cumsum() > 1, 0.0).groupby(edges["scene"]).sum()


def _with_bands(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    count, law = table["n_voices"].clip(upper=2), config.scenes
    few = count.map({0: "no voice", 1: "one voice", 2: "apart"})
    overlap_s = table["overlap_s"].where(table["overlap_s"] > 0)
    widest_db = VOICE_GAIN_DB[1] - VOICE_GAIN_DB[0]
    silent = np.where(count == 0, "no voice", "no noise")
    table["snr_band"] = _band(table["snr_db"], *law.snr_db, "dB", silent)
    table["overlap_band"] = _band(overlap_s, 0.0, config.clip_duration_s, "s", few)
    table["level_band"] = _band(table["level_difference_db"], 0.0, widest_db, "dB", few)
    return table


def _band(value: pd.Series, low: float, high: float, unit: str, otherwise) -> pd.Categorical:
    edges = np.linspace(low, high, N_BANDS + 1)
    names = [f"{a:g} to {b:g} {unit}" for a, b in pairwise(edges)]
    inside = np.searchsorted(edges[1:-1], value)  # rounding may put a value a hair outside: the end bands take it
    words = np.where(value.notna(), np.array(names)[inside], otherwise)
    return pd.Categorical(words, [*sorted(set(words) - set(names)), *names], ordered=True)


def _with_loss(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    label, probability = label_and_probability(table, config.outputs)
    loss = -np.log(np.maximum(np.where(label == 1, probability, 1 - probability), PROBABILITY_FLOOR))
    mean_loss = loss.mean(axis=1, where=rows_by_output(label, config))
    return table.assign(loss=mean_loss, **{f"loss_{name}": loss[:, i] for i, name in enumerate(config.outputs)})


def worst_scenes(scenes: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` scenes of `describe_scenes` with the largest loss, largest first, without the members' logits."""
    return scenes.drop(columns=[c for c in scenes if c.startswith("logit_")]).nlargest(n, "loss")


def render_scene(run: Run, scene: str) -> np.ndarray:
    """The sound of a scene as the features heard it.

    Returns:
        (n_samples,) float32 at the config's rate.

    Raises:
        ArtifactError: the run has no such scene.
    """
    rows = run.scenes[run.scenes["scene"] == scene]
    if rows.empty:
        raise ArtifactError(f"{run.paths.run} has no scene {scene!r}; they go from S000000 on")
    audit = read_table(run.paths.stage("prepare") / "audit.csv", CLIP_TEXT)
    sounds = open_clips(run.clips, audit, run.paths.cache, run.paths.raw, run.config)
    voices, bank = run.voices[run.voices["scene"] == scene], NoiseBank.load(run.paths.stage("scenes"))
    (waveform,) = render_all(rows, voices, sounds.read, bank, run.config)
    return waveform
