"""Scores audio that no stage has seen, with the saved ensemble and the configuration that made it."""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from fakevoice.audio.preprocess import read_clips
from fakevoice.core import artifacts
from fakevoice.core.config import Config, validate
from fakevoice.core.errors import ArtifactError
from fakevoice.core.paths import Paths
from fakevoice.core.tasks import one_output_each
from fakevoice.ensemble.blend import STACK, Blend
from fakevoice.ensemble.ood import RANGE, Range
from fakevoice.ensemble.stacker import column_names, load_boosters, predict_logits
from fakevoice.features.extract import POOLED, extract_on, pooled_names
from fakevoice.parallel.pool import run_parallel
from fakevoice.training.networks import TrainedNetwork, choose_device, load_network

CHUNK = 32  # clips per task of a worker


@dataclass(frozen=True, eq=False)
class Scores:
    """What is said of some clips.

    Attributes:
        probability: (n_clips, n_outputs) float64, calibrated.
        low, high: the same shape; the least and the most that one fold's models alone would say.
        distance: (n_clips,) float64, from what training covered; above 1 a clip lies outside of it, and what the
            probabilities are worth is not known. 0 where the run has nothing to tell it by.
        reasons: per clip '' or why it could not be read; its probability is the prior, `low` and `high` are 0 and 1.
    """

    probability: np.ndarray
    low: np.ndarray
    high: np.ndarray
    distance: np.ndarray
    reasons: list[str]

    def rows(self, part: slice) -> "Scores":
        """Some of the clips."""
        arrays = (self.probability, self.low, self.high, self.distance)
        return Scores(*(array[part] for array in arrays), self.reasons[part])

    @classmethod
    def joined(cls, parts: list["Scores"]) -> "Scores":
        """One after the other."""
        arrays = zip(*((part.probability, part.low, part.high, part.distance) for part in parts), strict=True)
        return cls(*map(np.concatenate, arrays), [reason for part in parts for reason in part.reasons])


@dataclass(frozen=True)
class Predictor:
    """Every model of a finished run.

    Attributes:
        paths: of the run.
        version: checksum of its ensemble.
        networks: name → one network per fold.
        boosters: per fold, one per output.
        range: what training covered; None where the run has no pooled features.
    """

    paths: Paths
    version: str
    config: Config
    blend: Blend
    networks: dict[str, list[TrainedNetwork]]
    boosters: list[list]
    range: Range | None

    @classmethod
    def load(cls, paths: Paths) -> "Predictor":
        """Read the run's ensemble.

        Raises:
            ArtifactError: the run is not finished, or a file of it is damaged.
        """
        folder = paths.stage("ensemble")
        if not (folder / "ensemble.json").is_file():
            raise ArtifactError(f"no trained ensemble in {paths.run}: ./run.sh all first")
        for stage in ("train", "stack", "ensemble"):
            artifacts.refuse_damaged(paths.stage(stage) / "manifest.json", paths.home)
        config = validate(artifacts.read_json(folder / "config.json"))
        device, folds = choose_device(config.device), range(config.folds.n_folds)
        networks = {
            name: [
                load_network(paths.stage("train") / name / f"fold{k}" / "weights.safetensors", device)[0] for k in folds
            ]
            for name in config.networks
        }
        boosters = [load_boosters(paths.stage("stack"), k, len(config.outputs)) for k in folds]
        blend = Blend.from_dict(artifacts.read_json(folder / "ensemble.json"))
        covered = Range.load(paths.stage("stack") / RANGE) if pooled_names(config) else None
        return cls(paths, artifacts.checksum(folder / "ensemble.json"), config, blend, networks, boosters, covered)

    def predict(self, files: list[Path]) -> Scores:
        """Score files, in as many processes as there are cores; a GPU is served by one."""
        files = [file.absolute() for file in files]  # a worker may have been started in another folder
        chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
        n_jobs = 1 if choose_device(self.config.device).type == "cuda" else None
        score = partial(_score_files, self.paths, self.version)
        return Scores.joined(list(run_parallel(score, chunks, "predict", "chunks", n_jobs)))

    def score_files(self, files: list[Path]) -> Scores:
        """Score a few files in this process; what cannot be read gets the prior, and the reason."""
        return self.score_clips(list(read_clips(files, self.config)))

    def score_clips(self, clips: list[tuple[np.ndarray, str]]) -> Scores:
        """Score clips and reasons as `read_clips` gives them; a clip with a reason gets the prior."""
        reasons = [reason for _, reason in clips]
        scores = self.score(features_of([waveform for waveform, _ in clips], self.config))
        is_bad = [bool(reason) for reason in reasons]
        for values, said in ((scores.probability, self.blend.prior), (scores.low, 0), (scores.high, 1)):
            values[is_bad] = said
        scores.distance[is_bad] = 0
        return replace(scores, reasons=reasons)

    def fold_logits(self, name: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Logits (n_clips, n_outputs) of each fold of a network, from features by name."""
        x = arrays[self.config.networks[name].feature]
        raw = [network.logits(iter([network.standardizer(x)[:, None]])) for network in self.networks[name]]
        return [one_output_each(logits, self.config.task) for logits in raw]

    def member_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Logits (n_folds, n_clips, n_members, n_outputs) float64 of the blend's members, from features by name."""
        chains: dict[str, list[np.ndarray]] = {}
        for name in self.networks:
            chains[name] = self.fold_logits(name, arrays)
        names = column_names(self.config)
        chains[STACK] = [
            predict_logits(boosters, np.concatenate([arrays[POOLED], *(c[k] for c in chains.values())], axis=1), names)
            for k, boosters in enumerate(self.boosters)
        ]
        return np.stack([chains[member] for member in self.blend.members], axis=2)

    def score(self, arrays: dict[str, np.ndarray]) -> Scores:
        """Score features (n_clips, ...) by name, as `features_of` gives them."""
        members = self.member_logits(arrays)
        of_folds = np.stack([self.blend.probability(logits) for logits in members])
        distance = self.range.distance(arrays[POOLED]) if self.range else np.zeros(members.shape[1])
        probability = self.blend.probability(members.mean(axis=0))
        said = np.concatenate([of_folds, probability[None]])  # the ensemble is no mean of probabilities
        return Scores(probability, said.min(axis=0), said.max(axis=0), distance, [""] * len(probability))


@lru_cache(maxsize=1)
def loaded(paths: Paths, version: str) -> Predictor:
    """The models, read once in each process; `version` distinguishes a retrained run from the one before."""
    return Predictor.load(paths)


def _score_files(paths: Paths, version: str, files: list[Path]) -> Scores:
    return loaded(paths, version).score_files(files)


def extract_files(config: Config, files: list[Path]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of some files by name, (n_files, ...), and per file '' or why it cannot be read."""
    clips = list(read_clips(files, config))
    return features_of([waveform for waveform, _ in clips], config), [reason for _, reason in clips]


def features_of(waveforms: list[np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """Features of some clips as the networks saw them in training, by name, (n_clips, ...) float32.

    Args:
        waveforms: each (n_samples,) float32, as `preprocessing.fitted` gives it.
    """
    names = [*{network.feature: None for network in config.networks.values()}, POOLED]
    arrays = extract_on("cpu", np.stack(waveforms), config, names)
    return {name: a if name == POOLED else as_cached(a) for name, a in arrays.items()}


def as_cached(array: np.ndarray) -> np.ndarray:
    """A feature rounded to the float16 of the cache, so that a clip gets the same score on either way; float32."""
    return array.astype(np.float16).astype(np.float32)
