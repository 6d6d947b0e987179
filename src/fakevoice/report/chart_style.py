"""How every figure of a report looks: half a page wide, so that a phone shows it whole, in one set of colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fakevoice.core import figures

WIDTH_IN = 4.8
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#666666")
MAIN, QUIET, GUIDE = "#0b3c5d", "#9db4c8", "#555555"
SMALL, TITLE = 8, 10  # points


def new_figure(height_in: float, n_rows: int = 1, heights: Sequence[float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure and its axes (n_rows,) of objects, one below another with one horizontal axis.

    Args:
        heights: of the rows, in proportion; all alike if None.
    """
    figure = figures.new_figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    grid = figure.subplots(n_rows, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, grid


def rows_figure(n_rows: int) -> tuple[Figure, Axes]:
    """A figure whose one pair of axes has a line of text for each of `n_rows`."""
    figure, (axes,) = new_figure(0.95 + 0.27 * n_rows)
    axes.grid(visible=False, axis="y")
    return figure, axes


def set_title(axes: Axes, text: str) -> None:
    """A title on the left."""
    axes.set_title(text, fontsize=TITLE, loc="left")


def line_styles(names: Sequence[str], main: str) -> dict[str, dict]:
    """Style of each line: thin ones in colours of their own, and `main` on top."""
    thin = {name: {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.0} for i, name in enumerate(names)}
    return {name: {"color": MAIN, "linewidth": 2.2, "zorder": 3} if name == main else thin[name] for name in names}
