"""Classifier that separates scenes from unlabeled clips, and which conditions of the scenes explain its answers.

No label of an unlabeled or test clip is used.

Source: two samples compared by a classifier: Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", 2017.
"""

import lightgbm
import numpy as np
import pandas as pd

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
MAX_LOG_ODDS = 4.0  # a scene that certainly is no unlabeled clip counts no more than one that very likely is none
RIDGE_ROWS = 30.0  # the weight of a condition that this many scenes have is halved
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


def held_out_log_odds(columns: np.ndarray, is_unlabeled: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """Log-odds of being an unlabeled clip, for each row from a model of the other folds.

    Args:
        columns: (n_rows, n_columns) float32.
        is_unlabeled: (n_rows,) bool.
        fold: (n_rows,) int; an unlabeled clip belongs to the fold that uses its noises.

    Returns:
        (n_rows,) float64; 0 where the model cannot tell.

    Source: LightGBM, Ke et al. 2017.
    """
    log_odds = np.empty(len(columns))
    for index in np.unique(fold):
        rows = fold != index
        min_rows = int(np.clip(rows.sum() // 20, 1, 20))
        data = lightgbm.Dataset(columns[rows], is_unlabeled[rows])
        model = lightgbm.train(PARAMETERS | {"min_data_in_leaf": min_rows, "seed": seed}, data, N_ROUNDS)
        log_odds[~rows] = model.predict(columns[~rows], raw_score=True)
    return log_odds


def conditions(scenes: pd.DataFrame, voices: pd.DataFrame) -> pd.DataFrame:
    """The conditions of each scene as categories.

    Args:
        scenes, voices: the scene tables.

    Returns:
        One str column per condition, rows as in `scenes`; missing where it does not apply, such as the SNR or the
        room of a scene without a voice.
    """
    voice = voices.drop_duplicates(["scene", "slot"]).groupby("scene")
    facts = scenes.set_index("scene").copy()
    facts["voices_s"] = voice["duration_s"].sum()
    for name in ("rt60_s", "band_limit_hz", "low_cut_hz", "equalizer_db"):
        facts[name] = voice[name].max()
    facts = facts.fillna({"voices_s": 0.0})
    table = pd.DataFrame({name: pd.cut(facts[name], edges).astype(str) for name, edges in BINS.items()})
    table.loc[facts["noise"] == "", ["noise_band_limit_hz", "noise_active"]] = "no noise"
    table.loc[facts["event"] == "", "event_db"] = "no event"
    for name in ("noise", "event"):
        table[name] = facts[name].str.partition(":")[0]
    return table.assign(codec=facts["codec"]).reset_index(drop=True)


def explain(table: pd.DataFrame, state: pd.Series, log_odds: np.ndarray) -> pd.Series:
    """Log-weight of each condition: how much more often scenes should have it, all other conditions being equal.

    Ridge regression of the log-odds within each state, so that differences between states have no influence.

    Args:
        table: of `conditions`.
        state: of the same scenes.
        log_odds: of `held_out_log_odds`, for the same scenes.

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
