"""Out-of-fold and test probabilities → tables by member, fold, group and kind of clip, beside what was published."""

from dataclasses import replace
from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("prepare", "scenes", "train", "ensemble", "submission")
READS = (
    "competition",
    "experiment",
    "task",
    "classes",
    "answers",
    "metric",
    "measures",
    "epoch_measures",
    "networks",
    "published",
)


def run(config: Config, paths: Paths) -> list[Path]:
    """Write results.json, results.md, a chart of all members and, of many classes, their confusion."""
    from fakevoice.analysis import results, results_report
    from fakevoice.analysis.finished_run import load_run
    from fakevoice.core.artifacts import atomic_file, write_json, write_text
    from fakevoice.data.folds import read_folds

    run, folder = replace(load_run(config), config=config), paths.stage("results")  # what is shown may be newer
    tables = results.collect(run)
    experiment = "" if config.experiment == "default" else f" experiment={config.experiment}"
    command = f"./run.sh all --config {config.competition}{experiment}"
    folds = read_folds(paths.stage("folds") / "folds.csv", config.competition)
    page = results_report.as_markdown(tables, config, command, len(folds), folds["group"].nunique())
    write_json(folder / "results.json", results.as_json(run, tables, command))
    write_text(folder / "results.md", page)
    charts = {results_report.performance_name(config): results_report.draw_performance(tables, config)}
    if "confusion" in tables:
        charts["confusion.png"] = results_report.draw_confusion(tables["confusion"], config)
    for name, figure in charts.items():
        with atomic_file(folder / name) as file:
            figure.savefig(file, dpi=120, format="png")
    print(f"{page}\nthe same for a report, and charts: {folder}", flush=True)
    return [folder / name for name in ("results.json", "results.md", *charts)]
