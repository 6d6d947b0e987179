"""Domain gap of a finished run: how scenes differ from the unlabeled clips, and what the ensemble predicts for both.

No label of an unlabeled or test clip is used.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from scipy.stats import rankdata

from fakevoice.analysis.finished_run import Run, render_scene
from fakevoice.analysis.separation import conditions, explain, held_out_log_odds
from fakevoice.core.artifacts import read_array, read_json
from fakevoice.core.errors import ArtifactError
from fakevoice.core.random import Stream, generator
from fakevoice.data.audit import audit_clips
from fakevoice.data.unlabeled import usable_unlabeled_clips
from fakevoice.ensemble.blend import STACK, Blend
from fakevoice.features.extract import POOLED, pooled_names
from fakevoice.features.store import CachedFeature
from fakevoice.metrics.slices import auc_with_interval
from fakevoice.scenes.noise_bank import noise_folds

QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}


@dataclass(frozen=True, eq=False)
class Separation:
    """What tells scenes from unlabeled clips.

    Attributes:
        auc, low, high: of a classifier asked about folds that it did not see, with the 95 % interval; 0.5: nothing
            tells them apart.
        scenes: scene and log_odds, of being an unlabeled clip, for the scenes that were compared.
        clips: id and log_odds of all unlabeled clips.
        asked: log-weight of each condition of the scenes, ``condition=value``: above 0, the unlabeled clips have more
            of it, all other conditions being equal; empty where scenes are clips alone.
        columns: column of the pooled features as index; auc of the column alone (above 0.5: higher in the unlabeled
            clips), then scenes_<quantile> and unlabeled_<quantile>; what tells most comes first.
    """

    auc: float
    low: float
    high: float
    scenes: pd.DataFrame
    clips: pd.DataFrame
    asked: pd.Series
    columns: pd.DataFrame


def unlabeled_clips(run: Run) -> pd.DataFrame:
    """The unlabeled clips in the order of the feature cache, which holds those that could be read and may be used."""
    clips = usable_unlabeled_clips(run.clips, run.config)
    return clips[clips["error"] == ""]


def separate(run: Run, n_scenes: int = 1500) -> Separation:
    """Tell scenes from unlabeled clips by the pooled features of the cache.

    Args:
        n_scenes: scenes drawn for it; all if there are fewer.

    Raises:
        ArtifactError: fewer unlabeled clips than folds.
    """
    clips, n_folds, seed = unlabeled_clips(run), run.config.folds.n_folds, run.config.seed
    if len(clips) < n_folds:
        raise ArtifactError(f"{len(clips)} unlabeled clips: nothing to compare the scenes with")
    rows = generator(Stream.GAP_SCENES, seed).permutation(len(run.scenes))[:n_scenes]
    scenes = run.scenes.iloc[np.sort(rows)]
    folder = run.paths.cache / read_json(run.paths.stage("features") / "features.json")[POOLED]
    pooled = CachedFeature(folder, "scenes").take(np.sort(rows)), CachedFeature(folder, "unlabeled").all()
    fold = np.concatenate([scenes["fold"], noise_folds(len(clips), n_folds)])
    is_unlabeled = np.repeat([False, True], [len(scenes), len(clips)])
    log_odds = held_out_log_odds(np.concatenate(pooled), is_unlabeled, fold, seed)
    return Separation(
        *auc_with_interval(is_unlabeled, log_odds),
        scenes=scenes[["scene"]].assign(log_odds=log_odds[~is_unlabeled]).reset_index(drop=True),
        clips=clips[["id"]].assign(log_odds=log_odds[is_unlabeled]).reset_index(drop=True),
        asked=_asked(run, scenes, log_odds[~is_unlabeled]),
        columns=compare_columns(*pooled, pooled_names(run.config)),
    )


def _asked(run: Run, scenes: pd.DataFrame, log_odds: np.ndarray) -> pd.Series:
    if not run.config.scenes.states:
        return pd.Series(dtype=float)
    return explain(conditions(scenes, run.voices[run.voices["scene"].isin(scenes["scene"])]), scenes["state"], log_odds)


def compare_columns(scenes: np.ndarray, unlabeled: np.ndarray, names: list[str]) -> pd.DataFrame:
    """How well each column alone tells scenes from unlabeled clips, and its quantiles in both.

    Args:
        scenes: (n_scenes, n_columns).
        unlabeled: (n_clips, n_columns).

    Returns:
        As `Separation.columns`.
    """
    n_scenes, n_clips = len(scenes), len(unlabeled)
    rank = rankdata(np.concatenate([scenes, unlabeled]), axis=0)
    auc = (rank[n_scenes:].sum(axis=0) - n_clips * (n_clips + 1) / 2) / (n_scenes * n_clips)
    table = pd.DataFrame({"auc": auc}, index=pd.Index(names, name="column"))
    for kind, values in (("scenes", scenes), ("unlabeled", unlabeled)):
        found = np.quantile(values, list(QUANTILES.values()), axis=0)
        table[[f"{kind}_{name}" for name in QUANTILES]] = found.T
    return table.loc[(table["auc"] - 0.5).abs().sort_values(ascending=False, kind="stable").index]


def audit_scenes(run: Run, n_scenes: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    """The audit's facts about some scenes, found as for any clip: they are rendered to files, and those audited.

    Args:
        n_scenes: scenes drawn for it; all if there are fewer.

    Returns:
        The columns of `audit.audit_clips` (id is the scene); and (n_scenes, 40) float32, the mean level in dB of each
        mel band around the scene's own mean.
    """
    chosen = generator(Stream.AUDITED_SCENES, run.config.seed).permutation(run.scenes["scene"])[:n_scenes]
    clips = pd.DataFrame({"id": chosen, "split": "scenes", "path": [f"{scene}.wav" for scene in chosen]})
    with tempfile.TemporaryDirectory() as name:
        for scene, path in zip(clips["id"], clips["path"], strict=True):
            soundfile.write(Path(name) / path, render_scene(run, scene), run.config.sample_rate_hz, subtype="FLOAT")
        facts, fingerprints = audit_clips(clips, Path(name), run.config.sample_rate_hz)
    return facts, fingerprints[:, : fingerprints.shape[1] // 2]


def predict_unlabeled(run: Run) -> np.ndarray:
    """What the ensemble says of the unlabeled clips while it takes classes to be as frequent as among the scenes.

    Each fold model's answer counts by itself, as in the estimate of the shares: it is for single models that the
    calibration was fitted.

    Returns:
        (n_folds * n_clips, n_combinations) float64, of combinations as in the run's ``metrics["combinations"]``.

    Raises:
        ArtifactError: the run has scored no unlabeled clips.
    """
    blend = Blend.from_dict(read_json(run.paths.stage("ensemble") / "ensemble.json"))
    blend = blend.at_shares(np.array(blend.simulated))
    trained = {member: run.paths.stage("train") / f"unlabeled-{member}.npy" for member in blend.members}
    files = (trained | {STACK: run.paths.stage(STACK) / "unlabeled.npy"}).values()
    chains = np.stack([read_array(file) for file in files], axis=2)  # (n_folds, n_clips, n_members, n_outputs)
    return blend.combination_probability(chains.reshape(-1, *chains.shape[2:]), np.array(blend.combinations))
