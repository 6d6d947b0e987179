"""Monitoring that goes on: new files of a folder are heard look by look, and the newest clips are judged together.

    ./run.sh monitor FOLDER --watch    → monitor.csv (a line per look), heard.csv, pooled-<n>.npy, and the page

What was heard lies in the log folder, so that a restart goes on where it was. A file that is still being written is
left for the next look.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakevoice.audio.files import split_part
from fakevoice.core.artifacts import read_array, write_array
from fakevoice.core.errors import ArtifactError, ConfigError, DataError
from fakevoice.core.tables import read_table, write_table
from fakevoice.features.extract import pooled_names
from fakevoice.inference.inputs import LISTED, Source
from fakevoice.inference.predictor import Predictor
from fakevoice.monitor.clips import Clips, Reference, find_reference, list_clips, score_clips
from fakevoice.monitor.html_page import PAGE, write_page
from fakevoice.monitor.verdict import EXIT_CODES, KINDS, Findings, judge

HEARD, LOOKS = "heard.csv", "monitor.csv"
TEXT = ("id", "path", "note", "stamp", "reason", "version")
WINDOW = 500  # newest clips, judged together: what came long ago is no news
SETTLE_S = 2.0  # before the first look, which has no earlier one to compare with
HOST = "127.0.0.1"
LABELLED = {"psi": "kind", "mean": "output"}
WHAT = {
    "n_new": "files that were new at the last look",
    "n": f"clips judged together, at most {WINDOW}",
    "n_unreadable": "files among them that could not be read",
    "n_noted": "files among them that were not read completely or have a wrong header",
    "outside": "share of clips outside of what training covered",
    "unsure": "share of clips with a probability between .4 and .6",
    "psi": "largest population stability index",
    "mean": "mean probability",
    "verdict": "0 fine, 10 watch, 20 retrain",
    "last_look_timestamp_seconds": "when the last look ended",
}

Stamps = dict[str, str]  # absolute path → size and time of writing


@dataclass(frozen=True, eq=False)
class Look:
    """What one look found: how many files are new, what is said of the newest clips, and its line in the log."""

    n_new: int
    findings: Findings
    row: dict[str, Any]


class Watcher:
    """Looks for new files and remembers what it heard.

    Args:
        arguments: folders and files, as for `list_clips`.
        folder: of the log.

    Raises:
        ConfigError: paths on standard input, which come but once.
        ArtifactError: the log is damaged, or of another model.
    """

    def __init__(self, predictor: Predictor, arguments: list[str], folder: Path):
        if LISTED in arguments:
            raise ConfigError(f"--watch: name a folder; {LISTED} is a list that is read but once")
        self.predictor, self.arguments, self.folder = predictor, arguments, folder
        self.reference: Reference = find_reference(predictor)
        self.columns = pooled_names(predictor.config)
        self.heard, self.pooled = self._remembered()
        self.stamps: Stamps = self._stamps(self._listed())

    def look(self) -> Look:
        """Hear the files that are new and did not change since the last look, write everything, and judge."""
        sources = self._listed()
        stamps, before = self._stamps(sources), self.stamps
        known = set(zip(self.heard["path"], self.heard["stamp"], strict=True))
        new = [source for source in sources if self._is_new(_name(source), stamps, before, known)]
        self.stamps = stamps
        if new:
            self._hear(new, stamps)
        clips, unreadable = self._newest()
        findings = judge(self.reference, clips, len(unreadable), self.predictor.config.outputs, self.columns)
        row = self._log(len(new), findings, clips)
        if new or not (self.folder / PAGE).is_file():
            write_page(self.folder, findings, self.reference, clips, unreadable, self.predictor.config)
        return Look(len(new), findings, row)

    def _listed(self) -> list[Source]:
        try:
            return list_clips(self.arguments, self.predictor.config.data.cache_gb)
        except DataError:
            if all(Path(argument).is_dir() for argument in self.arguments):
                return []  # nothing came yet
            raise

    @staticmethod
    def _stamps(sources: list[Source]) -> Stamps:
        found = {}
        for source in sources:
            try:
                facts = split_part(source.path)[0].stat()
            except OSError:  # it is gone since it was listed
                continue
            found[_name(source)] = f"{facts.st_size}-{facts.st_mtime_ns}"
        return found

    @staticmethod
    def _is_new(name: str, stamps: Stamps, before: Stamps, known: set[tuple[str, str]]) -> bool:
        return name in stamps and stamps[name] == before.get(name) and (name, stamps[name]) not in known

    def _hear(self, new: list[Source], stamps: Stamps) -> None:
        clips, unreadable = score_clips(self.predictor, new, self.reference.kind)
        parts = [clips.table.assign(reason=""), unreadable]
        table = pd.concat([part for part in parts if len(part)], ignore_index=True)
        names = {source.id: _name(source) for source in new}
        table["path"] = table["id"].map(names)
        table["note"] = table["note"].fillna("") if "note" in table else ""  # an unreadable file has none
        table = table.assign(stamp=table["path"].map(stamps), version=self.predictor.version)
        self.heard = pd.concat([self.heard, table], ignore_index=True) if len(self.heard) else table
        self.pooled = np.concatenate([self.pooled, clips.pooled])[-WINDOW:]
        self._remember()

    def _remember(self) -> None:
        """Write what was heard; the table comes second, and says which array is its own: a kill leaves one whole."""
        n = len(self.heard)
        write_array(self.folder / f"pooled-{n}.npy", self.pooled)
        write_table(self.folder / HEARD, self.heard)
        for left in self.folder.glob("pooled-*.npy"):
            if left.name != f"pooled-{n}.npy":
                left.unlink()

    def _remembered(self) -> tuple[pd.DataFrame, np.ndarray]:
        path = self.folder / HEARD
        if not path.is_file():
            return pd.DataFrame({name: [] for name in TEXT}, dtype=str), np.empty((0, len(self.columns)), np.float32)
        heard = read_table(path, TEXT)
        if set(heard["version"]) != {self.predictor.version}:
            raise ArtifactError(f"{path} was written with another model: name another folder with --out, or remove it")
        return heard, read_array(self.folder / f"pooled-{len(heard)}.npy")

    def _newest(self) -> tuple[Clips, pd.DataFrame]:
        """The newest clips, oldest first, and the unreadable files since the first of them."""
        is_heard = (self.heard["reason"] == "").to_numpy()
        rows = np.flatnonzero(is_heard)[-len(self.pooled) :] if len(self.pooled) else np.empty(0, int)
        since = self.heard.iloc[rows[0] if len(rows) else 0 :]
        table = self.heard.iloc[rows].reset_index(drop=True)
        if not len(table):
            table = table.reindex(columns=[*table.columns, *self.reference.clips.table.columns, "modified_s"])
            table = table.reindex(columns=[*table.columns, *self.predictor.config.outputs])
        unreadable = since.loc[since["reason"] != "", ["id", "path", "reason"]]
        return Clips(table, self.pooled), unreadable.reset_index(drop=True)

    def _log(self, n_new: int, findings: Findings, clips: Clips) -> dict[str, Any]:
        outputs = self.predictor.config.outputs
        answers = {f"mean_{output}": float(clips.table[output].mean()) for output in outputs}
        row = {
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "n_new": n_new,
            "n": findings.n,
            "n_unreadable": findings.n_unreadable,
            "n_noted": int((clips.table["note"] != "").sum()),
            "outside": findings.outside,
            "unsure": float(np.average(findings.blocks["unsure"], weights=findings.blocks["n"])) if findings.n else 0.0,
            **{f"psi_{kind}": findings.max_psi(kind) for kind in KINDS},
            **answers,
            "verdict": findings.verdict,
        }
        path = self.folder / LOOKS
        line = pd.DataFrame([row])
        before = read_table(path, ("time", "verdict")) if path.is_file() else None
        write_table(path, line if before is None else pd.concat([before, line], ignore_index=True))
        return row


def _name(source: Source) -> str:
    return str(source.path.absolute())


class Gauges:
    """The newest look as gauges of Prometheus, on http://127.0.0.1:PORT/metrics of this machine.

    Raises:
        ConfigError: the port is taken.
    """

    def __init__(self, port: int):
        from prometheus_client import CollectorRegistry, Gauge, start_http_server

        self._registry, self._gauge, self._gauges = CollectorRegistry(), Gauge, {}
        try:
            self._server, self._thread = start_http_server(port, HOST, self._registry)
        except OSError as error:
            raise ConfigError(f"--port {port}: {error.strerror}; choose another one") from error
        self.port: int = self._server.server_port

    def show(self, row: dict[str, Any]) -> None:
        """Set every number of a line of the log; the verdict is 0 (fine), 10 (watch) or 20 (retrain)."""
        numbers = {name: value for name, value in row.items() if name not in ("time", "verdict")}
        numbers |= {"verdict": EXIT_CODES[row["verdict"]], "last_look_timestamp_seconds": time.time()}
        for name, value in numbers.items():
            kind, _, of = name.partition("_")
            if kind in LABELLED:  # classes have names of all kinds, which a label may have and a gauge may not
                self._of(kind, (LABELLED[kind],)).labels(of).set(value)
            else:
                self._of(name).set(value)

    def _of(self, name: str, labels: tuple[str, ...] = ()):
        if name not in self._gauges:
            gauge = self._gauge(f"fakevoice_monitor_{name}", WHAT[name], labels, registry=self._registry)
            self._gauges[name] = gauge
        return self._gauges[name]

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def watch(watcher: Watcher, every_s: float, port: int) -> None:
    """Look again and again until somebody stops it, and tell of every look in a line."""
    gauges = Gauges(port)
    try:
        print(f"http://{HOST}:{gauges.port}/metrics; {watcher.folder / LOOKS}; Ctrl-C ends it", flush=True)
        time.sleep(min(SETTLE_S, every_s))
        while True:
            start = time.monotonic()
            look = watcher.look()
            gauges.show(look.row)
            print("  ".join(f"{name} {_short(value)}" for name, value in look.row.items()), flush=True)
            time.sleep(max(0.0, every_s - (time.monotonic() - start)))
    finally:
        gauges.close()


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
