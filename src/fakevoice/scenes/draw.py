"""Draws the scene tables: which voices, when, how loud, in which noise, room and codec, in which fold.

Two tables are data for everything after: `scenes.csv`, a row per scene, and `voices.csv`, a row per
piece of recording in it. `rendering` turns rows into sound, always the same. Where the competition
needs no mixing, a scene is a clip alone.
"""

import copy
from collections import defaultdict

import numpy as np
import pandas as pd

from fakevoice.audio.channel import CODECS, EQUALIZER_DB
from fakevoice.audio.synthesis.noise_shapes import RECORDED_KINDS
from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.config_sections import Scenes
from fakevoice.core.errors import FoldsError
from fakevoice.core.progress import track
from fakevoice.core.random import Stream, generator
from fakevoice.data.groups import group_chances

MIN_VOICE_S, JOINT_S = 1.2, 0.15
VOICE_GAIN_DB = (-6.0, 6.0)  # each voice around the common level
RT60_S = (0.1, 0.8)  # small rooms to halls: time in which the reverberation falls by 60 dB
CLIPPING_PROBABILITY = 0.05  # per scene
CLIPPED = (0.001, 0.02)  # fraction of the samples of such a scene
SCENE_COLUMNS = [
    "scene",
    "fold",
    "state",
    "snr_db",
    "noise",
    "noise_band_limit_hz",
    "noise_active",
    "noise_period_s",
    "event",
    "event_db",
    "codec",
    "level_dbfs",
    "clipped",
    "seed",
]
VOICE_COLUMNS = [
    *("scene", "slot", "part", "clip", "group", "label", "vocoder", "gain_db", "offset_s", "duration_s", "start"),
    *("rt60_s", "equalizer_db", "band_limit_hz", "low_cut_hz"),
]


