"""Runs a package on several data folders in one process: python probe.py CODE CASES.json RESULTS.json"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])

from fakevoice.inference.code_competition import main  # noqa: E402


def run(case: dict) -> dict:
    """Exit code, seconds and standard error of one case."""
    text = io.StringIO()
    start = time.monotonic()
    with contextlib.redirect_stderr(text):
        code = main(Path(case["model"]), Path(case["data"]), Path(case["out"]))
    return {"exit_code": code, "seconds": time.monotonic() - start, "stderr": text.getvalue()}


if __name__ == "__main__":
    cases = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    Path(sys.argv[3]).write_text(json.dumps({name: run(case) for name, case in cases.items()}), encoding="utf-8")
