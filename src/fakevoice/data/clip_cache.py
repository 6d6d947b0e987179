"""Training clips decoded once: scenes hear a clip many times, and decoding would cost more than all that follows.

    features_cache/<competition>/clips-<key>/<block>.npy        (n_samples of all its clips,) int16, one after the other
    features_cache/<competition>/clips-<key>/<block>-index.npy  (n_clips, 2) float64: n_samples, peak

A clip's samples are 16-bit steps of its own peak, as in any WAV.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.audio.preprocess import read_waveform
from fakevoice.core import artifacts, code_hash
from fakevoice.core.config import Config, digest
from fakevoice.parallel.pool import run_parallel

CLIPS_PER_BLOCK = 256
FULL_SCALE = 32767
MANIFEST = "manifest.json"
N_OPEN = 64  # blocks whose index is kept


@dataclass(frozen=True)
class ClipFiles:
    """Clips by id, decoded each time: enough where a scene is a clip, which is heard once."""

    paths: dict[str, Path]
    config: Config

    def read(self, clip: str) -> np.ndarray:
        """As `preprocessing.read_waveform`."""
        return read_waveform(self.paths[clip], self.config)

    def of(self, clips: list[str]) -> "ClipFiles":
        """The same for some of the clips: less to send to a worker."""
        return ClipFiles({clip: self.paths[clip] for clip in clips}, self.config)


@dataclass(frozen=True)
class ClipSamples:
    """Decoded clips by id; only the place of each is kept in memory.

    Attributes:
        folder: of the blocks.
        place: clip id → its number in the order of the blocks.
    """

    folder: Path
    place: dict[str, int]

    def read(self, clip: str) -> np.ndarray:
        """The waveform (n_samples,) float32 of a clip, as `preprocessing.read_waveform` gives it but for the rounding.

        Raises:
            ArtifactError: the block is missing or damaged.
        """
        block, row = divmod(self.place[clip], CLIPS_PER_BLOCK)
        sounds, end, peak = _opened(self.folder, block)
        start = end[row - 1] if row else 0
        return sounds.rows(start, end[row]) * np.float32(peak[row] / FULL_SCALE)

    def of(self, clips: list[str]) -> "ClipSamples":
        """The same for some of the clips: less to send to a worker."""
        return ClipSamples(self.folder, {clip: self.place[clip] for clip in clips})


Sounds = ClipFiles | ClipSamples


@lru_cache(maxsize=N_OPEN)
def _opened(folder: Path, block: int) -> tuple[artifacts.StoredArray, np.ndarray, np.ndarray]:
    n_samples, peak = artifacts.read_array(folder / f"{_name(block)}-index.npy").T
    return artifacts.StoredArray(folder / f"{_name(block)}.npy"), np.cumsum(n_samples.astype(np.int64)), peak


@dataclass(frozen=True)
class _Block:
    """One task of a worker: the files of some clips, and the block to write."""

    paths: list[Path]
    folder: Path
    number: int
    config: Config


def open_clips(clips: pd.DataFrame, audit: pd.DataFrame, cache: Path, raw: Path, config: Config) -> Sounds:
    """The training clips; where scenes are mixed, what is not decoded yet is decoded.

    Args:
        clips: clip table.
        audit: its audit.
        cache: the competition's folder in the feature cache.
        raw: folder that paths are below.
    """
    rows = clips.loc[clips["split"] == "train", ["id", "path"]]
    files = ClipFiles({clip: raw / path for clip, path in zip(rows["id"], rows["path"], strict=True)}, config)
    if not config.scenes.states:
        return files
    content = audit.loc[audit["split"] == "train"].set_index("id")["sha256"].loc[rows["id"]]
    return _decode_once(files, content.tolist(), cache)


def _decode_once(files: ClipFiles, content: list[str], cache: Path) -> ClipSamples:
    config, clips, paths = files.config, list(files.paths), list(files.paths.values())
    code = code_hash.digest_of(["data.clip_cache"], {})
    settings = [config.sample_rate_hz, config.clip_duration_s]
    folder = cache / f"clips-{digest([clips, content, code, settings])[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    artifacts.remove_temporaries(folder)
    _forget_damaged(folder)
    starts = range(0, len(paths), CLIPS_PER_BLOCK)
    blocks = [_Block(paths[s : s + CLIPS_PER_BLOCK], folder, number, config) for number, s in enumerate(starts)]
    missing = [block for block in blocks if not (folder / f"{_name(block.number)}-index.npy").is_file()]
    for _ in run_parallel(_decode, missing, "decoding", f"blocks of {CLIPS_PER_BLOCK} clips"):
        pass
    if missing or not (folder / MANIFEST).is_file():  # a run may be stopped between the last block and this
        _write_manifest(folder, len(blocks))
    return ClipSamples(folder, {clip: place for place, clip in enumerate(clips)})


def _forget_damaged(folder: Path) -> None:
    manifest = folder / MANIFEST
    outputs = artifacts.read_manifest(manifest)["outputs"] if manifest.is_file() else {}
    for path in artifacts.damaged(outputs, folder, verify=True):
        block = path.name[: len(_name(0))]
        (folder / f"{block}-index.npy").unlink(missing_ok=True)


def _write_manifest(folder: Path, n_blocks: int) -> None:
    files = [folder / f"{_name(block)}{part}.npy" for block in range(n_blocks) for part in ("", "-index")]
    artifacts.write_json(folder / MANIFEST, {"outputs": artifacts.describe(files, folder)})


def _decode(block: _Block) -> None:
    waveforms = [read_waveform(path, block.config) for path in block.paths]
    peaks = np.array([float(np.abs(waveform).max()) or 1.0 for waveform in waveforms])
    steps = [np.rint(w * (FULL_SCALE / peak)).astype(np.int16) for w, peak in zip(waveforms, peaks, strict=True)]
    artifacts.write_array(block.folder / f"{_name(block.number)}.npy", np.concatenate(steps))
    index = np.column_stack([[len(step) for step in steps], peaks])
    artifacts.write_array(block.folder / f"{_name(block.number)}-index.npy", index)  # last: it says that both are there


def _name(block: int) -> str:
    return f"{block:05d}"