def plain_scenes(clips: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A scene per clip, untouched.

    Args:
        clips: training clips with id, group, label, fold.
    """
    n = len(clips)
    scenes = pd.DataFrame({"scene": [f"S{i:06d}" for i in range(n)], "fold": clips["fold"].to_numpy()})
    scenes["state"], scenes["seed"] = clips["label"].to_numpy(), np.arange(n)
    voices = pd.DataFrame({"scene": scenes["scene"], "slot": 0, "part": 0})
    for name, column in (("clip", "id"), ("group", "group"), ("label", "label")):
        voices[name] = clips[column].to_numpy()
    return scenes.reindex(columns=SCENE_COLUMNS), voices.reindex(columns=VOICE_COLUMNS)


def draw_scenes(
    clips: pd.DataFrame, noise_table: pd.DataFrame, config: Config, n_scenes: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw scenes, each from the clips and noises of one fold.

    Voices are drawn by group first, then within the group. Evenly by clip, one generator with many clips becomes
    what "fake" means; evenly by group, a crowd of many speakers, one clip of each, becomes what "real" means:
    `scenes.group_exponent` lies between. One law of lengths holds for all classes; a recording that is too short
    goes on with others of its group.

    Args:
        clips: training clips with id, group, label, fold, duration_s.
        noise_table: noises of the bank with segment, kind, fold.
        n_scenes: how many; the first of a longer list are those of a shorter one.

    Returns:
        The scene table and the voice table.

    Raises:
        FoldsError: a fold has no clip of a class that the states need.
    """
    pools = {fold: _FoldPool(part, noise_table, config) for fold, part in clips.groupby("fold")}
    scenes, voices = [], []
    states, priors = list(config.scenes.states), list(config.scenes.states.values())
    for index in track(range(n_scenes), n_scenes, "scenes", "scenes"):
        rng = generator(Stream.SCENE, config.seed, index)
        fold = index % config.folds.n_folds
        scene, its_voices = pools[fold].draw(f"S{index:06d}", str(rng.choice(states, p=priors)), rng)
        scenes.append({**scene, "fold": fold, "seed": index})
        voices.extend(its_voices)
    return pd.DataFrame(scenes, columns=SCENE_COLUMNS), pd.DataFrame(voices, columns=VOICE_COLUMNS)


def draw_files(clips: pd.DataFrame, noise_table: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw `files.n_files` long scenes, as `draw_scenes` does; each has a duration of its own.

    Returns:
        The scene table with a column duration_s, and the voice table.
    """
    pools = {fold: _FoldPool(part, noise_table, config) for fold, part in clips.groupby("fold")}
    files, voices = [], []
    states, priors = list(config.scenes.states), list(config.scenes.states.values())
    shortest_s, longest_s = config.files.duration_s
    for index in track(range(config.files.n_files), config.files.n_files, "files", "files"):
        rng = generator(Stream.FILE, config.seed, index)
        fold = index % config.folds.n_folds
        duration_s = round(shortest_s * (longest_s / shortest_s) ** rng.random(), 2)
        pool = pools[fold].of_duration(duration_s)
        file, its_voices = pool.draw(f"F{index:06d}", str(rng.choice(states, p=priors)), rng)
        # rendered by seeds that no scene has
        files.append({**file, "fold": fold, "seed": config.scenes.n_scenes + index, "duration_s": duration_s})
        voices.extend(its_voices)
    return pd.DataFrame(files, columns=[*SCENE_COLUMNS, "duration_s"]), pd.DataFrame(voices, columns=VOICE_COLUMNS)


def _maybe(rng: np.random.Generator, probability: float, value, otherwise):
    return value() if rng.random() < probability else otherwise


class _FoldPool:
    """What scenes of one fold are made of."""

    def __init__(self, clips: pd.DataFrame, noise_table: pd.DataFrame, config: Config):
        self.settings: Scenes = config.scenes
        self.clip_duration_s = config.clip_duration_s
        self.fold = clips["fold"].iloc[0]
        self.groups: dict[str, list[list[tuple[str, str, float]]]] = {}
        self.chances: dict[str, np.ndarray] = {}
        for label, part in clips.groupby("label"):
            members = defaultdict(list)
            for clip, group, duration_s in zip(part["id"], part["group"], part["duration_s"], strict=True):
                members[group].append((clip, group, duration_s))
            self.groups[label] = list(members.values())
            self.chances[label] = group_chances(
                [len(group) for group in members.values()], self.settings.group_exponent
            )
        own = noise_table[noise_table["fold"] == self.fold]
        self.noises = {kind: part["segment"].to_numpy() for kind, part in own.groupby("kind")}
        self.made = sorted(self.noises.keys() - set(RECORDED_KINDS))
        self.copiers = [*plugins.chosen("vocoders", self.settings.vocoders), *self.settings.resynthesis_codecs]
        self.codecs = self.settings.codecs or sorted(CODECS)

    def of_duration(self, duration_s: float) -> "_FoldPool":
        """The same pool for scenes of another duration."""
        other = copy.copy(self)
        other.clip_duration_s = duration_s
        return other

    def draw(self, scene: str, state: str, rng: np.random.Generator) -> tuple[dict, list[dict]]:
        law = self.settings
        labels = [] if state == "none" else state.split("+")
        voices = []
        for slot, (label, span) in enumerate(zip(labels, self._spans(len(labels), rng), strict=True)):
            voices += self._voice(scene, slot, label, span, rng)
        quiet = labels and rng.random() < law.no_noise_probability
        row = {
            "scene": scene,
            "state": state,
            "noise": "" if quiet else self._noise(rng),
            "snr_db": np.nan if quiet or not labels else round(rng.uniform(*law.snr_db), 2),
            "noise_band_limit_hz": round(
                _maybe(rng, law.noise_band_limit_probability, lambda: rng.uniform(*law.band_limit_hz), 0.0)
            ),
            "noise_active": round(_maybe(rng, law.gate_probability, lambda: rng.uniform(0.2, 0.9), 1.0), 3),
            "noise_period_s": round(rng.uniform(1.0, 2 * self.clip_duration_s), 3),
            "event": _maybe(rng, law.event_probability, lambda: self._noise(rng), ""),
            "event_db": round(rng.uniform(-15.0, 5.0), 2),
            "codec": _maybe(rng, law.codec_probability, lambda: str(rng.choice(self.codecs)), ""),
            "level_dbfs": round(rng.uniform(*law.level_dbfs), 2),
            "clipped": round(_maybe(rng, CLIPPING_PROBABILITY, lambda: rng.uniform(*CLIPPED), 0.0), 4),
        }
        return row, voices

    def _spans(self, n_voices: int, rng: np.random.Generator) -> list[tuple[float, float] | None]:
        """Start and duration in seconds of voices that follow each other; None for a voice that is free."""
        probability = self.settings.sequence_probability
        if n_voices < 2 or not probability or rng.random() >= probability:
            return [None] * n_voices
        share = rng.uniform(1.0, 3.0, n_voices)  # no part is shorter than a third of another one
        ends = self.clip_duration_s * np.cumsum(share) / share.sum()
        starts = [0.0, *ends[:-1]]
        return [(starts[place], ends[place] - starts[place]) for place in rng.permutation(n_voices)]

    def _noise(self, rng: np.random.Generator) -> str:
        recorded = [kind for kind in RECORDED_KINDS if kind in self.noises]
        is_recorded = recorded and (not self.made or rng.random() < self.settings.mined_noise_probability)
        kinds = recorded if is_recorded else self.made
        kind = kinds[0] if is_recorded and len(kinds) == 1 else str(rng.choice(kinds))
        return f"{kind}:{rng.choice(self.noises[kind])}"

    def _voice(
        self, scene: str, slot: int, label: str, span: tuple[float, float] | None, rng: np.random.Generator
    ) -> list[dict]:
        law = self.settings
        sources = [source for source, of_copies in law.resynthesis.items() if of_copies == label]
        copied = bool(sources) and rng.random() < law.resynthesis_probability
        source = sources[rng.integers(len(sources)) if len(sources) > 1 else 0] if copied else label
        if span:
            offset_s, duration_s = span
        else:
            duration_s = rng.uniform(min(MIN_VOICE_S, self.clip_duration_s), self.clip_duration_s)
        shared = {
            "scene": scene,
            "slot": slot,
            "label": label,
            "vocoder": str(rng.choice(self.copiers)) if copied else "",
            "gain_db": round(rng.uniform(*VOICE_GAIN_DB), 2),
            "offset_s": round(offset_s if span else rng.uniform(0.0, self.clip_duration_s - duration_s), 3),
            "duration_s": round(duration_s, 3),
            "start": round(rng.random(), 4),
            "rt60_s": round(_maybe(rng, law.room_probability, lambda: rng.uniform(*RT60_S), 0.0), 3),
            "equalizer_db": _maybe(rng, law.equalizer_probability, lambda: EQUALIZER_DB, 0.0),
            "band_limit_hz": round(
                _maybe(rng, law.band_limit_probability, lambda: rng.uniform(*law.band_limit_hz), 0.0)
            ),
            "low_cut_hz": round(_maybe(rng, 0.3, lambda: rng.uniform(50.0, 300.0), 0.0)),
        }
        pieces = self._recordings(source, duration_s, rng)
        return [{**shared, "part": part, "clip": clip, "group": group} for part, (clip, group, _) in enumerate(pieces)]

    def _recordings(self, label: str, duration_s: float, rng: np.random.Generator) -> list[tuple[str, str, float]]:
        if label not in self.groups:
            raise FoldsError(f"fold {self.fold} has no clip of class {label!r}: use fewer folds")
        groups = self.groups[label]
        group = groups[rng.choice(len(groups), p=self.chances[label])]
        pieces = [group[i] for i in rng.permutation(len(group))]
        total_s, n_pieces = 0.0, 0
        while total_s < duration_s and n_pieces < len(pieces):
            total_s += pieces[n_pieces][2] + JOINT_S
            n_pieces += 1
        return pieces[:n_pieces]
