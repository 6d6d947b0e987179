"""Clips that come in after deployment, and those of the run that they are held against.

Each recording counts as one clip, its beginning, as the line hears a clip of the test: windows of one recording are
alike, and tests of chance want clips that know nothing of each other.
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from fakevoice.analysis.domain_gap import audit_scenes
from fakevoice.analysis.finished_run import load_run
from fakevoice.audio.files import split_part
from fakevoice.core.artifacts import read_array, read_json
from fakevoice.core.errors import DataError
from fakevoice.core.paths import Paths
from fakevoice.core.random import Stream, generator
from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table
from fakevoice.core.tasks import logit_column
from fakevoice.data.audit import audit_clips
from fakevoice.ensemble.blend import STACK
from fakevoice.features.extract import POOLED
from fakevoice.features.store import CachedFeature
from fakevoice.inference.inputs import Source, Sources, folder_sources, list_sources, refuse_nothing
from fakevoice.inference.predictor import CHUNK, Predictor, extract_files
from fakevoice.parallel.pool import run_parallel
from fakevoice.training.networks import choose_device

FACTS = ("level_dbfs", "bandwidth_hz", "silence_fraction", "noise_floor_db", "duration_s", "peak")
MIN_TEST = 10  # test clips; fewer are no reference, and the scenes are asked
MAX_SCENES, N_AUDITED = 5000, 200  # more change no digit that is shown
DURATION_DIGITS = 1  # a codec's padding is no drift


@dataclass(frozen=True, eq=False)
class Clips:
    """What is known of some clips, all of them readable.

    Attributes:
        table: the columns of `FACTS`; distance (above 1: outside of what training covered); compared_<output>, the
            probability that is held against the reference; spread, how far single folds lie apart; nan where not
            known. Of clips that came in also id, path, note (on the file), modified_s (seconds since 1970) and
            <output>, the ensemble's probability.
        pooled: (n_clips, n_columns) float32, the stacker's columns.
    """

    table: pd.DataFrame
    pooled: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Clips":
        """Some of the clips, by number or by mask."""
        return Clips(self.table[chosen] if chosen.dtype == bool else self.table.iloc[chosen], self.pooled[chosen])


@dataclass(frozen=True, eq=False)
class Reference:
    """Clips of the run.

    Attributes:
        kind: ``test``, or ``scenes`` where there are too few test clips.
    """

    kind: str
    clips: Clips


def list_clips(arguments: list[str], cache_gb: float = 50.0) -> Sources:
    """As `inputs.list_sources`, but the id of each file in a folder is its path in there.

    Raises:
        DataError: as there.
    """
    clips = Sources()
    for argument in arguments:
        folder = Path(argument)
        found = folder_sources(folder, named_by_path=True) if folder.is_dir() else list_sources([argument], cache_gb)
        clips += found
        clips.skipped += found.skipped
    refuse_nothing(clips, arguments)
    return clips


def score_clips(predictor: Predictor, sources: list[Source], kind: str) -> tuple[Clips, pd.DataFrame]:
    """Measure and score clips, in as many processes as there are cores.

    Args:
        kind: of the reference. What it says of scenes is of the one fold that never saw them, so that the same is
            asked about new clips, of each fold in turn: the mean of all folds is less sure of itself.

    Returns:
        The clips that can be read, oldest first and by id where they are of one time; and id, path and reason of the
        others.
    """
    files = [source.path.absolute() for source in sources]  # a worker may have been started in another folder
    names = {"id": [source.id for source in sources], "path": [str(source.path) for source in sources]}
    asked = pd.DataFrame({"id": names["id"], "split": "new", "path": list(map(str, files))})
    facts, _ = audit_clips(asked, Path(), predictor.config.sample_rate_hz)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    n_jobs = 1 if choose_device(predictor.config.device).type == "cuda" else None
    score = partial(_hear_files, predictor.paths, predictor.version, kind)
    parts = list(run_parallel(score, chunks, "monitor", "chunks", n_jobs))
    table = pd.DataFrame(names | {"note": facts["note"], "modified_s": [_modified_s(file) for file in files]})
    table = pd.concat([table, _facts(facts), *[pd.concat([part for part, _ in parts], ignore_index=True)]], axis=1)
    table["reason"] = table["reason"].where(table["reason"] != "", facts["error"])
    pooled, is_heard = np.concatenate([pooled for _, pooled in parts]), (table["reason"] == "").to_numpy()
    order = table.sort_values(["modified_s", "id"], kind="stable").index.to_numpy()
    heard = order[is_heard[order]]
    clips = Clips(table.loc[heard].drop(columns="reason").reset_index(drop=True), pooled[heard])
    return clips, table.loc[order[~is_heard[order]], ["id", "path", "reason"]].reset_index(drop=True)


def _facts(audit: pd.DataFrame) -> pd.DataFrame:
    facts = audit[list(FACTS)].reset_index(drop=True)
    return facts.assign(duration_s=facts["duration_s"].round(DURATION_DIGITS))


def _modified_s(file: Path) -> float:
    try:
        return split_part(file)[0].stat().st_mtime
    except OSError:  # it is gone since, or never was there: reading it tells why
        return 0.0


@lru_cache(maxsize=1)
def _loaded(paths: Paths, version: str) -> Predictor:
    """The models, read once in each worker process; `version` tells a retrained run from the one before."""
    return Predictor.load(paths)


def _hear_files(paths: Paths, version: str, kind: str, files: list[Path]) -> tuple[pd.DataFrame, np.ndarray]:
    predictor = _loaded(paths, version)
    arrays, reasons = extract_files(predictor.config, files)
    scores, outputs = predictor.score(arrays), predictor.config.outputs
    compared = scores.probability if kind == "test" else _of_one_fold(predictor, arrays)
    table = pd.DataFrame({"reason": reasons, "distance": scores.distance})
    table["spread"] = (scores.high - scores.low).mean(axis=1)
    for name, values in (("", scores.probability), ("compared_", compared)):
        table[[f"{name}{output}" for output in outputs]] = values
    return table, arrays[POOLED]


def _of_one_fold(predictor: Predictor, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities (n_clips, n_outputs): of the first clip by the models of fold 0, of the second by fold 1, ..."""
    n_clips, n_folds = len(arrays[POOLED]), len(predictor.boosters)
    probability = np.empty((n_clips, len(predictor.config.outputs)))
    for k in range(min(n_folds, n_clips)):
        own = {name: [folds[k]] for name, folds in predictor.networks.items()}
        alone = replace(predictor, networks=own, boosters=[predictor.boosters[k]], range=None)
        probability[k::n_folds] = alone.score({name: array[k::n_folds] for name, array in arrays.items()}).probability
    return probability


