"""Draws the scenes of a run: noises mined, conditions matched to the unlabeled clips, tables drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio.preprocess import read_clip
from fakevoice.core.config import Config
from fakevoice.data.clip_cache import Sounds
from fakevoice.metrics.slices import auc_with_interval
from fakevoice.parallel.pool import run_parallel
from fakevoice.scenes import matching
from fakevoice.scenes.draw import draw_scenes, plain_scenes
from fakevoice.scenes.generated_noises import make_noises
from fakevoice.scenes.noise_bank import NoiseBank, mine_noises, noise_folds, with_whole_clips
from fakevoice.scenes.render import render_all

N_PILOT, MIN_UNLABELED = 1500, 100
CANDIDATES_PER_SCENE = 3
MAX_VOICE_PROBABILITY = 0.1  # of a clip that is taken whole for noise
CHUNK = 25
Tables = tuple[pd.DataFrame, pd.DataFrame]  # scenes, voices


@dataclass(frozen=True, eq=False)
class DrawnScenes:
    """What the stage writes.

    Attributes:
        scenes, voices: the scene tables.
        bank: mined and made noises, kept on the disk.
        matching: round, condition, log_weight; empty where nothing was matched.
        pilots: pilot, n_scenes, auc (how well it is told from the unlabeled clips); empty where nothing was matched.
    """

    scenes: pd.DataFrame
    voices: pd.DataFrame
    bank: NoiseBank
    matching: pd.DataFrame
    pilots: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _World:
    """What all pilots have in common.

    Attributes:
        voices: the training clips' sound.
        heard: (n_unlabeled, n_columns) float32, descriptions of the unlabeled clips.
    """

    config: Config
    voices: Sounds
    heard: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pilot:
    """Scenes that were rendered and held against the unlabeled clips.

    Attributes:
        described: (n_scenes, n_columns) float32.
        auc: 0.5 where they sound like the unlabeled clips, 1 where none does.
        explained: log-weights of conditions.
    """

    name: str
    described: np.ndarray
    auc: float
    explained: pd.Series


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some scenes to render and describe; travels to a worker."""

    scenes: pd.DataFrame
    voices: pd.DataFrame
    sounds: Sounds
    bank: NoiseBank
    config: Config


def draw(
    clips: pd.DataFrame, folds: pd.DataFrame, sounds: Sounds, raw: Path, folder: Path, config: Config
) -> DrawnScenes:
    """Draw all scenes of a competition.

    Args:
        clips: clip table of all splits.
        folds: id, group, label, fold of the training clips.
        sounds: of the training clips.
        raw: folder that clip paths are below.
        folder: where the bank is kept, from which workers read it.
    """
    train = folds.merge(clips.loc[clips["split"] == "train", ["id", "duration_s"]], on="id", validate="1:1")
    if not config.scenes.states:
        return _drawn(plain_scenes(train), NoiseBank.join([]).kept(folder), [])
    mined, made = mine_noises(clips, raw, config.sample_rate_hz, config.folds.n_folds), make_noises(config)
    if config.scenes.matched and (clips["split"] == "unlabeled").sum() >= MIN_UNLABELED:
        return _draw_matched(clips, train, mined, made, sounds, raw, folder, config)
    bank = mined.extended_by(made).kept(folder)
    return _drawn(draw_scenes(train, bank.table, config, config.scenes.n_scenes), bank, [])


def _drawn(tables: Tables, bank: NoiseBank, pilots: list[_Pilot]) -> DrawnScenes:
    weights = [(i, *weight) for i, pilot in enumerate(pilots, start=1) for weight in pilot.explained.items()]
    measured = [(pilot.name, len(pilot.described), pilot.auc) for pilot in pilots]
    return DrawnScenes(
        *tables,
        bank,
        matching=pd.DataFrame(weights, columns=["round", "condition", "log_weight"]),
        pilots=pd.DataFrame(measured, columns=["pilot", "n_scenes", "auc"]),
    )


