"""The feature cache: shards of `.npy`, one folder per feature and key, a manifest written last.

    features_cache/<competition>/<feature>-<key>/<split>-<shard>.npy    (n_clips, n_bands, n_frames) float16
    features_cache/<competition>/pooled-<key>/<split>-<shard>.npy       (n_clips, n_columns) float32
    features_cache/<competition>/<feature>-<key>/manifest.json

The key stands for everything that the values depend on: parameters, tables, and the code that
computes them. A killed run goes on at the first shard that is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice import lookup, mirror, storage
from fakevoice.config import Config, digest
from fakevoice.errors import ArtefactError, AudioError, ConfigError
from fakevoice.extraction import POOLED, extract_on, pooled_names
from fakevoice.noise_bank import NoiseBank
from fakevoice.preprocessing import read_clip
from fakevoice.rendering import render_all
from fakevoice.samples import ClipFiles, Sounds
from fakevoice.sound import POOLING
from fakevoice.workers import run_parallel

CLIPS_AT_ONCE = 32


@dataclass(frozen=True)
class Sources:
    """What clips and scenes are made from.

    Attributes:
        splits: split → table; ``scenes`` holds the scene table, others clip tables with id and path.
        voices: the voice table of the scenes.
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
        inputs: name → hash of what all features depend on: the tables, and the code that makes the sound.
    """
    common = [inputs, config.seed, config.sample_rate_hz, config.clip_duration_s, config.shard_size]
    common += [config.preprocessing.model_dump(), config.scenes.model_dump(), config.spectrogram.model_dump()]
    own = {name: [args, lookup.source_hash(f"features/{name}")] for name, args in config.features.items()}
    statistics = [[name, lookup.source_hash(f"statistics/{name}")] for name in config.statistics]
    shared = [lookup.source_hash(module) for module in POOLING]
    own[POOLED] = [{name: own[name] for name in config.pooled}, statistics, shared]
    return {name: cache / f"{name}-{digest([name, common, value])[:12]}" for name, value in own.items()}


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
        storage.remove_temporaries(folder)
        storage.remove_damaged(folder)
    shards = [shard for split in sources.splits for shard in _missing_shards(split, folders, sources, config)]
    n_clips = sum(len(shard.rows) for shard in shards)
    if shards:
        print(f"features: {n_clips} clips in {len(shards)} shards for {', '.join(folders)}", flush=True)
    for _ in run_parallel(_compute_shard, shards, "features", "shards"):
        pass
    return {name: _write_manifest(folder, sources, config) for name, folder in folders.items()}


def _missing_shards(split: str, folders: dict[str, Path], sources: Sources, config: Config) -> list[_Shard]:
    table, shards = sources.splits[split], []
    for start in range(0, len(table), config.shard_size):
        rows = table.iloc[start : start + config.shard_size]
        name = _shard_name(split, start // config.shard_size)
        targets = {feature: folder / name for feature, folder in folders.items() if not (folder / name).is_file()}
        if not targets:
            continue
        if split == "scenes":
            voices = sources.voices[sources.voices["scene"].isin(rows["scene"])]
            clips, sounds = voices["clip"], sources.sounds.of(voices["clip"].unique().tolist())
        else:
            paths = {clip: sources.raw / path for clip, path in zip(rows["id"], rows["path"], strict=True)}
            voices, clips, sounds = sources.voices.iloc[:0], rows["id"], ClipFiles(paths, config)
        given = sources.given.loc[clips].to_numpy(np.float32) if len(sources.given.columns) else None
        shards.append(_Shard(split, rows, voices, sounds, sources.bank, targets, config, given))
    return shards


def _shard_name(split: str, index: int) -> str:
    return f"{split}-{index:05d}.npy"


def _compute_shard(shard: _Shard) -> None:
    if shard.given is not None:
        return storage.write_array(shard.targets[POOLED], shard.given)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in shard.targets}
    waveforms = _waveforms(shard)
    while block := list(islice(waveforms, CLIPS_AT_ONCE)):
        arrays = extract_on(shard.config.features_device, np.stack(block), shard.config, list(shard.targets))
        for name, array in arrays.items():
            columns[name].append(array if name == POOLED else array.astype(np.float16))
    for name, arrays in columns.items():
        storage.write_array(shard.targets[name], np.concatenate(arrays))


def _waveforms(shard: _Shard) -> Iterator[np.ndarray]:
    if shard.split == "scenes":
        bank = NoiseBank.load(shard.bank)
        yield from render_all(shard.rows, shard.voices, shard.sounds.read, bank, shard.config)
    else:
        silence = np.zeros(shard.config.n_samples, np.float32)
        for path, error in zip(mirror.ahead(shard.sounds.paths.values()), shard.rows["error"], strict=True):
            yield silence if error else read_or_silence(path, shard.config)[0]


def read_or_silence(path: Path, config: Config) -> tuple[np.ndarray, str]:
    """A clip of exactly the config's length, and ''; or silence and why it cannot be read, so that its row stays."""
    try:
        return read_clip(path, config), ""
    except AudioError as error:
        return np.zeros(config.n_samples, np.float32), error.reason


