"""Makes drawn scenes resemble the test's environment, by what the unlabeled clips sound like.

A classifier learns to tell rendered scenes from unlabeled clips. What it has learned is explained by
what can be drawn (codec, noise, SNR, room, ...), and of more candidates than needed those are kept
whose conditions make them look like unlabeled clips. How often each state occurs stays as configured,
and no label of any clip that will be predicted is known to anybody here.

Source: density ratios by classification: Sugiyama, Suzuki & Kanamori, "Density Ratio Estimation in
Machine Learning", 2012, chapter 4.
"""

import lightgbm
import numpy as np
import pandas as pd

from fakevoice.audio.spectrum import dct_matrix, log_mel, power_spectrogram
from fakevoice.features.pooling import pool_bands
from fakevoice.features.statistics import rhythm, voicing

N_MELS, N_MFCC = 40, 24
N_ROUNDS = 120
PARAMETERS = {
    "objective": "binary",
    "is_unbalance": True,  # log-odds as if there were as many of both
    "learning_rate": 0.05,
    "num_leaves": 8,
    "max_bin": 63,
    "feature_fraction": 0.3,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # fixed, since sums depend on how they are split
    "verbose": -1,
}
MAX_LOG_ODDS = 4.0  # a scene that is sure to be no unlabeled clip says no more than one that is very likely none
RIDGE_ROWS = 30.0  # a condition seen in this many pilot scenes is believed by half
BINS = {
    "snr_db": (-np.inf, 0, 3, 6, 9, 12, 15, 20, 25, np.inf),
    "level_dbfs": (-np.inf, -31, -28, -25, -22, -19, np.inf),
    "noise_band_limit_hz": (-1, 0, 3000, 4000, 5000, 6000, 7000, np.inf),
    "noise_active": (0, 0.4, 0.7, 0.99, 1.0),
    "event_db": (-np.inf, -10, -5, 0, np.inf),
    "clipped": (-1, 0, 0.01, 1),
    "voices_s": (-1, 0, 2, 3, 4, 5, 6, 8, np.inf),
    "rt60_s": (-1, 0, 0.2, 0.4, 0.6, np.inf),
    "band_limit_hz": (-1, 0, 3000, 4000, 5000, 6000, 7000, np.inf),
    "low_cut_hz": (-1, 0, 100, 200, np.inf),
    "equalizer_db": (-1, 0, np.inf),
}