def _draw_matched(
    clips: pd.DataFrame,
    train: pd.DataFrame,
    mined: NoiseBank,
    made: NoiseBank,
    sounds: Sounds,
    raw: Path,
    folder: Path,
    config: Config,
) -> DrawnScenes:
    """Two pilots: the first says what to change, the second whether it helped and what is left to change."""
    heard = clips[clips["split"] == "unlabeled"]
    world = _World(config, sounds, _describe_clips([raw / path for path in heard["path"]], config))
    bank = mined.extended_by(made).kept(folder)
    drawn = draw_scenes(train, bank.table, config, N_PILOT)
    first = _try_out("as configured", drawn, bank, world)
    voiceless = _voiceless_clips(first, drawn[0], world)
    mined = with_whole_clips(mined, clips, voiceless, raw, config.sample_rate_hz, config.folds.n_folds)
    bank = mined.extended_by(made).kept(folder)
    candidates = draw_scenes(train, bank.table, config, CANDIDATES_PER_SCENE * config.scenes.n_scenes)
    second = _try_out(
        "matched once", _choose(candidates, first.explained, min(N_PILOT, config.scenes.n_scenes), config), bank, world
    )
    explained = first.explained.add(second.explained, fill_value=0.0)
    return _drawn(_choose(candidates, explained, config.scenes.n_scenes, config), bank, [first, second])


def _try_out(name: str, tables: Tables, bank: NoiseBank, world: _World) -> _Pilot:
    """Render a pilot, and explain what tells it from the unlabeled clips."""
    scenes, voices = tables
    described = _describe_scenes(scenes, voices, bank, world)
    is_unlabeled = np.repeat([False, True], [len(described), len(world.heard)])
    fold = np.concatenate([scenes["fold"], noise_folds(len(world.heard), world.config.folds.n_folds)])
    both = np.concatenate([described, world.heard])
    log_odds = matching.held_out_log_odds(both, is_unlabeled, fold, world.config.seed)
    auc, *_ = auc_with_interval(is_unlabeled, log_odds)
    print(f"scenes: {name}, told from the unlabeled clips with AUC {auc:.3f} (0.5: not at all)", flush=True)
    explained = matching.explain(matching.conditions(scenes, voices), scenes["state"], log_odds[~is_unlabeled])
    return _Pilot(name, described, auc, explained)


def _voiceless_clips(pilot: _Pilot, scenes: pd.DataFrame, world: _World) -> np.ndarray:
    """Which of the unlabeled clips hold no voice, by a detector that has learned on the pilot: (n,) int."""
    voiced = (scenes["state"] != "none").to_numpy()
    probability = matching.voice_probability(pilot.described, voiced, world.heard, world.config.seed)
    return np.flatnonzero(probability < MAX_VOICE_PROBABILITY)


def _choose(tables: Tables, explained: pd.Series, n_scenes: int, config: Config) -> Tables:
    scenes, voices = tables
    weight = matching.log_weights(matching.conditions(scenes, voices), explained)
    chosen = scenes.iloc[matching.choose(scenes, weight, n_scenes, config.seed)]
    return chosen.reset_index(drop=True), voices[voices["scene"].isin(chosen["scene"])].reset_index(drop=True)


def _describe_clips(paths: list[Path], config: Config) -> np.ndarray:
    chunks = [(paths[start : start + CHUNK], config) for start in range(0, len(paths), CHUNK)]
    return np.concatenate(list(run_parallel(_described_clips, chunks, "scenes: unlabeled clips", "chunks")))


def _described_clips(chunk: tuple[list[Path], Config]) -> np.ndarray:
    paths, config = chunk
    return np.array([matching.describe(read_clip(path, config), config.sample_rate_hz) for path in paths])


def _describe_scenes(scenes: pd.DataFrame, voices: pd.DataFrame, bank: NoiseBank, world: _World) -> np.ndarray:
    chunks = []
    for start in range(0, len(scenes), CHUNK):
        rows = scenes.iloc[start : start + CHUNK]
        its_voices = voices[voices["scene"].isin(rows["scene"])]
        chunks.append(_Chunk(rows, its_voices, world.voices.of(its_voices["clip"].unique()), bank, world.config))
    return np.concatenate(list(run_parallel(_described_scenes, chunks, "scenes: pilot", "chunks")))


def _described_scenes(chunk: _Chunk) -> np.ndarray:
    waveforms = render_all(chunk.scenes, chunk.voices, chunk.sounds.read, chunk.bank, chunk.config)
    return np.array([matching.describe(waveform, chunk.config.sample_rate_hz) for waveform in waveforms])
