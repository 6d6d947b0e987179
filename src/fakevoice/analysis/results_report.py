"""The results of a run as a person reads them: Markdown tables and bar charts."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.figures import new_figure

TITLES = {
    "members": "Out of fold, each member calibrated alone",
    "test": "On the test, whose labels are known",
    "by_duration": "The ensemble on simulated files, out of fold, windows pooled",
    "groups": "The ensemble by group",
    "epochs": "Mean over the held-out folds after every epoch (nothing is chosen by it)",
}
MAX_EPOCHS = 25


def as_markdown(tables: dict[str, pd.DataFrame], config: Config, command: str, n_clips: int, n_groups: int) -> str:
    """A section for RESULTS.md: the command, what folds hold back, then each table under a line that says what it is.

    Args:
        n_clips, n_groups: of the training data.
    """
    parts = [f"## {config.competition}", f"`{command}`", _held_back(n_clips, n_groups)]
    if "published" in tables:
        parts += _beside_published(tables, config)
    else:
        parts += [f"{config.metric} in each fold", _table(_by_fold(tables["by_fold"], config.metric))]
    for name, title in TITLES.items():
        if name in tables:
            parts += [title, _table(_thinned(tables[name]) if name == "epochs" else tables[name])]
    if "confusion" in tables:
        parts += ["Confusion (rows: truth, columns: predicted)", _table(confusion_matrix(tables["confusion"], config))]
    return "\n\n".join(parts) + "\n"


def _held_back(n_clips: int, n_groups: int) -> str:
    if n_groups < n_clips:
        return f"{n_clips} training clips of {n_groups} groups; no group stands on both sides of a fold."
    return (
        f"{n_clips} training clips, each clip is a group of its own: clips of one recording or speaker may stand on "
        "both sides of a fold, and numbers of new recordings and speakers would be worse."
    )


def _beside_published(tables: dict[str, pd.DataFrame], config: Config) -> list[str]:
    published, source, parts = tables["published"], config.published.source, []
    if "fold" in published:
        theirs = published.dropna(subset="fold").pivot(index="fold", columns="system", values=config.metric)
        ours = _by_fold(tables["by_fold"], config.metric).set_index("fold")
        both = theirs.add_prefix("published: ").join(ours.add_prefix("ours: "), how="outer")
        parts += [f"{config.metric} in each fold, as {source} reports it and ours", _table(both.reset_index())]
    if config.published.systems:
        theirs = published[published["fold"].isna()] if "fold" in published else published
        theirs = theirs.dropna(axis=1, how="all").drop(columns="fold", errors="ignore")
        ours = tables.get("test", tables["members"])
        ours = ours.head(1).assign(member="ensemble") if "test" in tables else ours
        shown = [column for column in theirs.columns[1:] if column in ours]
        ours = ours.rename(columns={"member": "system"})[["system", *shown]]
        both = pd.concat([theirs.assign(whose="published"), ours.assign(whose="ours")])
        parts += [f"As {source} reports it, and ours", _table(both[["whose", *theirs.columns]])]
    return parts


def _by_fold(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per fold and one of means, a column per member in their order."""
    order = table["member"].drop_duplicates()
    pivot = table.assign(fold=table["fold"].astype(int)).pivot(index="fold", columns="member", values=metric)[order]
    pivot.index = pivot.index.astype(str)
    return pd.concat([pivot, pivot.mean().to_frame("mean").T]).rename_axis("fold").reset_index()


def confusion_matrix(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Counts with the true classes as rows, over all groups."""
    counts = table.groupby(["truth", "predicted"])["n"].sum().unstack(fill_value=0)
    counts = counts.reindex(index=config.outputs, columns=config.outputs, fill_value=0).astype(int)
    return counts.rename_axis("truth").reset_index()


def _thinned(epochs: pd.DataFrame) -> pd.DataFrame:
    """At most some epochs of each network, the last one among them."""
    last = epochs.groupby("network")["epoch"].transform("max")
    return epochs[(last - epochs["epoch"]) % np.ceil(last / MAX_EPOCHS) == 0].astype({"epoch": int})


def _table(table: pd.DataFrame) -> str:
    def text(value) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.4f}"
        return str(value)

    rows = [[text(value) for value in row] for row in table.itertuples(index=False)]
    head = [str(column) for column in table.columns]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(markdown_row(*cells) for cells in lines)


def markdown_row(*cells: Any) -> str:
    """One row of a Markdown table; a name may contain the character that separates the cells."""
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def draw_performance(tables: dict[str, pd.DataFrame], config: Config) -> Figure:
    """Bars of the metric and its measures for every member, and what was published as far as it has the same ones."""
    names = list(dict.fromkeys((config.metric, *config.measures)))
    systems = tables["members"].set_index("member")[names]
    if config.published and config.published.systems:
        theirs = pd.DataFrame(config.published.systems).T.reindex(columns=names)
        systems = pd.concat([systems, theirs.rename(index="published: {}".format)])
    figure = new_figure(figsize=(3.5 + 1.6 * len(names), 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(systems)
    for place, (system, values) in enumerate(systems.iterrows()):
        bars = axes.bar(np.arange(len(names)) + place * width, values.fillna(0), width, label=system)
        axes.bar_label(bars, ["" if np.isnan(v) else f"{v:.3f}" for v in values], fontsize=7, rotation=90, padding=2)
    axes.set_xticks(np.arange(len(names)) + 0.4 - width / 2, [_direction(name) for name in names])
    axes.set(ylabel="value", title=f"{config.competition}: out of fold, by system")
    axes.margins(y=0.15)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def _direction(metric: str) -> str:
    better = plugins.load("metrics", metric).GREATER_IS_BETTER
    return f"{metric}\n({'higher' if better else 'lower'} is better)"


def draw_confusion(table: pd.DataFrame, config: Config) -> Figure:
    """Share of each true class that was taken for each class, with counts."""
    counts = confusion_matrix(table, config).set_index("truth").to_numpy()
    n = len(config.outputs)
    figure = new_figure(figsize=(1.8 + 0.7 * n, 1.2 + 0.7 * n), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(n, n):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(n), config.outputs, rotation=45, ha="right")
    axes.set_yticks(range(n), config.outputs)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"{config.competition}: confusion, out of fold")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def performance_name(config: Config) -> str:
    """Of the chart's file: by the model where all networks are of one, else by the competition."""
    models = {network.model.name for network in config.networks.values()}
    return f"{models.pop() if len(models) == 1 else config.competition}_performance.png"