def describe(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """What a clip sounds like, the same whatever the features of the config: statistics of bands, cepstrum, rhythm.

    Returns:
        (n_columns,) float32.
    """
    n_fft = 1 << round(np.log2(0.032 * sample_rate_hz))
    power = power_spectrogram(waveform, n_fft, n_fft // 2)
    mel = log_mel(power, sample_rate_hz, N_MELS)
    columns = pool_bands(mel, "mel") | pool_bands(dct_matrix(N_MFCC, N_MELS) @ mel, "mfcc")
    for statistic in (rhythm, voicing):
        columns |= statistic.pool(waveform, power, sample_rate_hz, n_fft // 2)
    return np.fromiter(columns.values(), np.float32, len(columns))


def held_out_log_odds(columns: np.ndarray, is_unlabeled: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """Log-odds of being an unlabeled clip, each row's by a model of the other folds.

    Args:
        columns: (n_rows, n_columns) float32.
        is_unlabeled: (n_rows,) bool.
        fold: (n_rows,) int; a clip belongs to the fold that its noises are in.

    Returns:
        (n_rows,) float64; 0 where nothing tells it apart.

    Source: LightGBM, Ke et al. 2017.
    """
    log_odds = np.empty(len(columns))
    for index in np.unique(fold):
        rows = fold != index
        log_odds[~rows] = _fit(columns[rows], is_unlabeled[rows], seed).predict(columns[~rows], raw_score=True)
    return log_odds


def voice_probability(pilot: np.ndarray, is_voiced: np.ndarray, unlabeled: np.ndarray, seed: int) -> np.ndarray:
    """Probability that each unlabeled clip holds any voice, from the pilot scenes: (n_clips,) float64."""
    return _fit(pilot, is_voiced, seed).predict(unlabeled)


def _fit(columns: np.ndarray, label: np.ndarray, seed: int) -> lightgbm.Booster:
    parameters = PARAMETERS | {"min_data_in_leaf": int(np.clip(len(columns) // 20, 1, 20)), "seed": seed}
    return lightgbm.train(parameters, lightgbm.Dataset(columns, label), N_ROUNDS)


def conditions(scenes: pd.DataFrame, voices: pd.DataFrame) -> pd.DataFrame:
    """The conditions of each scene as categories.

    Args:
        scenes, voices: the scene tables.

    Returns:
        One str column per condition, rows as in `scenes`; missing where a scene has nothing of the kind,
        such as an SNR without a voice or a room.
    """
    heard = voices.drop_duplicates(["scene", "slot"]).groupby("scene")
    facts = scenes.set_index("scene").copy()
    facts["voices_s"] = heard["duration_s"].sum()
    for name in ("rt60_s", "band_limit_hz", "low_cut_hz", "equalizer_db"):
        facts[name] = heard[name].max()
    facts = facts.fillna({"voices_s": 0.0})
    without = facts["noise"] == ""
    table = pd.DataFrame({name: pd.cut(facts[name], edges).astype(str) for name, edges in BINS.items()})
    table.loc[without, ["noise_band_limit_hz", "noise_active"]] = "no noise"
    table.loc[facts["event"] == "", "event_db"] = "no event"
    for name in ("noise", "event"):
        table[name] = facts[name].str.partition(":")[0]
    return table.assign(codec=facts["codec"]).reset_index(drop=True)


def explain(table: pd.DataFrame, state: pd.Series, log_odds: np.ndarray) -> pd.Series:
    """Log-weight of each condition: how much more often scenes should have it, all others being equal.

    Ridge regression of the log-odds within each state, so that what a state sounds like weighs nothing.

    Args:
        table: of `conditions`, for the pilot scenes.
        state: their states.
        log_odds: of `held_out_log_odds`.

    Returns:
        Indexed by ``condition=value``.
    """
    dummies = pd.get_dummies(table, prefix_sep="=", dtype=float)
    states = pd.Series(state.to_numpy(), index=dummies.index)
    x = dummies - dummies.groupby(states).transform("mean")
    y = pd.Series(np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS), index=dummies.index)
    y = y - y.groupby(states).transform("mean")
    gram = x.T.to_numpy() @ x.to_numpy() + RIDGE_ROWS * np.eye(x.shape[1])
    return pd.Series(np.linalg.solve(gram, x.T.to_numpy() @ y.to_numpy()), index=dummies.columns)


def log_weights(table: pd.DataFrame, explained: pd.Series) -> np.ndarray:
    """Sum of the log-weights of each scene's conditions, (n_scenes,) float64; unknown conditions weigh nothing."""
    parts = [table[name].radd(f"{name}=").map(explained).fillna(0.0) for name in table.columns]
    return np.sum(parts, axis=0)


def choose(scenes: pd.DataFrame, log_weight: np.ndarray, n_scenes: int, seed: int) -> np.ndarray:
    """Draw candidates by weight, without replacement, as many of each fold and state as their share.

    Source: Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006.

    Returns:
        Row numbers in ascending order, (about n_scenes,) int.
    """
    noise = np.random.default_rng([seed, 7]).gumbel(size=len(scenes))
    key = pd.Series(log_weight + noise)
    cell = [scenes["fold"].to_numpy(), scenes["state"].to_numpy()]
    place = key.groupby(cell).rank(ascending=False, method="first")
    size = key.groupby(cell).transform("size")
    return np.flatnonzero(place <= np.round(size * n_scenes / len(scenes)))
