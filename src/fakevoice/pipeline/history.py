"""What was done to a run and how long it took: one line per stage that was run, kept beside its artifacts."""

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path

from fakevoice.core.artifacts import write_text

COLUMNS = ("stage", "started_at", "seconds", "reason")
NAME = "history.csv"
SECONDS = re.compile(r"\d+\.\d")


def record(run: Path, stage: str, started_at: datetime, seconds: float, reason: str) -> None:
    """Add a line; the caller holds the run's lock.

    Args:
        run: folder of the run.
        started_at: aware; written in UTC.
        reason: why the stage was stale.
    """
    line = {"stage": stage, "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds")}
    line |= {"seconds": f"{seconds:.1f}", "reason": reason}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*read(run), line])
    write_text(run / NAME, text.getvalue())


def read(run: Path) -> list[dict[str, str]]:
    """All lines, oldest first; what was damaged is left out, since nothing depends on it."""
    path = run / NAME
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [line for line in csv.DictReader(file) if _is_whole(line)]


def last_times(run: Path) -> dict[str, float]:
    """Seconds that each stage took when it was run last."""
    return {line["stage"]: float(line["seconds"]) for line in read(run)}


def _is_whole(line: dict[str, str]) -> bool:
    return set(line) == set(COLUMNS) and None not in line.values() and bool(SECONDS.fullmatch(line["seconds"]))
