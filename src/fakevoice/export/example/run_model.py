"""Scores WAV files by windows with model.onnx; needs onnxruntime, numpy and soundfile: python run_model.py FILE..."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

FOLDER = Path(__file__).parent
FACTS = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
RATE_HZ, LENGTH, HOP = FACTS["sample_rate_hz"], FACTS["n_samples"], FACTS["hop_samples"]

if __name__ == "__main__":
    session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["file", "start_s", "end_s", *FACTS["outputs"]])
    for path in sys.argv[1:]:
        channels, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        if rate_hz != RATE_HZ:
            sys.exit(f"{path}: {rate_hz} Hz, but the model hears {RATE_HZ} Hz; ffmpeg -i IN -ar {RATE_HZ} OUT.wav")
        sound = channels.mean(axis=1)
        last = max(0, len(sound) - LENGTH)  # the last window ends where the recording ends
        for start in [*range(0, last, HOP), last]:
            window = sound[start : start + LENGTH]
            padded = np.pad(window, (0, LENGTH - len(window)))[None]
            (scores,) = session.run(None, {"waveform": padded})[0]
            table.writerow([path, start / RATE_HZ, (start + len(window)) / RATE_HZ, *np.round(scores, 4)])
