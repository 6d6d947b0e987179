"""How well facts about a file, and no voice, tell its label: what a model would learn instead of listening.

A small model of each fact is fitted on all folds but one and asked about that one, whose groups it never saw.
Beside it stands what a random split would have shown: the difference is what leaking groups pretend. The long-term
spectrum holds the channel and the voice at once, so that its AUC is the most that the channel can have.
"""

from itertools import product

import lightgbm
import numpy as np
import pandas as pd
from scipy.special import expit, logit

from fakevoice.core import plugins
from fakevoice.core.progress import track
from fakevoice.core.random import Stream, generator
from fakevoice.data.groups import group_chances
from fakevoice.metrics.bootstrap import bootstrap_interval

FACTS = {
    "length": ["duration_s"],
    "level": ["level_dbfs"],
    "peak": ["peak"],
    "silence": ["silence_fraction", "leading_silence_s"],
    "noise floor": ["noise_floor_db"],
    "bandwidth": ["bandwidth_hz"],
    "format": ["source_rate_hz", "n_channels"],
}
REMEDIES = {
    "length": "one law of lengths for all voices, whatever the label",
    "level": "scenes.level_dbfs",
    "peak": "scenes.level_dbfs",
    "silence": "edges are trimmed; scenes.noises and scenes.snr_db fill the pauses",
    "noise floor": "scenes.noises, scenes.snr_db, scenes.mined_noise_probability",
    "bandwidth": "scenes.band_limit_probability, scenes.band_limit_hz, scenes.codec_probability",
    "format": "sample_rate_hz, to which all are decoded in mono; scenes.band_limit_hz for what stays of the old rate",
    "spectrum": "scenes.equalizer_probability; scenes.group_exponent; "
    "scenes.resynthesis_probability copies real voices as fake ones",
}
STRONG_AUC = 0.6
MIN_GROUPS = 3  # with the label and without: below, resamples lack one of the two too often
N_ROUNDS = 40
CHANNEL_FACTS = ["noise_floor_db", "bandwidth_hz"]  # what scenes leave of a recording, besides its spectrum
N_PARTS, LEAST_WEIGHT = 10, 0.02
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 6,
    "min_data_in_leaf": 10,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # fixed, since sums depend on how they are split
    "verbose": -1,
}


