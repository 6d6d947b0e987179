"""The figures of a report that compare rows, or show one picture; a function each."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakevoice.analysis.exploration import draw_spectrogram
from fakevoice.core.figures import legend_label
from fakevoice.report.chart_style import COLOURS, GUIDE, MAIN, QUIET, SMALL, new_figure, rows_figure, set_title


def draw_slices(table: pd.DataFrame, condition: str) -> Figure:
    """AUC of each output by slice with its interval, and that over all slices as a dashed line.

    Args:
        table: slice, output, n, auc, low, high, all.
        condition: name of the axis, with its unit.
    """
    names = table["slice"].drop_duplicates().tolist()
    n = table.groupby("slice")["n"].max()
    figure, axes = rows_figure(len(names))
    outputs = table["output"].drop_duplicates().tolist()
    for shift, output, colour in zip(np.linspace(-0.14, 0.14, len(outputs)), outputs, COLOURS, strict=False):
        own = table[table["output"] == output]
        rows = own["slice"].map(names.index) + shift
        axes.hlines(rows, own["low"], own["high"], color=colour, linewidth=1.5)
        axes.plot(own["auc"], rows, "o", color=colour, markersize=4.5, label=legend_label(output))
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
    figure, axes = rows_figure(len(table))
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
    figure, (axes,) = new_figure(1.4 + 3.4 * n_rows / max(n_columns, n_rows))
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


def draw_bars(values: pd.Series, value_name: str, row_name: str) -> Figure:
    """One bar per row, the first one on top."""
    figure, axes = rows_figure(len(values))
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
    figure, axes = rows_figure(len(table))
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
    figure, (axes,) = new_figure(2.7)
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
    figure, axes = rows_figure(len(table))
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


def draw_sound(waveform: np.ndarray, sample_rate_hz: int, title: str) -> Figure:
    """The spectrogram of one clip."""
    figure, (axes,) = new_figure(2.6)
    axes.grid(visible=False)
    image = draw_spectrogram(axes, waveform, sample_rate_hz)
    figure.colorbar(image, ax=axes, label="level (dB)").ax.tick_params(labelsize=SMALL)
    set_title(axes, title)
    return figure
