"""LightGBM over pooled features and the networks' out-of-fold logits, one model per output and fold.

Chain k of the line is: networks that never saw fold k → their logits for fold k → a stacker fitted
on the out-of-fold logits of the other folds. So the rows of fold k are scored by models that never
saw them, and a new clip is scored by the k chains, each with its own networks' logits, and averaged.
No round is chosen by looking at the held-out fold.

What remains, as in all stacking on one set of folds (Wolpert 1992): the logits that a stacker is
fitted on come from networks that were trained with its held-out rows among others.
"""

from fnmatch import fnmatchcase
from pathlib import Path

import lightgbm
import numpy as np

from fakevoice.core.artifacts import write_text
from fakevoice.core.config import Config
from fakevoice.core.config_sections import Stacker
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.random import Stream, integer
from fakevoice.core.tasks import logit_column
from fakevoice.data.leakage import hide_labels, refuse_hidden_labels
from fakevoice.features.extract import pooled_names

ROW_FRACTION = 0.7  # of the rows, drawn for each tree: bagging decorrelates the trees


def column_names(config: Config) -> list[str]:
    """The stacker's columns: pooled statistics, then each network's logits."""
    logits = [logit_column(network, index) for network in config.networks for index in range(len(config.outputs))]
    return pooled_names(config) + logits


def fitted_names(names: list[str], ignored: list[str]) -> list[str]:
    """Those of the columns that a stacker is fitted on, in their order.

    Raises:
        ConfigError: nothing is left.
    """
    left = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in ignored)]
    if not left:
        raise ConfigError("stacker.ignored: no column is left to learn from")
    return left


def fit_fold(
    columns: np.ndarray,
    names: list[str],
    target: np.ndarray,
    fold: np.ndarray,
    index: int,
    settings: Stacker,
    seed: int,
) -> list[lightgbm.Booster]:
    """Fit one model per output on all rows outside fold `index`.

    Args:
        columns: (n_rows, n_columns) float32; logits among them must be out-of-fold.
        target: (n_rows, n_outputs) of 0 and 1.
        fold: (n_rows,) int.

    Raises:
        LeakError: rows of fold `index` are among those to fit.
        ConfigError: as `fitted_names`.

    Source: LightGBM, Ke et al. 2017; its `extra_trees` after Geurts, Ernst & Wehenkel, "Extremely randomized trees",
    Machine Learning 63, 2006.
    """
    rows = fold != index
    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.n_leaves,
        "min_data_in_leaf": settings.min_rows_per_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": ROW_FRACTION,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "extra_trees": settings.extra_trees,
        "max_bin": settings.n_bins,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,  # fixed, since sums depend on how they are split; cores are used by folds side by side
        "seed": integer(Stream.STACKER, seed, index),
        "verbose": -1,
    }
    target = hide_labels(target, fold == index)[rows]
    refuse_hidden_labels(target, "the stacker")
    fitted, labels = fitted_names(names, settings.ignored), np.ascontiguousarray(target.T)
    data = lightgbm.Dataset(np.ascontiguousarray(columns[rows][:, np.isin(names, fitted)]), feature_name=fitted)
    return [lightgbm.train(parameters, data.set_label(label), settings.n_rounds) for label in labels]


def predict_logits(boosters: list[lightgbm.Booster], columns: np.ndarray, names: list[str]) -> np.ndarray:
    """Logits (n_rows, n_outputs) float64; columns are brought into the order of the fitted models by name.

    Raises:
        ArtifactError: a column that the models were fitted on is missing.
    """
    wanted = boosters[0].feature_name()
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise ArtifactError(f"the stacker was fitted on columns that are missing here: {', '.join(missing[:5])}")
    position = {name: index for index, name in enumerate(names)}
    ordered = columns[:, [position[name] for name in wanted]]
    return np.stack([booster.predict(ordered, raw_score=True) for booster in boosters], axis=1)


def save_boosters(folder: Path, boosters: list[lightgbm.Booster], index: int) -> list[Path]:
    """Write models as LightGBM's text, one per output."""
    paths = [folder / f"fold{index}-output{output}.txt" for output in range(len(boosters))]
    for path, booster in zip(paths, boosters, strict=True):
        write_text(path, booster.model_to_string())
    return paths


def load_boosters(folder: Path, index: int, n_outputs: int) -> list[lightgbm.Booster]:
    """Read what `save_boosters` wrote.

    Raises:
        ArtifactError: a file is missing or is no model.
    """
    try:
        texts = [(folder / f"fold{index}-output{output}.txt").read_text() for output in range(n_outputs)]
        return [lightgbm.Booster(model_str=text) for text in texts]
    except (OSError, lightgbm.basic.LightGBMError) as error:
        raise ArtifactError(f"cannot load the stacker of fold {index}: {error}; ./run.sh stack --force") from error
