"""Rows of the table of speeds: what was measured, against what, and whether it is enough; and running one theme.

A theme is a file here with ``measure(work, tiny)``, which returns its rows. `all.py` runs them all; alone:

    .venv/bin/python benchmarks/features.py [--out JSON] [--tiny]
"""

import argparse
import dataclasses
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timing import machine

from fakevoice.core.artifacts import write_json
from fakevoice.core.errors import FakevoiceError

RESULTS = Path(__file__).parent / "results"
N_CORES = 2  # as many as each theme uses at most, wherever it runs
Measure = Callable[[Path, bool], "list[Row]"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        number: of the row; two rows of one number belong together.
        value: what is judged, the median over the rounds where there are rounds.
        unit: of `value`, `spread`, `reach` and `moonshot`; ``×`` is a ratio.
        spread: smallest and largest of the rounds.
        reach, moonshot: what must and what should be had; None where there is no such mark.
        larger_is_better: of `value`.
        holds: whether everything holds that must hold besides, e.g. that both sides say the same.
        details: what stands behind the value, by name.
    """

    number: int
    what: str
    against: str
    value: float
    unit: str = "×"
    spread: tuple[float, float] | None = None
    reach: float | None = None
    moonshot: float | None = None
    larger_is_better: bool = False
    holds: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, *(self.spread or ())))):
            raise FakevoiceError(f"row {self.number} ({self.what}) has no finite value: {self.value}, {self.spread}")

    @property
    def verdict(self) -> str:
        """``moonshot``, ``yes`` or ``no``; a dash where there is no mark."""
        if self.reach is None:
            return "–"
        if not (self.holds and self._passes(self.reach)):
            return "no"
        return "moonshot" if self.moonshot is not None and self._passes(self.moonshot) else "yes"

    def _passes(self, mark: float) -> bool:
        return self.value >= mark if self.larger_is_better else self.value <= mark

    def as_json(self) -> dict[str, Any]:
        """All fields and the verdict."""
        return dataclasses.asdict(self) | {"verdict": self.verdict}


def number_text(value: float | None, unit: str) -> str:
    """Three digits and the unit; a dash for None."""
    if value is None:
        return "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
    return f"{value or 0:.{min(digits, 4)}f} {unit}".strip()  # no minus before a zero


def as_table(rows: list[Row]) -> str:
    """Markdown, a line per row."""
    lines = [["", "what", "against", "measured", "rounds from to", "must reach", "moonshot", "met"]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        least = "≥ " if row.larger_is_better else "≤ "
        marks = [least + number_text(mark, row.unit) if mark is not None else "–" for mark in (row.reach, row.moonshot)]
        ends = " to ".join(number_text(end, "") for end in row.spread) if row.spread else "–"
        measured = number_text(row.value, row.unit)
        lines.append([str(row.number), row.what, row.against, measured, ends, *marks, row.verdict])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_details(row: Row) -> str:
    """What stands behind a row, a line per detail."""
    title = f"{row.number}. {row.what}" + ("" if row.holds else " (what must hold besides does NOT hold)")
    return "\n".join([title, *(f"   {name:<62} {_detail_text(value)}" for name, value in row.details.items())])


def _detail_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_detail_text(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(_detail_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def say(text: str) -> None:
    """A line of progress."""
    print(f"   {text}", file=sys.stderr, flush=True)


def run_theme(measure: Measure, file: str) -> None:
    """Measure one theme, print its table and its details, write them as JSON."""
    theme = Path(file).stem
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--work", type=Path, help="folder for clips and runs that themes share; a temporary one else")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{theme}.json", help="JSON to write")
    parser.add_argument("--tiny", action="store_true", help="so small that the numbers mean nothing: does it run?")
    options = parser.parse_args()
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(N_CORES))
    warnings.simplefilter("ignore")  # librosa's and the ONNX exporter's of their own imports
    about = machine()
    with tempfile.TemporaryDirectory(prefix="fakevoice-bench-") as folder:
        try:
            rows = measure(options.work or Path(folder), options.tiny)
        except FakevoiceError as error:
            print(f"{theme}: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
    write_json(options.out, {"theme": theme, "machine": about, "rows": [row.as_json() for row in rows]})
    print("\n\n".join([as_table(rows), *map(as_details, rows)]), flush=True)
