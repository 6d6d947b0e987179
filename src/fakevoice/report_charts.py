"""The figures of a report, one function each; every one is as wide as half a page, so that a phone shows it whole."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from fakevoice.exploration import draw_spectrogram

WIDTH_IN = 4.8
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#666666")
MAIN, QUIET, GUIDE, PALE = "#0b3c5d", "#9db4c8", "#555555", "#c9d9e8"
RATES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
LEAST_RATE, MOST_RATE = 5e-4, 0.9
SMALL, TITLE = 8, 10  # points


def _figure(height_in: float, n_rows: int = 1, heights: Sequence[float] | None = None):
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    grid = figure.subplots(n_rows, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, grid


def _by_rows(n_rows: int):
    figure, (axes,) = _figure(0.95 + 0.27 * n_rows)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _title(axes, text: str) -> None:
    axes.set_title(text, fontsize=TITLE, loc="left")


def _lines(names: Sequence[str], main: str) -> dict[str, dict]:
    """Style of each line: thin ones in colours of their own, and `main` on top."""
    thin = {name: {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.0} for i, name in enumerate(names)}
    return {name: {"color": MAIN, "linewidth": 2.2, "zorder": 3} if name == main else thin[name] for name in names}


def draw_roc(curves: dict[str, pd.DataFrame], areas: dict[str, float], main: str, title: str) -> Figure:
    """ROC curves.

    Args:
        curves: name → `operating_points`.
        areas: name → AUC.
        main: the name of the thick one.
    """
    figure, (axes,) = _figure(4.4)
    for name, style in _lines(list(curves), main).items():
        points = curves[name]
        axes.plot(points["false_alarm_rate"], 1 - points["miss_rate"], label=f"{name} {areas[name]:.3f}", **style)
    axes.plot([0, 1], [0, 1], color=GUIDE, linewidth=0.8, linestyle=":")
    axes.set(xlabel="false alarm rate", ylabel="hit rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(fontsize=SMALL, loc="lower right", title="AUC", title_fontsize=SMALL)
    _title(axes, title)
    return figure


def draw_det(curves: dict[str, pd.DataFrame], eers: dict[str, float], main: str, title: str) -> Figure:
    """DET curves on normal deviate axes, the equal error rate of each marked.

    Args:
        curves: name → `operating_points`.
        eers: name → equal error rate.
        main: the name of the thick one.

    Source: Martin et al., "The DET curve in assessment of detection task performance", 1997.
    """
    figure, (axes,) = _figure(4.4)
    for name, style in _lines(list(curves), main).items():
        rates = norm.ppf(np.clip(curves[name], LEAST_RATE / 2, 1 - LEAST_RATE / 2))  # (n_points, 2)
        axes.plot(*rates.T, label=f"{name} {eers[name]:.3f}", **style)
        equal = norm.ppf(np.clip(eers[name], LEAST_RATE, MOST_RATE))
        axes.plot(equal, equal, "o", color=style["color"], markersize=6 if name == main else 3, zorder=4)
    ends = norm.ppf([LEAST_RATE, MOST_RATE])
    axes.plot(ends, ends, color=GUIDE, linewidth=0.8, linestyle=":")
    ticks = norm.ppf(RATES), [f"{100 * rate:g}" for rate in RATES]
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    axes.set(xlabel="false alarm rate (%)", ylabel="miss rate (%)", xlim=ends, ylim=ends, aspect="equal")
    axes.legend(fontsize=SMALL, loc="lower left", title="EER (dots)", title_fontsize=SMALL)
    _title(axes, title)
    return figure


def draw_reliability(bins: dict[str, pd.DataFrame], eces: dict[str, float], what: str) -> Figure:
    """Observed share against predicted probability, and how many scenes each bin holds.

    Args:
        bins: name → `slices.reliability`.
        eces: name → expected calibration error.
        what: whose probability it is.
    """
    figure, (above, below) = _figure(5.0, 2, (3, 1))
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
    _title(above, f"reliability of {what}")
    return figure


def draw_slices(table: pd.DataFrame, condition: str) -> Figure:
    """AUC of each output by slice with its interval, and that over all slices as a dashed line.

    Args:
        table: slice, output, n, auc, low, high, all.
        condition: name of the axis, with its unit.
    """
    names = table["slice"].drop_duplicates().tolist()
    n = table.groupby("slice")["n"].max()
    figure, axes = _by_rows(len(names))
    outputs = table["output"].drop_duplicates().tolist()
    for shift, output, colour in zip(np.linspace(-0.14, 0.14, len(outputs)), outputs, COLOURS, strict=False):
        own = table[table["output"] == output]
        rows = own["slice"].map(names.index) + shift
        axes.hlines(rows, own["low"], own["high"], color=colour, linewidth=1.5)
        axes.plot(own["auc"], rows, "o", color=colour, markersize=4.5, label=output)
        axes.axvline(own["all"].iloc[0], color=colour, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), [f"{name} (n = {n[name]})" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="AUC, 95 % interval (dashed: all)", ylabel=condition)
    axes.legend(fontsize=SMALL, ncols=len(outputs), loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_states(table: pd.DataFrame, output: str) -> Figure:
    """Mean predicted probability of an output by state, and its true share.

    Args:
        table: state, n, share_<output>, predicted_<output>.
    """
    figure, axes = _by_rows(len(table))
    names = [f"{state} (n = {n})" for state, n in zip(table["state"], table["n"], strict=True)]
    axes.barh(names, table[f"predicted_{output}"], color=QUIET, label="predicted")
    axes.plot(table[f"share_{output}"], names, "|", color=MAIN, markersize=12, markeredgewidth=2.2, label="true")
    axes.invert_yaxis()
    axes.set(xlabel=f"mean probability of {output}", ylabel="state", xlim=(-0.02, 1.02))
    axes.legend(fontsize=SMALL, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_confusion(counts: pd.DataFrame) -> Figure:
    """Share of each row that was told to be each column, with counts where there is room."""
    n_rows, n_columns = counts.shape
    figure, (axes,) = _figure(1.4 + 3.4 * n_rows / max(n_columns, n_rows))
    axes.grid(visible=False)
    share = (counts.T / counts.sum(axis=1)).T.to_numpy()
    image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(share):
        text = f"{value:.0%}\n{counts.iat[row, column]}" if n_columns <= 5 else str(counts.iat[row, column])
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=SMALL if n_columns <= 7 else 6)
    axes.set_xticks(range(n_columns), counts.columns, rotation=30 if n_columns > 4 else 0)
    axes.set_yticks(range(n_rows), counts.index)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8).ax.tick_params(labelsize=SMALL)
    return figure


def draw_history(table: pd.DataFrame, metric: str) -> Figure:
    """What was promised against what the board said.

    Args:
        table: lines of the submissions' log that have a board score.
    """
    figure, (axes,) = _figure(4.2)
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
    _title(axes, "validation against board")
    return figure


def draw_folds(table: pd.DataFrame, metric: str, main: str) -> Figure:
    """The metric of every member in each fold.

    Args:
        table: folds as index, members as columns.
    """
    figure, (axes,) = _figure(3.2)
    for name, style in _lines(list(table.columns), main).items():
        axes.plot(table.index, table[name], "o-", markersize=4, label=name, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="fold (number)", ylabel=metric)
    axes.legend(fontsize=SMALL, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_bars(values: pd.Series, value_name: str, row_name: str) -> Figure:
    """One bar per row, the first one on top."""
    figure, axes = _by_rows(len(values))
    axes.barh([str(name)[-32:] for name in values.index], values, color=COLOURS[0], height=0.7)
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set(xlabel=value_name, ylabel=row_name)
    return figure


def draw_shortcuts(table: pd.DataFrame) -> Figure:
    """AUC of each shortcut with its interval, and what a random split would have shown.

    Args:
        table: shortcut, label, auc, low, high, auc_random_split; the strongest first.
    """
    figure, axes = _by_rows(len(table))
    names = table["shortcut"] + ", " + table["label"]
    axes.hlines(names, table["low"], table["high"], color=COLOURS[0], linewidth=1.5)
    axes.plot(table["auc"], names, "o", color=COLOURS[0], label="groups never seen")
    axes.plot(table["auc_random_split"], names, "x", color=COLOURS[1], label="random split")
    axes.axvline(0.5, color=GUIDE, linewidth=1)
    axes.invert_yaxis()
    axes.set(xlabel="AUC between labels of train (.5 = no shortcut)", ylabel="shortcut, label")
    axes.legend(fontsize=SMALL, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_facts(values: dict[str, pd.Series], name: str) -> Figure:
    """Cumulated shares of one fact, a line per split.

    Args:
        values: split → the fact of its clips.
        name: of the fact, with its unit.
    """
    figure, (axes,) = _figure(2.7)
    for place, (split, fact) in enumerate(values.items()):
        axes.ecdf(fact, label=split, color=COLOURS[place], linewidth=1.6)
    ends = np.array([fact.quantile([0.005, 0.995]) for fact in values.values()])
    margin = 0.02 * np.ptp(ends) + 1e-3
    axes.set(xlabel=name, ylabel="share of clips below", xlim=(ends.min() - margin, ends.max() + margin))
    axes.legend(fontsize=SMALL, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_ranges(table: pd.DataFrame) -> Figure:
    """10th to 90th percentile and median of columns in scenes and test, in units of the scenes' own range.

    Args:
        table: column, scenes_<quantile> and test_<quantile>.
    """
    figure, axes = _by_rows(len(table))
    width = (table["scenes_p90"] - table["scenes_p10"]).where(lambda range_: range_ > 0)
    rows = np.arange(len(table))
    for shift, colour, source in ((-0.15, COLOURS[0], "scenes"), (0.15, COLOURS[1], "test")):
        low, middle, high = (
            (table[f"{source}_{name}"] - table["scenes_median"]) / width for name in ("p10", "median", "p90")
        )
        axes.hlines(rows + shift, low, high, color=colour, linewidth=2.2)
        axes.plot(middle, rows + shift, "o", color=colour, markersize=4, label=source)
    axes.set_yticks(rows, table["column"])
    axes.invert_yaxis()
    axes.set(xlabel="around the scenes' median (1 = their range)", ylabel="column")
    axes.legend(fontsize=SMALL, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_epochs(folds: dict[int, pd.DataFrame], title: str) -> Figure:
    """Loss, learning rate and every measure by epoch, a thin line per fold.

    Args:
        folds: fold → epoch and the columns to draw.
    """
    names = [name for name in next(iter(folds.values())).columns if name != "epoch"]
    figure, grid = _figure(0.8 + 1.45 * len(names), len(names))
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
    _title(grid[0], title)
    return figure


def draw_sound(waveform: np.ndarray, sample_rate_hz: int, title: str) -> Figure:
    """The spectrogram of one clip."""
    figure, (axes,) = _figure(2.6)
    axes.grid(visible=False)
    image = draw_spectrogram(axes, waveform, sample_rate_hz)
    figure.colorbar(image, ax=axes, label="level (dB)").ax.tick_params(labelsize=SMALL)
    _title(axes, title)
    return figure
