"""The figures of a report that are lines: over thresholds, probabilities, folds, epochs, boards; a function each."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from fakevoice.core.figures import legend_label
from fakevoice.report.chart_style import COLOURS, GUIDE, SMALL, line_styles, new_figure, set_title

RATES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
LEAST_RATE, MOST_RATE = 5e-4, 0.9


def draw_roc(curves: dict[str, pd.DataFrame], areas: dict[str, float], main: str, title: str) -> Figure:
    """ROC curves.

    Args:
        curves: name → `operating_points`.
        areas: name → AUC.
        main: the name of the thick one.
    """
    figure, (axes,) = new_figure(4.4)
    for name, style in line_styles(list(curves), main).items():
        points = curves[name]
        label = legend_label(f"{name} {areas[name]:.3f}")
        axes.plot(points["false_alarm_rate"], 1 - points["miss_rate"], label=label, **style)
    axes.plot([0, 1], [0, 1], color=GUIDE, linewidth=0.8, linestyle=":")
    axes.set(xlabel="false alarm rate", ylabel="hit rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(fontsize=SMALL, loc="lower right", title="AUC", title_fontsize=SMALL)
    set_title(axes, title)
    return figure


def draw_det(curves: dict[str, pd.DataFrame], eers: dict[str, float], main: str, title: str) -> Figure:
    """DET curves on normal deviate axes, the equal error rate of each marked.

    Args:
        curves: name → `operating_points`.
        eers: name → equal error rate.
        main: the name of the thick one.

    Source: Martin et al., "The DET curve in assessment of detection task performance", 1997.
    """
    figure, (axes,) = new_figure(4.4)
    for name, style in line_styles(list(curves), main).items():
        rates = norm.ppf(np.clip(curves[name], LEAST_RATE / 2, 1 - LEAST_RATE / 2))  # (n_points, 2)
        axes.plot(*rates.T, label=legend_label(f"{name} {eers[name]:.3f}"), **style)
        equal = norm.ppf(np.clip(eers[name], LEAST_RATE, MOST_RATE))
        axes.plot(equal, equal, "o", color=style["color"], markersize=6 if name == main else 3, zorder=4)
    ends = norm.ppf([LEAST_RATE, MOST_RATE])
    axes.plot(ends, ends, color=GUIDE, linewidth=0.8, linestyle=":")
    ticks = norm.ppf(RATES), [f"{100 * rate:g}" for rate in RATES]
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    axes.set(xlabel="false alarm rate (%)", ylabel="miss rate (%)", xlim=ends, ylim=ends, aspect="equal")
    axes.legend(fontsize=SMALL, loc="lower left", title="EER (dots)", title_fontsize=SMALL)
    set_title(axes, title)
    return figure


def draw_reliability(bins: dict[str, pd.DataFrame], eces: dict[str, float], what: str) -> Figure:
    """Observed share against predicted probability, and how many scenes each bin holds.

    Args:
        bins: name → `slices.reliability`.
        eces: name → expected calibration error.
        what: whose probability it is.
    """
    figure, (above, below) = new_figure(5.0, 2, (3, 1))
    above.plot([0, 1], [0, 1], color=GUIDE, linewidth=0.8, linestyle=":")
    width = 0.08 / len(bins)
    for place, (name, table) in enumerate(bins.items()):
        colour, filled = COLOURS[1 - place % 2], table.dropna()
        above.plot(filled["predicted"], filled["observed"], "o-", color=colour, label=f"{name}: ECE {eces[name]:.4f}")
        shift = (place - (len(bins) - 1) / 2) * width
        below.bar(table["centre"] + shift, table["count"], width, color=colour)
    above.set(ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    above.legend(fontsize=SMALL, loc="upper left")
    below.set(xlabel=f"predicted probability of {what}", ylabel="scenes (count)")
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    set_title(above, f"reliability of {what}")
    return figure


def draw_folds(table: pd.DataFrame, metric: str, main: str) -> Figure:
    """The metric of every member in each fold.

    Args:
        table: folds as index, members as columns.
    """
    figure, (axes,) = new_figure(3.2)
    for name, style in line_styles(list(table.columns), main).items():
        axes.plot(table.index, table[name], "o-", markersize=4, label=name, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="fold (number)", ylabel=metric)
    axes.legend(fontsize=SMALL, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_history(table: pd.DataFrame, metric: str) -> Figure:
    """What was promised against what the board said.

    Args:
        table: lines of the submissions' log that have a board score.
    """
    figure, (axes,) = new_figure(4.2)
    error = [(table["expected_score"] - table["expected_low"]).clip(lower=0)]
    error.append((table["expected_high"] - table["expected_score"]).clip(lower=0))
    axes.errorbar(
        *(table["expected_score"], table["board_score"]),
        **{"xerr": error, "fmt": "o", "color": COLOURS[0], "capsize": 3, "label": "expected, 95 % interval"},
    )
    axes.plot(table["oof_score"], table["board_score"], "x", color=COLOURS[1], label="out of fold")
    scores = table[["oof_score", "expected_score", "expected_low", "expected_high", "board_score"]].to_numpy()
    ends = np.nanmin(scores), np.nanmax(scores)
    axes.plot(ends, ends, color=GUIDE, linewidth=0.8, linestyle=":", label="as promised")
    axes.set(xlabel=f"{metric}, by validation", ylabel=f"{metric}, on the board")
    axes.legend(fontsize=SMALL)
    set_title(axes, "validation against board")
    return figure


def draw_epochs(folds: dict[int, pd.DataFrame], title: str) -> Figure:
    """Loss, learning rate and every measure by epoch, a thin line per fold.

    Args:
        folds: fold → epoch and the columns to draw.
    """
    names = [name for name in next(iter(folds.values())).columns if name != "epoch"]
    figure, grid = new_figure(0.8 + 1.45 * len(names), len(names))
    for axes, name in zip(grid, names, strict=True):
        for place, (fold, table) in enumerate(folds.items()):
            style = {"color": COLOURS[place % len(COLOURS)], "linewidth": 1.1, "marker": ".", "label": f"fold {fold}"}
            axes.plot(table["epoch"], table[name], **style)
        axes.set_ylabel(name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.label_outer()
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(folds) <= len(COLOURS):
        grid[0].legend(fontsize=SMALL, ncols=2)
    set_title(grid[0], title)
    return figure
