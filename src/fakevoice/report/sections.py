"""How good a run is and where it errs: the sections of a report that are about its scores.

A section that has nothing to show of a run is None. One that has found something to do says so in one sentence, and
the summary lists these sentences.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import digest
from fakevoice.core.tasks import rows_by_output
from fakevoice.data.synthetic import is_synthetic
from fakevoice.metrics.slices import label_and_probability, reliability
from fakevoice.report import charts
from fakevoice.report import curves as report_curves
from fakevoice.report import tables as report_tables
from fakevoice.report.blocks import Block, Material, Picture, Section, Summary, Table, Text, Tile, captions, say
from fakevoice.report.tables import ENSEMBLE

AXES = {
    "snr_band": "SNR",
    "overlap_band": "overlap of two voices",
    "level_band": "level difference of two voices",
    "codec": "codec",
    "noise_kind": "noise",
    "event_kind": "second noise",
    "fold": "fold (number)",
    "vocoder": "vocoder",
}
LEAST_SLICE = 0.02  # share of the scenes that a slice must hold to be called the weakest


def summary(material: Material, sections: list[Section]) -> Summary:
    """The score to expect, what it assumes, which run this is, and what the other sections have found."""
    run, config = material.run, material.config
    manifest = run.paths.stage(ENSEMBLE) / "manifest.json"
    made = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
    splits = run.clips["split"].value_counts()
    facts = [
        ("competition", config.competition),
        ("experiment", config.experiment),
        ("date", f"{made:%Y-%m-%d %H:%M} UTC"),
        ("submission", ", ".join(report_tables.submission_names(run)) or "–"),
        ("config", digest(read_json(run.paths.stage(ENSEMBLE) / "config.json"))[:8]),  # whatever keys are new by now
        ("task", say(f"task.{config.task}")),
        ("rules", say(f"rules.{'independent' if config.rules.independent_files else 'none'}")),
        ("members", ", ".join(material.members)),
        ("n_train", int(splits.get("train", 0))),
        ("n_groups", run.clips.loc[run.clips["split"] == "train", "group"].nunique()),
        ("n_scenes", len(run.scenes)),
        ("n_test", int(splits.get("test", 0))),
    ]
    findings = [(section.name, section.finding) for section in sections if section.finding]
    assumes = say(f"summary.assumes_{'scenes' if config.scenes.states else 'clips'}", metric=config.metric)
    return Summary(_tiles(material), assumes, facts, findings, is_synthetic=is_synthetic(config))


def _tiles(material: Material) -> list[Tile]:
    metrics, metric = material.run.metrics, material.config.metric
    kinds = [kind for kind in ("expected", "discounted", "oof") if f"{kind}_score" in metrics]
    if not material.config.scenes.states:
        kinds.remove("expected")  # it is the one out of fold
    tiles = []
    for kind in kinds:
        score, low, high = (metrics[f"{kind}_{end}"] for end in ("score", "low", "high"))
        tiles.append(Tile(say(f"summary.{kind}", metric=metric), score, say("summary.interval", low=low, high=high)))
    if "test" in material.tables:
        row = material.tables["test"].iloc[0]
        tiles.append(Tile(say("summary.measured", metric=metric), row[metric], say("summary.n_clips", n=row["n"])))
    past, names = report_tables.history(material.run), report_tables.submission_names(material.run)
    boarded = past[past["file"].isin(names)].dropna(subset="board_score")
    if len(boarded):
        score = boarded["board_score"].iloc[0]
        tiles.append(Tile(say("summary.board", metric=metric), score, say("summary.of_file", file=names[0])))
    return tiles


def scores(material: Material) -> Section:
    """Submissions of the competition, members and folds."""
    run, metric, tables = material.run, material.config.metric, material.tables
    past, pivot = report_tables.history(run), report_tables.by_fold(tables["by_fold"], metric)
    boarded, blocks = past.dropna(subset="board_score"), []
    if len(past):
        (own,) = report_tables.submission_names(run) or [""]
        blocks.append(Table(say("scores.history"), past, own))
        blocks.append(_board(boarded, metric) if len(boarded) else say("scores.no_board"))
    best = "max" if plugins.load("metrics", metric).GREATER_IS_BETTER else "min"
    hardest = pivot[ENSEMBLE].agg("idxmin" if best == "max" else "idxmax")
    values = {"metric": metric, "fold": hardest, "score": pivot.at[hardest, ENSEMBLE], "mean": pivot[ENSEMBLE].mean()}
    figure = report_curves.draw_folds(pivot, metric, ENSEMBLE)
    if "discounted_score" in run.metrics:
        blocks.append(say("scores.judged"))
    blocks += [
        Table(say("scores.members"), tables["members"], ENSEMBLE),
        Picture("folds", figure, *captions("scores.folds", values)),
        Table(say("scores.by_fold", metric=metric), pivot.reset_index()),
    ]
    if "test" in tables:
        blocks.append(Table(say("scores.test"), tables["test"], "all"))
    if "by_duration" in tables:
        blocks.append(Table(say("scores.by_duration"), tables["by_duration"], "all"))
    if "published" in tables:
        source = material.config.published.source
        blocks.append(Table(say("scores.published", source=source), tables["published"], folded=True))
    return Section("scores", say(f"scores.see_{best}", metric=metric), blocks, say("scores.finding", **values))


def _board(boarded: pd.DataFrame, metric: str) -> Picture:
    is_inside = boarded["board_score"].between(boarded["expected_low"], boarded["expected_high"])
    values = {"n": len(boarded), "inside": int(is_inside.sum())}
    figure = report_curves.draw_history(boarded, metric)
    return Picture("board", figure, *captions("scores.board", values))


def roc(material: Material) -> Section:
    """ROC and DET of every output."""
    blocks: list[Block] = []
    for name, curves in report_tables.curves(material.scenes, material.members, material.config).items():
        areas = {line: report_tables.area(points) for line, points in curves.items()}
        eers = {line: report_tables.equal_error_rate(points) for line, points in curves.items()}
        main = ENSEMBLE if ENSEMBLE in curves else ""
        for what, draw, found in (("roc", report_curves.draw_roc, areas), ("det", report_curves.draw_det, eers)):
            ends = {"output": name, "low": min(found.values()), "high": max(found.values())}
            values = ends | {"main": found.get(main, np.mean(list(found.values())))}
            figure = draw(curves, found, main, f"{what.upper()}, {name}")
            blocks.append(Picture(f"{what}-{name}", figure, *captions(f"roc.{what}", values)))
    return Section("roc", say("roc.see"), blocks)


def calibration(material: Material) -> Section:
    """Reliability before and after the blend is fitted."""
    config, scenes = material.config, material.scenes
    label, after = label_and_probability(scenes, config.outputs)
    before = report_tables.plain_average(scenes, material.members, config)
    rows = rows_by_output(label, config)
    columns = {
        name: (label[rows[:, i], i], before[rows[:, i], i], after[rows[:, i], i])
        for i, name in enumerate(config.outputs)
    }
    if config.task == "multiclass":
        columns = {"all classes": (label.ravel(), before.ravel(), after.ravel())}
    measure, blocks, rows = plugins.load("metrics", "ece").measure, [], []
    for name, (truth, *both) in columns.items():
        probabilities = dict(zip(("plain average", "ensemble"), both, strict=True))
        bins = {which: reliability(truth, p) for which, p in probabilities.items()}
        eces = {which: measure(truth, p) for which, p in probabilities.items()}
        values = {"output": name, "before": eces["plain average"], "after": eces["ensemble"]}
        figure = report_curves.draw_reliability(bins, eces, name)
        picture = Picture(f"reliability-{name}", figure, *captions("calibration.reliability", values))
        blocks.append(picture)
        rows.append(values)
    worst = max(rows, key=lambda values: values["after"])
    finding = say("calibration.finding", **worst) if worst["after"] > worst["before"] else None
    return Section("calibration", say("calibration.see"), blocks, finding)


def conditions(material: Material) -> Section | None:
    """Scores by state, condition, generator, fold and group."""
    if material.config.task == "multiclass":
        return _groups(material)
    scenes = material.scenes
    tables = report_tables.condition_aucs(scenes, material.config) | report_tables.vocoder_aucs(material.run)
    blocks: list[Block] = [*_states(material), *_slices(tables)]
    if "groups" in material.tables:
        blocks.append(Table(say("conditions.groups"), material.tables["groups"], folded=True))
    if not tables:
        return Section("conditions", say("conditions.see"), blocks) if blocks else None
    listed = pd.concat([table.assign(condition=say(f"column.{by}")) for by, table in tables.items()])
    listed = listed[["condition", *listed.columns.drop("condition")]]
    blocks.append(Table(say("conditions.all"), listed, folded=True))
    return Section("conditions", say("conditions.see"), blocks, _weakest(tables, len(scenes)))


def _states(material: Material) -> Iterator[Picture]:
    if not material.config.scenes.states:
        return
    table = report_tables.state_scores(material.scenes, material.config)
    for output in material.config.outputs:
        wrong = (table[f"predicted_{output}"] - table[f"share_{output}"]).abs()
        values = {"output": output, "state": table.at[wrong.idxmax(), "state"], "off": wrong.max()}
        figure = charts.draw_states(table, output)
        yield Picture(f"state-{output}", figure, *captions("conditions.state", values))


def _slices(tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    for by, table in tables.items():
        lowest = table.loc[table["auc"].idxmin()]
        values = {"condition": say(f"column.{by}"), "slice": lowest["slice"], "auc": lowest["auc"]}
        values |= {"output": lowest["output"], "n": lowest["n"]}
        figure = charts.draw_slices(table, AXES[by])
        yield Picture(f"by-{by.removesuffix('_band').replace('_', '-')}", figure, *captions("conditions.slice", values))


def _weakest(tables: dict[str, pd.DataFrame], n_scenes: int) -> Text | None:
    """The slice that lies farthest below the AUC of all, if that is more than chance."""
    table = pd.concat([table.assign(by=by) for by, table in tables.items()])
    table = table[table["by"] != "vocoder"]  # the test has none of ours
    table = table[(table["n"] >= LEAST_SLICE * n_scenes) & (table["high"] < table["all"])].reset_index(drop=True)
    if table.empty:
        return None
    row = table.loc[(table["all"] - table["auc"]).idxmax()]
    values = {name: row[name] for name in ("slice", "output", "auc", "all")}
    return say("conditions.finding", condition=say(f"column.{row['by']}"), **values)


def _groups(material: Material) -> Section | None:
    if "groups" not in material.tables:
        return None
    groups, metric = material.tables["groups"], material.config.metric
    values = {"metric": metric, "low": groups[metric].min(), "high": groups[metric].max()}
    figure = charts.draw_bars(groups.set_index("group")[metric], metric, "group")
    picture = Picture("groups", figure, *captions("conditions.group", values))
    return Section("conditions", say("conditions.see_groups"), [picture, Table(say("conditions.groups"), groups)])


def confusion(material: Material) -> Section:
    """What is told of each state or class, and the pairs of states on which the AUC is lost."""
    config, counts = material.config, report_tables.confusion(material.scenes, material.config)
    truth, told, share = _most_confused(counts)
    values = {"truth": truth, "told": told, "share": share}
    picture = Picture("confusion", charts.draw_confusion(counts), *captions("confusion.matrix", values))
    blocks: list[Block] = [picture]
    if config.task == "multilabel":
        pairs = report_tables.costly_pairs(material.scenes, config)
        blocks.append(Table(say("confusion.pairs"), pairs))
    else:
        blocks.append(Table(say("confusion.classes"), report_tables.class_scores(counts)))
    shown = counts.rename_axis("state").reset_index().rename(columns=str)
    blocks.append(Table(say("confusion.counts"), shown, folded=True))
    return Section("confusion", say(f"confusion.see_{config.task}"), blocks, say("confusion.finding", **values))


def _most_confused(counts: pd.DataFrame) -> tuple[str, str, float]:
    """Truth, wrong answer and share of the largest wrong cell; more voices of one class are that class."""
    share = (counts.T / counts.sum(axis=1)).T
    classes = {name: frozenset(str(name).split("+")) for name in (*share.index, *share.columns)}
    is_right = np.array([[classes[row] == classes[column] for column in share] for row in share.index])
    wrong = share.mask(is_right, -1.0).stack()
    truth, told = wrong.idxmax()
    return truth, told, float(wrong.max())