def _write_manifest(folder: Path, sources: Sources, config: Config) -> Path:
    names = [
        _shard_name(split, index)
        for split, table in sources.splits.items()
        for index in range(-(-len(table) // config.shard_size))
    ]
    counts = {split: len(table) for split, table in sources.splits.items()}
    manifest = {"schema": storage.SCHEMA_VERSION, "n_clips": counts, "shard_size": config.shard_size}
    storage.write_json(
        folder / "manifest.json", {**manifest, "outputs": storage.describe([folder / n for n in names], folder)}
    )
    return folder / "manifest.json"


def scored_splits(folder: Path) -> list[str]:
    """Splits that fold models score besides the scenes: ``test``, and ``unlabeled`` where there is any."""
    counts = storage.read_manifest(folder / "manifest.json", "n_clips")["n_clips"]
    return [split for split, count in counts.items() if split != "scenes" and count]


class CachedFeature:
    """One feature of one split, whose rows are read when they are asked for: memory does not grow with the clips.

    Raises:
        ArtefactError: no manifest, or a shard that does not fit it.
    """

    def __init__(self, folder: Path, split: str):
        path = folder / "manifest.json"
        manifest = storage.read_manifest(path, "n_clips", "shard_size")
        try:
            self.n_clips: int = manifest["n_clips"].get(split, 0)
            self.shard_size: int = manifest["shard_size"]
            n_shards = -(-self.n_clips // self.shard_size)
        except (TypeError, AttributeError, ZeroDivisionError) as error:
            raise ArtefactError(f"{path} is damaged ({error!r}); rerun with --verify") from error
        self._shards = [storage.StoredArray(folder / _shard_name(split, i)) for i in range(n_shards)]
        if sum(len(shard) for shard in self._shards) != self.n_clips:
            raise ArtefactError(f"{folder} holds another number of clips than its manifest; rerun with --verify")
        if len({shard.shape[1:] for shard in self._shards}) > 1:
            raise ArtefactError(f"{folder} holds shards of different shapes; rerun with --verify")
        self.shape: tuple[int, ...] = self._shards[0].shape[1:] if self._shards else ()

    def __len__(self) -> int:
        return self.n_clips

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Rows as (len(indices), *shape) float32."""
        indices, rows = np.asarray(indices), np.empty((len(indices), *self.shape), np.float32)
        # a run ends where the next index is not the following one, or lies in the next shard
        ends = np.flatnonzero((np.diff(indices) != 1) | (indices[1:] % self.shard_size == 0)) + 1
        for start, stop in pairwise([0, *ends.tolist(), len(indices)] if len(indices) else []):
            shard, row = divmod(int(indices[start]), self.shard_size)
            rows[start:stop] = self._shards[shard].rows(row, row + stop - start)
        return rows

    def all(self) -> np.ndarray:
        """Every row; for small features such as the pooled statistics."""
        return self.take(np.arange(self.n_clips))
