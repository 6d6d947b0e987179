"""Why a run is as good as it is and whether that will come true: clips, columns, shortcuts, drift, training.

As in `report_sections`, a section without anything to show is None.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fakevoice.analysis.domain_gap import separate, unlabeled_clips
from fakevoice.analysis.finished_run import Run
from fakevoice.audio.encode import encode
from fakevoice.core.errors import DataError
from fakevoice.core.progress import track
from fakevoice.core.tables import read_table
from fakevoice.data.clip_cache import ClipFiles
from fakevoice.data.shortcuts import STRONG_AUC
from fakevoice.report import charts, tables
from fakevoice.report import curves as report_curves
from fakevoice.report.blocks import Block, Clip, Code, Facts, Material, Picture, Section, Table, Text, captions, say
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render_all

CLIP_FACTS = ("loss", "snr_db", "noise", "event", "codec", "overlap_s", "level_difference_db", "vocoders", "groups")
TOLD_APART = 0.7  # AUC from which on scenes are not like the unlabeled clips
MAX_SOUND_S = 10.0
N_COLUMNS, MAX_OUTPUTS = 25, 4


def worst(material: Material) -> Section:
    """The scenes with the largest loss, to look at and listen to."""
    run, scenes = material.run, tables.worst(material.described)
    try:
        rows, sounds = scenes.to_dict("records"), _render(run, scenes["scene"])
        pairs = track(zip(rows, sounds, strict=True), len(rows), "report: worst clips", "clips")
        blocks: list[Block] = [_clip(run, row, waveform) for row, waveform in pairs]
    except DataError as error:  # the recordings may lie elsewhere by now
        blocks = [say("worst.unreadable", reason=str(error))]
    shown = ["scene", "state", *(f"probability_{output}" for output in run.config.outputs), *CLIP_FACTS, "fold"]
    return Section("worst", say("worst.see"), [*blocks, Table(say("worst.table"), scenes[shown], folded=True)])


def _render(run: Run, names: pd.Series) -> Iterator[np.ndarray]:
    """The sound (n_samples,) float32 of scenes, from the files of their few clips rather than from the clips' cache."""
    train = run.clips[run.clips["split"] == "train"]
    paths = {clip: run.paths.raw / path for clip, path in zip(train["id"], train["path"], strict=True)}
    scenes = run.scenes.set_index("scene", drop=False).loc[names]
    voices = run.voices[run.voices["scene"].isin(names)]
    bank = NoiseBank.load(run.paths.stage("scenes"))
    return render_all(scenes, voices, ClipFiles(paths, run.config).read, bank, run.config)


def _clip(run: Run, row: dict[str, Any], waveform: np.ndarray) -> Clip:
    rate_hz = run.config.sample_rate_hz
    waveform = waveform[: round(MAX_SOUND_S * rate_hz)]
    flac = encode(waveform, rate_hz, format="FLAC", subtype="PCM_16")
    values = {"scene": row["scene"], "state": row["state"], "loss": row["loss"]}
    facts: Facts = [(f"probability_{output}", row[f"probability_{output}"]) for output in run.config.outputs]
    facts += [(name, row[name]) for name in (*CLIP_FACTS, "fold") if row[name] == row[name] and row[name] != ""]
    clips = run.voices.loc[run.voices["scene"] == row["scene"], "clip"].drop_duplicates()
    figure = charts.draw_sound(waveform, rate_hz, f"{row['scene']}: {row['state']}")
    title, facts = say("worst.title_of", **values), [*facts, ("clips", ", ".join(clips))]
    picture = Picture(f"clip-{row['scene']}", figure, title, say("worst.clip_alt", **values), is_photo=True)
    return Clip(title, facts, picture, flac)


def importance(material: Material) -> Section | None:
    """What the stacker looks at."""
    shares = tables.gain_shares(material.run)
    if not shares["mean"].sum() > 0:
        return None
    groups = tables.families(shares)
    values = {"column": shares.index[0], "share": shares["mean"].iloc[0]}
    values |= {"family": groups.index[0], "of_family": groups["mean"].iloc[0]}
    figures = {
        "columns": charts.draw_bars(shares["mean"].head(N_COLUMNS), "share of the gain", "column"),
        "families": charts.draw_bars(groups["mean"], "share of the gain", "family of columns"),
    }
    pictures = [Picture(f"gain-{n}", figure, *captions(f"importance.{n}", values)) for n, figure in figures.items()]
    shown = list(shares.columns) if 1 < len(material.config.outputs) <= MAX_OUTPUTS else ["mean"]
    table = shares[shown].head(N_COLUMNS).rename(columns={"mean": "mean_share"}).rename_axis("column").reset_index()
    return Section("importance", say("importance.see"), [*pictures, Table(say("importance.table"), table, folded=True)])


