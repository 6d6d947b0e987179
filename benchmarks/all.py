"""All themes one after the other, each in a process of its own, and one table at the end.

    ./run.sh bench [THEME ...] [--tiny]

Everything is made on the spot in a temporary folder. What is compared takes turns in one run: ratios mean
something on any machine, seconds on this one only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import N_CORES, RESULTS, Row, as_table
from timing import machine

from fakevoice.core.artifacts import read_json, write_json

HERE = Path(__file__).parent
THEMES = (
    *("features", "scenes", "start", "predict", "runtime_onnx", "training", "precision"),
    *("memory", "growth", "dacon"),
)
SUMMARY = "all.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the themes; returns 1 where one of them fails, whatever the numbers are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("themes", nargs="*", metavar="THEME", help=f"of {', '.join(THEMES)}; all if none is named")
    parser.add_argument("--tiny", action="store_true", help="so small that the numbers mean nothing: do they run?")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="for a JSON per theme and all.json")
    options = parser.parse_args(arguments)
    unknown = set(options.themes) - set(THEMES)
    if unknown:
        parser.error(f"no theme {', '.join(sorted(unknown))}: choose of {', '.join(THEMES)}")
    about, start = machine(), time.monotonic()
    print(describe(about), flush=True)
    found, failed = _run(options.themes or list(THEMES), options)
    rows = sorted((Row(**_without_verdict(row)) for row in found), key=lambda row: row.number)
    took_s = time.monotonic() - start
    summary = {"machine": about, "took_s": took_s, "failed": failed, "rows": [row.as_json() for row in rows]}
    write_json(options.out / SUMMARY, summary)
    print(f"\n{as_table(rows)}\n\n{describe(about)}; took {took_s:.0f} s, load at the end {os.getloadavg()[0]:.2f}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(themes: list[str], options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of all themes, and the themes that failed."""
    found, failed = [], []
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": str(N_CORES)}
    with tempfile.TemporaryDirectory(prefix="fakevoice-bench-") as work:
        for theme in themes:
            print(f"\n── {theme}", flush=True)
            out, start = options.out / f"{theme}.json", time.monotonic()
            words = [sys.executable, HERE / f"{theme}.py", "--work", work, "--out", out, *["--tiny"] * options.tiny]
            if subprocess.run(words, env=environment).returncode:
                failed.append(theme)
            else:
                found += read_json(out)["rows"]
            print(f"   {theme} took {time.monotonic() - start:.0f} s", flush=True)
    return found, failed


def _without_verdict(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "verdict"}


def describe(about: dict[str, Any]) -> str:
    """The machine in a line."""
    load = about["load"][0]
    return f"{about['at']}, {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, load {load:.2f} before"


if __name__ == "__main__":
    sys.exit(main())