def find_reference(predictor: Predictor) -> Reference:
    """The run's test clips, or its scenes if there are few of them or they are files longer than a clip.

    Raises:
        ArtifactError: the run is not finished.
    """
    audit = read_table(predictor.paths.stage("prepare") / "audit.csv", CLIP_TEXT)
    is_test = audit["split"] == "test"
    n_test = (is_test & (audit["error"] == "")).sum()
    if n_test >= MIN_TEST and not predictor.config.files.n_files:
        return Reference("test", _test(predictor, audit[is_test]))
    return Reference("scenes", _scenes(predictor, audit[audit["split"] == "train"]))


def _test(predictor: Predictor, audit: pd.DataFrame) -> Clips:
    blend, paths = predictor.blend, predictor.paths
    files = {member: paths.stage("train") / f"test-{member}.npy" for member in blend.members}
    files |= {STACK: paths.stage(STACK) / "test.npy"}
    logits = np.stack([read_array(file) for file in files.values()], axis=2)  # (n_folds, n_clips, n_members, n_outputs)
    of_folds, probability = (
        np.stack([blend.probability(fold) for fold in logits]),
        blend.probability(logits.mean(axis=0)),
    )
    said = np.concatenate([of_folds, probability[None]])
    spread = (said.max(axis=0) - said.min(axis=0)).mean(axis=1)
    clips = _clips(predictor, _facts(audit).assign(spread=spread), probability, _cached(predictor, "test").all())
    return clips.rows((audit["error"] == "").to_numpy())


def _scenes(predictor: Predictor, audit: pd.DataFrame) -> Clips:
    config, paths = predictor.config, predictor.paths
    oof = read_table(paths.stage("ensemble") / "oof.csv", SCENE_TEXT)
    rows = np.sort(generator(Stream.MONITORED_SCENES, config.seed).permutation(len(oof))[:MAX_SCENES])
    oof = oof.iloc[rows].reset_index(drop=True)
    columns = [logit_column(member, i) for member, i in product(predictor.blend.members, range(len(config.outputs)))]
    logits = oof[columns].to_numpy().reshape(len(oof), -1, len(config.outputs))
    facts = _scene_facts(predictor, audit).reindex(oof["scene"]).reset_index(drop=True).assign(spread=np.nan)
    return _clips(predictor, facts, predictor.blend.probability(logits), _cached(predictor, "scenes").take(rows))


def _scene_facts(predictor: Predictor, audit: pd.DataFrame) -> pd.DataFrame:
    """Facts by scene: of its clip where it is one, else of some that are rendered; none where no sound is left."""
    if predictor.config.scenes.states:
        try:
            facts, _ = audit_scenes(load_run(predictor.config), N_AUDITED)
        except DataError:  # the recordings may lie elsewhere by now
            return pd.DataFrame(columns=list(FACTS), dtype=float)
        return _facts(facts).set_index(facts["id"])
    voices = read_table(predictor.paths.stage("scenes") / "voices.csv", VOICE_TEXT)
    clip = voices.drop_duplicates("scene").set_index("scene")["clip"]
    return _facts(audit).set_index(audit["id"].to_numpy()).reindex(clip).set_index(clip.index)


def _cached(predictor: Predictor, split: str) -> CachedFeature:
    folders = read_json(predictor.paths.stage("features") / "features.json")
    return CachedFeature(predictor.paths.cache / folders[POOLED], split)


def _clips(predictor: Predictor, table: pd.DataFrame, probability: np.ndarray, pooled: np.ndarray) -> Clips:
    distance = predictor.range.distance(pooled) if predictor.range else np.zeros(len(table))
    columns = [f"compared_{output}" for output in predictor.config.outputs]
    return Clips(table.assign(distance=distance, **dict(zip(columns, probability.T, strict=True))), pooled)