def shortcuts(material: Material) -> Section | None:
    """How well facts about a file tell its label without anybody listening."""
    path = material.run.paths.stage("folds") / "shortcuts.csv"
    table = read_table(path, ("shortcut", "label")).dropna(subset="auc")
    if table.empty:
        return None
    table = table.sort_values("auc", ascending=False, kind="stable", ignore_index=True)
    if len(material.config.classes) == 2:  # what tells one of two labels tells the other as well
        table = table[table["label"] == table["label"].iloc[0]].reset_index(drop=True)
    single = table[table["shortcut"] != "all"]
    best = single.iloc[0] if len(single) else table.iloc[0]
    values = {"shortcut": say(f"shortcut.{best['shortcut']}"), "label": best["label"], "auc": best["auc"]}
    picture = Picture("shortcuts", charts.draw_shortcuts(table), *captions("shortcuts.chart", values))
    listed = table.assign(remedy=[say(f"remedy.{name}") for name in table["shortcut"]])
    listed["shortcut"] = [say(f"shortcut.{name}") for name in table["shortcut"]]
    finding = say("shortcuts.finding", **values, remedy=say(f"remedy.{best['shortcut']}"))
    blocks = [picture, Table(say("shortcuts.table"), listed)]
    return Section("shortcuts", say("shortcuts.see"), blocks, finding if best["auc"] >= STRONG_AUC else None)


def drift(material: Material) -> Section:
    """How far the test lies from training clips, and from the scenes."""
    run, facts = material.run, tables.known_facts(material.run)
    blocks: list[Block] = []
    for name, of in facts.items():
        figure = charts.draw_facts(of, tables.FACTS[name])
        values = {"fact": say(f"column.{name}"), "splits": ", ".join(of)}
        blocks.append(Picture(f"fact-{name.replace('_', '-')}", figure, *captions("drift.fact", values)))
    if facts and len(run.test_probability):
        listed = tables.fact_drift(facts)
        listed["fact"] = [say(f"column.{name}") for name in listed["fact"]]
        blocks.append(Table(say("drift.facts"), listed))
    if not len(run.test_probability):
        blocks.append(say("drift.no_test"))
    elif _is_pooled(run):
        columns = tables.feature_drift(run)
        values = columns.loc[0, ["column", "auc", "ks"]].to_dict()
        blocks.append(Picture("drift", charts.draw_ranges(columns), *captions("drift.columns", values)))
        blocks.append(Table(say("drift.table"), columns, folded=True))
    apart, finding = _told_apart(run)
    return Section("drift", say("drift.see"), [*blocks, apart], finding)


def _told_apart(run: Run) -> tuple[Text, Text | None]:
    """What a classifier says of scenes and unlabeled clips, and what to do about it."""
    n_clips = len(unlabeled_clips(run))
    if n_clips < run.config.folds.n_folds or not _is_pooled(run):
        return say("drift.no_unlabeled"), None
    found = separate(run)
    values = {"auc": found.auc, "low": found.low, "high": found.high, "n": n_clips}
    return say("drift.separation", **values), say("drift.finding", **values) if found.auc >= TOLD_APART else None


def _is_pooled(run: Run) -> bool:
    return bool(run.config.pooled or run.config.statistics)


def curves(material: Material) -> Section | None:
    """How the networks learned."""
    blocks = []
    for network in material.config.networks:
        folds = tables.epochs(material.run, network)
        losses = [table["loss"] for table in folds.values()]
        values = {"network": network, "n": len(folds), "first": np.mean([loss.iloc[0] for loss in losses])}
        values["last"] = np.mean([loss.iloc[-1] for loss in losses])
        figure = report_curves.draw_epochs(folds, f"network {network}")
        blocks.append(Picture(f"curves-{network}", figure, *captions("curves.network", values)))
    return Section("curves", say("curves.see"), blocks) if blocks else None


def made(material: Material) -> Section:
    """How to make it again."""
    times = tables.stage_times(material.run)
    blocks: list[Block] = [say("made.command", command=command(material.run))]
    if len(times):
        blocks.append(Table(say("made.times", total=times["seconds"].sum() / 60), times))
    blocks.append(Table(say("made.versions"), tables.versions()))
    text = yaml.safe_dump(material.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return Section("made", say("made.see"), [*blocks, Code(say("made.config"), text)])


def command(run: Run) -> str:
    """What to type to make the run."""
    experiment = "" if run.config.experiment == "default" else f" experiment={run.config.experiment}"
    return f"./run.sh all --config {run.config.competition}{experiment}"
