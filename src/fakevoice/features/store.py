"""The feature cache: shards of `.npy`, one folder per feature and key, a manifest written last.

features_cache/<competition>/<feature>-<key>/<split>-<shard>.npy    (n_clips, n_bands, n_frames) float16
features_cache/<competition>/pooled-<key>/<split>-<shard>.npy       (n_clips, n_columns) float32
features_cache/<competition>/<feature>-<key>/manifest.json
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from fakevoice.core import artifacts
from fakevoice.core.errors import ArtifactError


def shard_name(split: str, index: int) -> str:
    """File name of one shard, e.g. ``scenes-00012.npy``."""
    return f"{split}-{index:05d}.npy"


def write_manifest(folder: Path, n_clips: dict[str, int], shard_size: int) -> Path:
    """List the shards of a folder with size and checksum.

    Args:
        n_clips: split → number of clips.
        shard_size: clips in each shard but the last.
    """
    names = [shard_name(split, index) for split, n in n_clips.items() for index in range(-(-n // shard_size))]
    manifest = {
        "schema": artifacts.SCHEMA_VERSION,
        "n_clips": n_clips,
        "shard_size": shard_size,
        "outputs": artifacts.describe([folder / name for name in names], folder),
    }
    artifacts.write_json(folder / "manifest.json", manifest)
    return folder / "manifest.json"


def scored_splits(folder: Path) -> list[str]:
    """Splits that fold models score besides the scenes: ``test``, and ``unlabeled`` where there is any."""
    counts = artifacts.read_manifest(folder / "manifest.json", "n_clips")["n_clips"]
    return [split for split, count in counts.items() if split != "scenes" and count]


class CachedFeature:
    """One feature of one split, whose rows are read when they are asked for: memory does not grow with the clips.

    Raises:
        ArtifactError: no manifest, or a shard that does not fit it.
    """

    def __init__(self, folder: Path, split: str):
        path = folder / "manifest.json"
        manifest = artifacts.read_manifest(path, "n_clips", "shard_size")
        try:
            self.n_clips: int = manifest["n_clips"].get(split, 0)
            self.shard_size: int = manifest["shard_size"]
            n_shards = -(-self.n_clips // self.shard_size)
        except (TypeError, AttributeError, ZeroDivisionError) as error:
            raise ArtifactError(f"{path} is damaged ({error!r}); rerun with --verify") from error
        self._shards = [artifacts.StoredArray(folder / shard_name(split, i)) for i in range(n_shards)]
        if sum(len(shard) for shard in self._shards) != self.n_clips:
            raise ArtifactError(f"{folder} holds another number of clips than its manifest; rerun with --verify")
        if len({shard.shape[1:] for shard in self._shards}) > 1:
            raise ArtifactError(f"{folder} holds shards of different shapes; rerun with --verify")
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
