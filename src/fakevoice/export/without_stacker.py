"""The ensemble without the stacker, as it is exported: its blend, and what leaving the stacker out costs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fakevoice.analysis.finished_run import Run
from fakevoice.core import plugins
from fakevoice.core.tasks import targets
from fakevoice.data.groups import first_group
from fakevoice.ensemble.blend import Blend, cross_fit, fit_blend
from fakevoice.ensemble.evaluate import all_scores, load_logits, scored_rows
from fakevoice.ensemble.label_shares import Shares
from fakevoice.metrics.bootstrap import bootstrap_interval
from fakevoice.metrics.slices import label_and_probability, output_values


@dataclass(frozen=True, eq=False)
class StandaloneNetworks:
    """The networks of a run, blended anew on their out-of-fold logits.

    Attributes:
        simulated: the blend, where outputs are as frequent as in the scenes.
        blend: the same, where they are as frequent as the run expects.
        rows: the scenes that it is fitted to and judged by, as of `ensemble_runs.scored_rows`.
        scores: ``<condition>_score``, ``_low``, ``_high`` as in metrics.json, and ``difference``, ``difference_low``,
            ``difference_high`` to the whole ensemble on `rows`, with a 95 % interval by drawing groups.
        by_output: measure → output → value on `rows`; empty where outputs are not judged alone.
    """

    simulated: Blend
    blend: Blend
    rows: np.ndarray
    scores: dict[str, Any]
    by_output: dict[str, dict[str, float]]


def without_stacker(run: Run) -> StandaloneNetworks:
    """Fit and score the blend of all networks of a finished run, as the run did with the stacker."""
    config, members = run.config, list(run.config.networks)
    target, fold = targets(run.scenes["state"], config), run.scenes["fold"].to_numpy(np.int64)
    oof = load_logits(run.paths, members, "oof", axis=1)  # (n_scenes, n_networks, n_outputs)
    rows = scored_rows(run.scenes, run.voices, fold, run.paths, config)
    fitted = cross_fit(oof, target, fold, members, config, rows)
    probability = fitted.probability()
    simulated = fit_blend(oof[rows], target[rows], members, config)
    shares = Shares.from_dict(run.metrics["combinations"])
    blend, groups = simulated.at_shares(shares.expected), first_group(run.scenes, run.voices)
    scores = all_scores(fitted, groups, rows, shares, len(run.test_probability), config)
    whole = label_and_probability(run.oof, config.outputs)[1]
    scores |= paired_difference(target[rows], probability[rows], whole[rows], groups[rows], run)
    return StandaloneNetworks(simulated, blend, rows, scores, _by_output(target[rows], probability[rows], run))


def paired_difference(
    label: np.ndarray, probability: np.ndarray, before: np.ndarray, groups: np.ndarray, run: Run
) -> dict[str, float]:
    """How much the metric changes from one model to another on the same scenes.

    Args:
        label, probability, before: (n_scenes, n_outputs).
        groups: (n_scenes,) what errs together.

    Returns:
        ``difference``, and the ends of its 95 % interval, ``difference_low`` and ``difference_high``.
    """
    config, n = run.config, label.shape[1]
    measure = plugins.load("metrics", config.metric).measure

    def gain(label: np.ndarray, both: np.ndarray) -> float:
        return measure(label, both[:, :n]) - measure(label, both[:, n:])

    both = np.hstack([probability, before])
    low, high = bootstrap_interval(gain, label, both, groups, config.ensemble.n_bootstrap, config.seed)
    return {"difference": gain(label, both), "difference_low": low, "difference_high": high}


def _by_output(label: np.ndarray, probability: np.ndarray, run: Run) -> dict[str, dict[str, float]]:
    config = run.config
    if config.task != "multilabel":
        return {}
    metrics = {name: plugins.load("metrics", name) for name in (config.metric, *config.measures)}
    return {
        name: output_values(metric.measure, label, probability, config)
        for name, metric in metrics.items()
        if not hasattr(metric, "OUTPUTS")
    }
