"""Scores the files of data/ and writes output/submission.csv: python script.py"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "model" / "code"))

from fakevoice.inference.code_competition import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(HERE / "model", HERE / "data", HERE / "output" / "submission.csv"))
