"""Draws the scenes of a run: noises mined, conditions matched to the unlabeled clips, tables drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice import matching
from fakevoice.audio import fix_length, read_audio
from fakevoice.config import Config
from fakevoice.noise_bank import NoiseBank, mine_noises, with_whole_clips
from fakevoice.rendering import render
from fakevoice.scenes import draw_scenes, plain_scenes
from fakevoice.workers import run_parallel

N_PILOT, MIN_UNLABELED = 1500, 100
CANDIDATES_PER_SCENE = 3
MAX_VOICE_PROBABILITY = 0.1  # of a clip that is taken whole for noise
CHUNK = 25


@dataclass(frozen=True)
class DrawnScenes:
    """What the stage writes.

    Attributes:
        scenes, voices: the scene tables.
        bank: mined noises.
        matching: condition, log_weight of each round; empty where nothing was matched.
    """

    scenes: pd.DataFrame
    voices: pd.DataFrame
    bank: NoiseBank
    matching: pd.DataFrame


@dataclass(frozen=True)
class _Chunk:
    """Some scenes or clips to describe; travels to a worker."""

    config: Config
    paths: list[Path]
    scenes: pd.DataFrame | None = None
    voices: pd.DataFrame | None = None
    clip_paths: dict[str, Path] | None = None
    bank: NoiseBank | None = None


def draw(clips: pd.DataFrame, folds: pd.DataFrame, raw: Path, config: Config) -> DrawnScenes:
    """Draw all scenes of a competition.

    Args:
        clips: clip table of all splits.
        folds: id, group, label, fold of the training clips.
        raw: folder that clip paths are below.
    """
    train = folds.merge(clips.loc[clips["split"] == "train", ["id", "duration_s"]], on="id", validate="1:1")
    if not config.scenes.states:
        return DrawnScenes(*plain_scenes(train), NoiseBank.join([]), _weights_table([]))
    bank = mine_noises(clips, raw, config.sample_rate_hz, config.folds.n_folds)
    unlabeled = clips[clips["split"] == "unlabeled"]
    if not config.scenes.matched or len(unlabeled) < MIN_UNLABELED:
        drawn = draw_scenes(train, bank.table, config, config.scenes.n_scenes)
        return DrawnScenes(*drawn, bank, _weights_table([]))
    return _draw_matched(clips, train, bank, raw, config)


def _draw_matched(
    clips: pd.DataFrame, train: pd.DataFrame, bank: NoiseBank, raw: Path, config: Config
) -> DrawnScenes:
    """Two pilots: the first says what to change, the second whether it helped and what is left to change."""
    paths = {clip: raw / path for clip, path in zip(clips["id"], clips["path"], strict=True)}
    heard = clips.loc[clips["split"] == "unlabeled", "id"]
    unlabeled = _describe_clips([paths[clip] for clip in heard], config)
    candidates = draw_scenes(train, bank.table, config, N_PILOT)
    explained, described = _match(candidates, paths, bank, unlabeled, config, "as configured")
    voiced = (candidates[0]["state"] != "none").to_numpy()
    voice = matching.voice_probability(described, voiced, unlabeled, config.seed)
    whole = np.flatnonzero(voice < MAX_VOICE_PROBABILITY)
    bank = with_whole_clips(bank, clips, whole, raw, config.sample_rate_hz, config.folds.n_folds)
    candidates = draw_scenes(train, bank.table, config, CANDIDATES_PER_SCENE * config.scenes.n_scenes)
    pilot = _choose(candidates, explained, N_PILOT, config)
    left, _ = _match(pilot, paths, bank, unlabeled, config, "matched once")
    scenes, voices = _choose(candidates, explained.add(left, fill_value=0.0), config.scenes.n_scenes, config)
    return DrawnScenes(scenes, voices, bank, _weights_table([explained, left]))


def _match(tables, paths, bank: NoiseBank, unlabeled: np.ndarray, config: Config, what: str):
    """Log-weights of conditions from a pilot, and its descriptions."""
    scenes, voices = tables
    described = _describe_scenes(scenes, voices, paths, bank, config)
    log_odds, auc = matching.resemblance(described, unlabeled, config.seed)
    print(f"scenes: {what}, told from the unlabeled clips with AUC {auc:.3f} (0.5: not at all)", flush=True)
    return matching.explain(matching.conditions(scenes, voices), scenes["state"], log_odds), described


def _choose(tables, explained: pd.Series, n_scenes: int, config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    scenes, voices = tables
    weight = matching.log_weights(matching.conditions(scenes, voices), explained)
    chosen = scenes.iloc[matching.choose(scenes, weight, n_scenes, config.seed)]
    return chosen.reset_index(drop=True), voices[voices["scene"].isin(chosen["scene"])].reset_index(drop=True)


def _weights_table(rounds: list[pd.Series]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"round": index + 1, "condition": part.index, "log_weight": part.to_numpy()})
        for index, part in enumerate(rounds)
    ]
    return pd.concat([pd.DataFrame(columns=["round", "condition", "log_weight"]), *parts]) if parts else pd.DataFrame(
        columns=["round", "condition", "log_weight"]
    )


def _describe_clips(paths: list[Path], config: Config) -> np.ndarray:
    chunks = [_Chunk(config, paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    return np.concatenate(list(run_parallel(_described_clips, chunks, "scenes: unlabeled clips", "chunks")))


def _described_clips(chunk: _Chunk) -> np.ndarray:
    config = chunk.config
    waveforms = (fix_length(read_audio(path, config.sample_rate_hz).waveform, config.n_samples) for path in chunk.paths)
    return np.array([matching.describe(waveform, config.sample_rate_hz) for waveform in waveforms])


def _describe_scenes(scenes: pd.DataFrame, voices: pd.DataFrame, paths, bank: NoiseBank, config: Config) -> np.ndarray:
    chunks = []
    for start in range(0, len(scenes), CHUNK):
        rows = scenes.iloc[start : start + CHUNK]
        its_voices = voices[voices["scene"].isin(rows["scene"])]
        its_paths = {clip: paths[clip] for clip in its_voices["clip"].unique()}
        chunks.append(_Chunk(config, [], rows, its_voices, its_paths, bank))
    return np.concatenate(list(run_parallel(_described_scenes, chunks, "scenes: pilot", "chunks")))


def _described_scenes(chunk: _Chunk) -> np.ndarray:
    config, voices = chunk.config, dict(tuple(chunk.voices.groupby("scene")))
    rows = []
    for scene in chunk.scenes.itertuples():
        its_voices = voices.get(scene.scene, chunk.voices.iloc[:0])
        read = lambda clip: read_audio(chunk.clip_paths[clip], config.sample_rate_hz).waveform  # noqa: E731
        rows.append(matching.describe(render(scene, its_voices, read, chunk.bank, config), config.sample_rate_hz))
    return np.array(rows)