def recording_facts(rows: pd.DataFrame, audit: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    """Group, label and fold of training clips with the facts of the audit, indexed by clip in the order of `ids`."""
    return rows.merge(audit[audit["split"] == "train"], on="id", validate="1:1").set_index("id").loc[ids]


def measure_shortcuts(clips: pd.DataFrame, fingerprints: np.ndarray, seed: int) -> pd.DataFrame:
    """AUC of each shortcut, and of all together, for each label against the others.

    Args:
        clips: training clips with label, group, fold and the columns of `FACTS`; nan where not known.
        fingerprints: (n_clips, 80) float32 of `audit.audit_clips`, in the order of `clips`; the mean level of each
            band is the shortcut "spectrum".
        seed: of the random split and of the interval.

    Returns:
        shortcut, label, auc (of folds held out; 0.5 and less: tells nothing), low and high (95 % by drawing groups;
        nan where there are too few), auc_random_split (groups ignored). With two labels the first one alone, since
        the other one has the same AUC.

    Source: LightGBM, Ke et al. 2017; why a shortcut is no skill: Geirhos et al., "Shortcut learning in deep neural
    networks", 2020, section 3.
    """
    labels = sorted(clips["label"].unique())
    fold, group = clips["fold"].to_numpy(), clips["group"].to_numpy()
    split = generator(Stream.SHORTCUT_SPLIT, seed).permutation(len(clips)) % len(np.unique(fold))
    pairs = list(product(_columns(clips, fingerprints).items(), labels[:1] if len(labels) == 2 else labels))
    measure, rows = plugins.load("metrics", "auc").measure, []
    for (shortcut, values), label in track(pairs, len(pairs), "shortcuts", "measures"):
        target = (clips["label"] == label).to_numpy()
        score = _held_out_scores(values, target, fold)
        low, high = _interval(target, score, group, seed)
        ignoring = measure(target, _held_out_scores(values, target, split))
        rows.append((shortcut, label, measure(target, score), low, high, ignoring))
    return pd.DataFrame(rows, columns=["shortcut", "label", "auc", "low", "high", "auc_random_split"])


def overlap_weights(clips: pd.DataFrame, fingerprints: np.ndarray, exponent: float, seed: int) -> pd.DataFrame:
    """Weights with which shortcuts tell nothing: one minus the probability of a label, given how a clip was recorded.

    A voice counts as much as voices recorded like it have other labels. The probabilities are of models that never
    saw the clip's group, each group weighing as scenes draw them.

    Args:
        clips, fingerprints: as for `measure_shortcuts`; the fold is not used.
        exponent: as of `groups.group_chances`.

    Returns:
        Rows as in `clips`; per label, what the clip weighs where it is heard with that label (a real clip through a
        vocoder is heard as fake), float64 in [LEAST_WEIGHT, 1], the same within a group.

    Source: overlap weights, Li, Morgan & Zaslavsky, "Balancing covariates via propensity score weighting",
    JASA 113, 2018.
    """
    values = np.hstack([fingerprints, clips[CHANNEL_FACTS].to_numpy(np.float32)])
    group, names = pd.factorize(clips["group"])
    part = (generator(Stream.OVERLAP_PARTS, seed).permutation(len(names)) % N_PARTS)[group]
    table = pd.DataFrame(index=clips.index)
    for label in sorted(clips["label"].unique()):
        is_label = (clips["label"] == label).to_numpy()
        probability = _held_out_scores(values, is_label, part, _as_drawn(group, is_label, exponent))
        table[label] = np.clip(1 - probability, LEAST_WEIGHT, 1)
    return table.groupby(group).transform("mean")


def scene_weights(scenes: pd.DataFrame, voices: pd.DataFrame, clip_weights: pd.DataFrame) -> np.ndarray:
    """How much each scene counts where recordings are to tell no label: the product over its voices.

    Args:
        scenes, voices: the scene tables.
        clip_weights: of `overlap_weights`, indexed by clip.

    Returns:
        (n_scenes,) float64 with a mean of 1 in each state, so that states stay as frequent as they are.
    """
    heard = voices.drop_duplicates(["scene", "slot"])
    column = clip_weights.columns.get_indexer(heard["label"])
    value = clip_weights.loc[heard["clip"]].to_numpy()[np.arange(len(heard)), column]
    product = pd.Series(value).groupby(heard["scene"].to_numpy()).prod()
    weight = scenes["scene"].map(product).fillna(1.0)
    return (weight / weight.groupby(scenes["state"]).transform("mean")).to_numpy()


def _as_drawn(group: np.ndarray, target: np.ndarray, exponent: float) -> np.ndarray:
    """(n_clips,) float64: groups weigh as they are heard, target and rest half of all each."""
    n_clips = np.bincount(group)
    weight = (group_chances(n_clips, exponent) / n_clips)[group]
    return weight / np.where(target, weight[target].sum(), weight[~target].sum()) * len(group) / 2


def _columns(clips: pd.DataFrame, fingerprints: np.ndarray) -> dict[str, np.ndarray]:
    """(n_clips, n_columns) float32 of each shortcut."""
    columns = {shortcut: clips[facts].to_numpy(np.float32) for shortcut, facts in FACTS.items()}
    columns["spectrum"] = fingerprints[:, : fingerprints.shape[1] // 2]  # the other half are deviations over time
    return columns | {"all": np.hstack(list(columns.values()))}


def _held_out_scores(
    values: np.ndarray, target: np.ndarray, fold: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """(n_clips,) in (0, 1), each clip's by a model of the other folds; 0.5 where nothing was learned."""
    score, weight = np.zeros(len(target)), np.ones(len(target)) if weight is None else weight
    for index in np.unique(fold):
        rows = fold != index
        if len(np.unique(target[rows])) == 2:
            score[~rows] = _fit(values[rows], target[rows], weight[rows]).predict(values[~rows], raw_score=True)
    return expit(score)


def _fit(values: np.ndarray, target: np.ndarray, weight: np.ndarray) -> lightgbm.Booster:
    # The share of the label goes in from outside and not out again: folds would else be told apart by their shares.
    start = np.full(len(target), logit(np.average(target, weights=weight)))
    return lightgbm.train(PARAMETERS, lightgbm.Dataset(values, target, weight=weight, init_score=start), N_ROUNDS)


def _interval(target: np.ndarray, score: np.ndarray, group: np.ndarray, seed: int) -> tuple[float, float]:
    n_groups = min(len(np.unique(group[target])), len(np.unique(group[~target])))
    if n_groups < MIN_GROUPS:
        return float("nan"), float("nan")
    return bootstrap_interval(plugins.load("metrics", "auc").measure, target, score, group, seed=seed)


def describe_shortcuts(table: pd.DataFrame) -> str:
    """The table of `measure_shortcuts` and a verdict in words, of each shortcut the label that it tells best."""
    best = table.sort_values("auc", kind="stable", na_position="first").drop_duplicates("shortcut", keep="last")
    best = best.sort_values("auc", ascending=False, kind="stable")
    return f"{best.to_string(index=False, float_format='{:.3f}'.format, na_rep='-')}\n{_verdict(best)}"


def _verdict(best: pd.DataFrame) -> str:
    auc = best.set_index("shortcut")["auc"]
    strong = {name: value for name, value in auc.drop("all").items() if value >= STRONG_AUC}
    together = f"all of them together {auc['all']:.2f}"
    if not strong:
        return f"no shortcut alone is strong (AUC of {STRONG_AUC} or more in groups never seen); {together}"
    lines = [f"  {name} {value:.2f}: {REMEDIES[name]}" for name, value in strong.items()]
    head = f"strong shortcuts (AUC of {STRONG_AUC} or more in groups never seen; {together})"
    return "\n".join([f"{head}, and what evens them out in simulated scenes:", *lines])
