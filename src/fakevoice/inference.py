"""Scores audio that no stage has seen, with the saved ensemble and the configuration that made it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice import lookup, mirror, remote, storage
from fakevoice.audio import find_audio
from fakevoice.cache import read_or_silence
from fakevoice.config import Config, validate
from fakevoice.ensemble import STACK, Blend
from fakevoice.errors import ArtefactError, ConfigError, DataError
from fakevoice.extraction import POOLED, extract
from fakevoice.networks import TrainedNetwork, choose_device, load_network
from fakevoice.places import Paths, home
from fakevoice.stacker import column_names, load_boosters, predict_logits
from fakevoice.submission import off_the_edges
from fakevoice.tasks import one_output_each
from fakevoice.workers import run_parallel

CHUNK = 32  # clips per task of a worker


@dataclass(frozen=True)
class Predictor:
    """Every model of a finished run.

    Attributes:
        paths: of the run.
        version: checksum of its ensemble.
        networks: name → one network per fold.
        boosters: per fold, one per output.
    """

    paths: Paths
    version: str
    config: Config
    blend: Blend
    networks: dict[str, list[TrainedNetwork]]
    boosters: list[list]

    @classmethod
    def load(cls, paths: Paths) -> "Predictor":
        """Read the run's ensemble.

        Raises:
            ArtefactError: the run is not finished, or a file of it is damaged.
        """
        folder = paths.stage("ensemble")
        if not (folder / "ensemble.json").is_file():
            raise ArtefactError(f"no trained ensemble in {paths.run}: ./run.sh all first")
        config = validate(storage.read_json(folder / "config.json"))
        device, folds = choose_device(config.device), range(config.folds.n_folds)
        networks = {
            name: [
                load_network(paths.stage("train") / name / f"fold{k}" / "weights.safetensors", device)[0] for k in folds
            ]
            for name in config.networks
        }
        boosters = [load_boosters(paths.stage("stack"), k, len(config.outputs)) for k in folds]
        blend = Blend.from_dict(storage.read_json(folder / "ensemble.json"))
        return cls(paths, storage.checksum(folder / "ensemble.json"), config, blend, networks, boosters)

    def predict(self, files: list[Path]) -> tuple[np.ndarray, list[str]]:
        """Score files, in as many processes as there are cores; a GPU is served by one.

        Returns:
            Probabilities (n_files, n_outputs) float64 in the order of `files`, and per file '' or why it
            could not be read; such a file gets the prior.
        """
        files = [file.absolute() for file in files]  # a worker may have been started in another folder
        chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
        n_jobs = 1 if choose_device(self.config.device).type == "cuda" else None
        score = partial(_score_files, self.paths, self.version)
        results = list(run_parallel(score, chunks, "predict", "chunks", n_jobs))
        return np.concatenate([scored for scored, _ in results]), [reason for _, why in results for reason in why]

    def score(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (n_clips, n_outputs) float64 from features (n_clips, ...) by name."""
        chains: dict[str, list[np.ndarray]] = {}
        for name, folds in self.networks.items():
            x = arrays[self.config.networks[name].feature]
            raw = [network.logits(iter([network.standardizer(x)[:, None]])) for network in folds]
            chains[name] = [one_output_each(logits, self.config.task) for logits in raw]
        names = column_names(self.config)
        chains[STACK] = [
            predict_logits(boosters, np.concatenate([arrays[POOLED], *(c[k] for c in chains.values())], axis=1), names)
            for k, boosters in enumerate(self.boosters)
        ]
        members = [np.mean(chains[member], axis=0) for member in self.blend.members]  # over the fold models
        return self.blend.probability(np.stack(members, axis=1))


@lru_cache(maxsize=1)
def _loaded(paths: Paths, version: str) -> Predictor:
    """The models, read once in each worker process; `version` tells a retrained run from the one before."""
    return Predictor.load(paths)


def _score_files(paths: Paths, version: str, files: list[Path]) -> tuple[np.ndarray, list[str]]:
    predictor = _loaded(paths, version)
    arrays, reasons = extract_files(predictor.config, files)
    probability = predictor.score(arrays)
    probability[[bool(reason) for reason in reasons]] = predictor.blend.prior
    return probability, reasons


def extract_files(config: Config, files: list[Path]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of some files as the networks saw them in training, and per file '' or why it cannot be read."""
    names = [*{network.feature: None for network in config.networks.values()}, POOLED]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    reasons = []
    for file in mirror.ahead(files):
        waveform, reason = read_or_silence(file, config)
        reasons.append(reason)
        for name, array in extract(waveform, config, names).items():
            # float16 is what the cache holds, so that a clip gets the same score on either way
            columns[name].append(array if name == POOLED else array.astype(np.float16).astype(np.float32))
    return {name: np.stack(arrays) for name, arrays in columns.items()}, reasons


def list_clips(arguments: list[str], cache_gb: float = 50.0) -> list[tuple[str, Path]]:
    """Id and file of everything that was asked for, in the order given.

    A CSV has id and path, relative to its folder; a folder gives all audio files below it; the id of a
    plain file is its name without folder and extension. Each may lie at a URL.

    Args:
        cache_gb: bound of what is kept of URLs, in 10⁹ bytes.

    Raises:
        ConfigError: a password in a URL.
        DataError: a path that does not exist, nothing to score, or an id that stands twice.
    """
    clips = [clip for argument in arguments for clip in _expand(_entered(argument, cache_gb))]
    if not clips:
        raise DataError(f"no audio files in {', '.join(arguments)}")
    ids = pd.Series([clip for clip, _ in clips])
    if ids.duplicated().any():
        twice = ids[ids.duplicated()].iloc[0]
        raise DataError(f"id {twice!r} stands twice: two files of one name? give a CSV with id,path instead")
    return clips


def _entered(argument: str, cache_gb: float) -> Path:
    if not remote.is_url(argument):
        return Path(argument)
    if remote.password(argument):  # workers would not have it
        raise ConfigError(f"{remote.shown(argument)}: no password here; give credentials through the environment")
    return mirror.enter(home(), argument, cache_gb)


def _expand(path: Path) -> Iterator[tuple[str, Path]]:
    if path.suffix.lower() == ".csv":
        table = lookup.load("datasets", "dacon").read_test(path)
        yield from ((clip, path.parent / name) for clip, name in zip(table["id"], table["path"], strict=True))
    elif path.is_dir():
        yield from ((file.stem, file) for file in find_audio(path))
    elif mirror.exists(path):
        yield path.stem, path
    else:
        raise DataError(f"{path} does not exist")


def predict_table(predictor: Predictor, clips: list[tuple[str, Path]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores in the order of `clips`: id and one column per output; and a table id, path, reason of unreadable ones."""
    probability, reasons = predictor.predict([path for _, path in clips])
    table = pd.DataFrame(off_the_edges(probability), columns=predictor.config.outputs)
    table.insert(0, "id", [clip for clip, _ in clips])
    bad = [(clip, mirror.shown(path), why) for (clip, path), why in zip(clips, reasons, strict=True) if why]
    return table, pd.DataFrame(bad, columns=["id", "path", "reason"])
