"""Fills the feature cache: renders scenes, reads clips, and computes the shards that are missing.

The key of a folder stands for everything that its values depend on: parameters, tables, and the code that computes
them. A killed run continues at the first missing shard.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio.preprocess import fitted, read_or_silence
from fakevoice.core import artifacts, code_hash
from fakevoice.core.config import Config, digest
from fakevoice.core.errors import ConfigError
from fakevoice.data.clip_cache import ClipFiles, Sounds
from fakevoice.features import embed
from fakevoice.features.extract import POOLED, extract_on, pooled_names
from fakevoice.features.store import shard_name, write_manifest
from fakevoice.parallel.pool import run_parallel
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render, render_all

CLIPS_AT_ONCE = 32
SCENES, FILES = "scenes", "files"  # splits that are rendered; others are read


@dataclass(frozen=True)
class Sources:
    """What clips and scenes are made from.

    Attributes:
        splits: split → table; ``scenes`` holds the scene table, ``files`` the windows of simulated files, others clip
            tables with id and path, a row per window.
        voices: the voice table of the scenes and files.
        sounds: the training clips.
        bank: folder of the mined noises.
        given: pooled statistics by clip id, where the competition gives them instead of sound; else without columns.
    """

    splits: dict[str, pd.DataFrame]
    voices: pd.DataFrame
    sounds: Sounds
    bank: Path
    raw: Path
    given: pd.DataFrame


@dataclass(frozen=True)
class _Shard:
    """One task of a worker: some rows of one split, and the files to write.

    Attributes:
        given: (n_rows, n_columns) float32 pooled statistics that are not computed; None where there is sound.
    """

    split: str
    rows: pd.DataFrame
    voices: pd.DataFrame
    sounds: Sounds
    bank: Path
    targets: dict[str, Path]
    config: Config
    given: np.ndarray | None


def feature_folders(cache: Path, config: Config, inputs: dict[str, str]) -> dict[str, Path]:
    """Folder of each feature and of the pooled statistics.

    Args:
        inputs: name → hash of the tables and noises that scenes are made from.
    """
    named = code_hash.named_plugins(config, ("scenes",))
    rendering_only = named | {"features": [], "statistics": [], "encoders": []}
    rendering = code_hash.digest_of(["pipeline.feature_shards"], rendering_only)
    common = [inputs, rendering, config.seed, config.sample_rate_hz, config.clip_duration_s, config.shard_size]
    common += [config.preprocessing.model_dump(), config.scenes.model_dump(), config.spectrogram.model_dump()]
    if config.files.n_files:
        code = code_hash.digest_of(["pipeline.long_files"], rendering_only)
        common.append([config.files.hop_s, config.files.duration_s, code])
    own: dict[str, list] = {}
    for name, args in config.features.items():
        own[name] = [args, *_code_and_weights(name, args, named)]
    statistics = [[name, code_hash.digest_of([f"features.statistics.{name}"], named)] for name in config.statistics]
    own[POOLED] = [{name: own[name] for name in config.pooled}, statistics]
    return {name: cache / f"{name}-{digest([name, common, value])[:12]}" for name, value in own.items()}


def _code_and_weights(name: str, args: dict, named: dict) -> list[str]:
    if not embed.is_encoder(args):
        return [code_hash.digest_of([f"features.frames.{name}"], named)]
    files = [artifacts.checksum(file) for file in embed.weight_files(args)]
    return [code_hash.digest_of([f"features.encoders.{args[embed.ENCODER]}"], named), *files]


def given_statistics(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """What a competition gives instead of sound, as the pooled statistics of the config.

    Args:
        table: id and one column per statistic; of no rows where there is sound.

    Returns:
        Statistics in the order of `extraction.pooled_names`, indexed by id; without columns where there is sound.

    Raises:
        ConfigError: the config asks for features of sound, or for statistics that are not given.
    """
    if table.empty:
        return table.set_index("id").iloc[:, :0]
    if config.features:
        raise ConfigError(f"{config.competition} has no sound, only statistics: set features and networks to nothing")
    names = pooled_names(config)
    missing = sorted(set(names) - set(table.columns))
    if missing:
        raise ConfigError(f"statistics {config.statistics}: the data does not give {', '.join(missing[:5])}")
    return table.set_index("id")[names]


def fill(folders: dict[str, Path], sources: Sources, config: Config) -> dict[str, Path]:
    """Compute every shard that is missing or damaged, and write the manifests.

    Returns:
        Feature → its manifest.
    """
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.remove_temporaries(folder)
        artifacts.remove_damaged(folder)
    shards = [shard for split in sources.splits for shard in _missing_shards(split, folders, sources, config)]
    n_clips = sum(len(shard.rows) for shard in shards)
    if shards:
        print(f"features: {n_clips} clips in {len(shards)} shards for {', '.join(folders)}", flush=True)
    for _ in run_parallel(_compute_shard, shards, "features", "shards"):
        pass
    counts = {split: len(table) for split, table in sources.splits.items()}
    return {name: write_manifest(folder, counts, config.shard_size) for name, folder in folders.items()}


def _missing_shards(split: str, folders: dict[str, Path], sources: Sources, config: Config) -> list[_Shard]:
    table, shards = sources.splits[split], []
    for start in range(0, len(table), config.shard_size):
        rows = table.iloc[start : start + config.shard_size]
        name = shard_name(split, start // config.shard_size)
        targets = {feature: folder / name for feature, folder in folders.items() if not (folder / name).is_file()}
        if not targets:
            continue
        if split in (SCENES, FILES):
            voices = sources.voices[sources.voices["scene"].isin(rows["scene"])]
            clips, sounds = voices["clip"], sources.sounds.of(voices["clip"].unique().tolist())
        else:
            paths = {path: sources.raw / path for path in rows["path"]}
            voices, clips, sounds = sources.voices.iloc[:0], rows["id"], ClipFiles(paths, config)
        given = sources.given.loc[clips].to_numpy(np.float32) if len(sources.given.columns) else None
        shards.append(_Shard(split, rows, voices, sounds, sources.bank, targets, config, given))
    return shards


def _compute_shard(shard: _Shard) -> None:
    if shard.given is not None:
        return artifacts.write_array(shard.targets[POOLED], shard.given)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in shard.targets}
    waveforms = _waveforms(shard)
    while block := list(islice(waveforms, CLIPS_AT_ONCE)):
        arrays = extract_on(shard.config.features_device, np.stack(block), shard.config, list(shard.targets))
        for name, array in arrays.items():
            columns[name].append(array if name == POOLED else array.astype(np.float16))
    for name, arrays in columns.items():
        artifacts.write_array(shard.targets[name], np.concatenate(arrays))


def _waveforms(shard: _Shard) -> Iterator[np.ndarray]:
    if shard.split == FILES:
        yield from _windows_of_files(shard)
    elif shard.split == SCENES:
        bank = NoiseBank.load(shard.bank)
        yield from render_all(shard.rows, shard.voices, shard.sounds.read, bank, shard.config)
    else:
        silence = np.zeros(shard.config.n_samples, np.float32)
        for path, error in zip(shard.rows["path"], shard.rows["error"], strict=True):
            yield silence if error else read_or_silence(shard.sounds.paths[path], shard.config)[0]


def _windows_of_files(shard: _Shard) -> Iterator[np.ndarray]:
    """The windows of simulated files, each of which is rendered once for windows that follow each other."""
    bank, config = NoiseBank.load(shard.bank), shard.config
    voices = {name: list(rows.itertuples()) for name, rows in shard.voices.groupby("scene")}
    for name, windows in groupby(shard.rows.itertuples(), key=lambda row: row.scene):
        rows = list(windows)
        whole = config.model_copy(update={"clip_duration_s": rows[0].duration_s})
        waveform = render(rows[0], voices.get(name, ()), shard.sounds.read, bank, whole)
        for row in rows:
            yield fitted(waveform[row.start : row.end], config)
