"""What monitoring found, for people: the page in English and Korean, its numbers as JSON, and a few lines of text.

    ./run.sh monitor FOLDER    → runs/<competition>/<experiment>/monitor/monitor.html, monitor.json and *.png

The page looks and works as the report's; what it says besides is in templates/monitor.yaml.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fakevoice.core.artifacts import write_json, write_text
from fakevoice.core.config import Config
from fakevoice.core.figures import legend_label, new_figure
from fakevoice.data.synthetic import is_synthetic
from fakevoice.monitor.clips import FACTS, Clips, Reference
from fakevoice.monitor.verdict import ALPHA, N_STRONGEST, PSI_RETRAIN, PSI_WATCH, Findings, Reason, as_dict
from fakevoice.report import chart_style, charts
from fakevoice.report.blocks import Block, Picture, Section, Summary, Table, Text, Tile, captions, say
from fakevoice.report.html_page import plain, render, save_pictures

PAGE, VALUES = "monitor.html", "monitor.json"
SECTION_OF = {"few": "when", "unreadable": "files", "fact": "files", "prediction": "answers", "feature": "features"}
SHARES, SHIFT = ["unsure", "outside"], "median (reference ranges)"
HIDDEN = ["kind", "n_reference", "p"]  # what the heading says, and what is in the JSON for who wants it
N_DRAWN = 4  # facts, or outputs, whose cumulated shares are drawn
SHOWN = 8  # features in the terminal


def write_page(
    folder: Path, findings: Findings, reference: Reference, clips: Clips, unreadable: pd.DataFrame, config: Config
) -> Path:
    """Write the page, its pictures and its numbers.

    Args:
        unreadable: id, path, reason.

    Returns:
        The page.
    """
    sections = [
        _when(findings, reference, config),
        _files(findings, reference, clips, unreadable),
        _answers(findings, reference, clips, config),
        _features(findings),
    ]
    files = save_pictures(folder, sections)
    write_json(folder / VALUES, as_dict(findings) | {"unreadable": unreadable.to_dict("records")})
    write_text(folder / PAGE, render(_summary(findings, config), sections, files))
    return folder / PAGE


def text(findings: Findings, config: Config) -> str:
    """Verdict, reasons, what to do next, and the measures most worth a look."""
    parts = [findings.of_kind("fact"), findings.of_kind("prediction"), findings.of_kind("feature").head(SHOWN)]
    table = pd.concat(parts)[["kind", "name", "n", "psi", "ks", "p_corrected", "reference_median", "median", "level"]]
    kind = plain(say(f"reference.{findings.reference}"), "en")
    heading = f"{findings.n} clips beside {findings.n_reference} {kind}, {findings.n_unreadable} unreadable"
    shares = f"outside of what training covered: {findings.outside:.3f} (reference {findings.reference_outside:.3f})"
    lines = [heading, "", table.to_string(index=False, float_format="{:.3g}".format), "", shares]
    lines += [f"verdict: {findings.verdict}", *(f"  {plain(_said(reason), 'en')}" for reason in findings.reasons)]
    return "\n".join([*lines, f"next: {plain(_next(findings, config), 'en')}"])


def _said(reason: Reason) -> Text:
    return say(f"reason.{reason.key}", **reason.values)


def _next(findings: Findings, config: Config) -> Text:
    return say(f"next.{findings.verdict}", config=config.competition, experiment=config.experiment)


def _summary(findings: Findings, config: Config) -> Summary:
    facts = [
        ("competition", config.competition),
        ("experiment", config.experiment),
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("reference", say(f"reference.{findings.reference}")),
        *((name, getattr(findings, name)) for name in ("n_reference", "n", "n_unreadable")),
    ]
    next_steps = [("when", _next(findings, config))]
    reasons = [(SECTION_OF.get(reason.key, "when"), _said(reason)) for reason in findings.reasons]
    values = {"watch": PSI_WATCH, "retrain": PSI_RETRAIN}
    assumes = say("monitor.assumes", **values, alpha=ALPHA, tests=len(findings.drift) + 1)
    held = say(f"monitor.reference_{findings.reference}", n=findings.n_reference)
    tiles = [
        Tile(say("monitor.verdict"), say(f"verdict.{findings.verdict}"), held),
        Tile(say("monitor.clips"), findings.n, held),
        Tile(say("monitor.outside"), findings.outside, say("monitor.outside_note", share=findings.reference_outside)),
        Tile(say("monitor.psi"), findings.max_psi("fact"), say("monitor.psi_note", **values)),
    ]
    return Summary(tiles, assumes, facts, reasons + next_steps, "monitor.title", is_synthetic(config))


def _when(findings: Findings, reference: Reference, config: Config) -> Section:
    values, blocks, known = {"n": len(findings.blocks)}, findings.blocks, reference.clips.table[list(FACTS)]
    low, median, high = (known.quantile(share) for share in (0.1, 0.5, 0.9))
    shift = ((blocks[list(FACTS)] - median) / (high - low).where(high > low)).dropna(axis=1, how="all")
    figure = _draw_blocks({"mean probability": blocks[config.outputs], "share of clips": blocks[SHARES], SHIFT: shift})
    picture = Picture("blocks", figure, *captions("when.chart", values))
    return Section("when", say("when.see"), [picture, Table(say("when.table"), blocks, folded=True)])


def _draw_blocks(lines: dict[str, pd.DataFrame]) -> Figure:
    """Lines over the blocks, the oldest first.

    Args:
        lines: name of an axis, with its unit → a column per line.
    """
    figure = new_figure(figsize=(chart_style.WIDTH_IN, 6.6), layout="constrained")
    grid = figure.subplots(len(lines), sharex=True)
    for axes, (label, table) in zip(grid, lines.items(), strict=True):
        for name in table:
            axes.plot(table.index + 1, table[name], "o-", markersize=3, label=legend_label(name))
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel(label)
        if len(table.columns):
            axes.legend(fontsize=chart_style.SMALL, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    grid[-1].set_xlabel("block (number), oldest first")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _files(findings: Findings, reference: Reference, clips: Clips, unreadable: pd.DataFrame) -> Section:
    rows = findings.of_kind("fact")
    drawn = rows.iloc[:N_DRAWN].itertuples(index=False)
    blocks: list[Block] = [_cumulated(row, row.name, "files.fact", reference, clips) for row in drawn]
    blocks.append(Table(say("files.table"), _named(rows)) if len(rows) else say("files.none"))
    if len(unreadable):
        blocks.append(Table(say("files.unreadable"), unreadable, folded=True))
    noted = clips.table.loc[clips.table["note"] != "", ["id", "path", "note"]]
    if len(noted):
        blocks.append(Table(say("files.noted"), noted, folded=True))
    return Section("files", say("files.see"), blocks)


def _answers(findings: Findings, reference: Reference, clips: Clips, config: Config) -> Section:
    rows = findings.of_kind("prediction")
    drawn = rows[rows["name"].isin(config.outputs)].iloc[:N_DRAWN].itertuples(index=False)
    blocks: list[Block] = [_cumulated(row, f"compared_{row.name}", "answers.output", reference, clips) for row in drawn]
    blocks += [say("answers.scenes")] if reference.kind == "scenes" else []
    return Section("answers", say("answers.see"), [*blocks, Table(say("answers.table"), _named(rows))])


def _cumulated(row, column: str, key: str, reference: Reference, clips: Clips) -> Picture:
    values = {"name": row.name, "psi": row.psi}
    samples = {"reference": reference.clips.table[column].dropna(), "new": clips.table[column].dropna()}
    return Picture(f"{key}-{row.name}", charts.draw_facts(samples, row.name), *captions(key, values))


def _features(findings: Findings) -> Section:
    rows = findings.of_kind("feature").head(N_STRONGEST)
    if rows.empty:
        return Section("features", say("features.see"), [say("features.none")])
    values = {"name": rows["name"].iloc[0], "psi": rows["psi"].iloc[0]}
    figure = charts.draw_bars(rows.set_index("name")["psi"], "PSI", "feature")
    picture = Picture("features", figure, *captions("features.chart", values))
    tables = [Table(say("features.families"), findings.families), Table(say("features.strongest"), _named(rows))]
    return Section("features", say("features.see"), [picture, *tables])


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """What people look at; verdicts in both languages."""
    return rows.drop(columns=HIDDEN).assign(level=[say(f"verdict.{level}") for level in rows["level"]])
