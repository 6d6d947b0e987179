"""Predict: seconds of audio that the whole ensemble scores in a second."""

import os
from pathlib import Path

import numpy as np
from made import CLIP_S, clips, finished_run, run_command
from rows import N_CORES, Row, run_theme, say
from timing import milliseconds, take_turns

from fakevoice.core.errors import FakevoiceError
from fakevoice.ensemble.stacker import predict_logits
from fakevoice.inference.predictor import Predictor, extract_files

RECORDINGS = "recordings"


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 10."""
    n_clips, n_rounds, n_alone = (4, 2, 2) if tiny else (96, 3, 16)
    run = finished_run(work, tiny)
    files = clips(work / RECORDINGS, n_clips)
    predictor = Predictor.load(run.paths)
    say(f"{n_clips} clips by the whole ensemble, {n_rounds} rounds")
    _check(predictor, files[: min(n_clips, 4)])
    seconds = take_turns({"predict": lambda: predictor.predict(files)}, n_rounds)["predict"]
    audio_s = n_clips * CLIP_S
    command_s = _command_s(work, run, files)
    rates = audio_s / seconds
    details = {f"with the start of the process and its workers ({n_clips} clips), ×": audio_s / command_s}
    details |= {"the command as a whole, s": command_s}
    details |= {f"{name}, ms a clip": value for name, value in _parts(predictor, files[:n_alone]).items()}
    about = f"seconds of audio scored in a second by the whole ensemble, {N_CORES} cores, start of processes left out"
    return [
        Row(
            *(10, about, "real time", float(np.median(rates)), "×", (float(rates.min()), float(rates.max()))),
            reach=60.0,
            moonshot=150.0,
            larger_is_better=True,
            details=details,
        )
    ]


def _check(predictor: Predictor, files: list[Path]) -> None:
    """Workers say what this process says.

    Raises:
        FakevoiceError: they do not.
    """
    apart = predictor.predict(files).probability
    here = predictor.score(extract_files(predictor.config, files)[0]).probability
    if not np.allclose(apart, here, atol=1e-9):
        raise FakevoiceError(f"predict is off by {np.abs(apart - here).max():.3g} from the same models in this process")


def _command_s(work: Path, run, files: list[Path]) -> float:
    folder = work / f"{RECORDINGS}-{len(files)}"
    folder.mkdir(exist_ok=True)
    for file in files:
        if not (folder / file.name).exists():
            os.link(file, folder / file.name)
    return run_command(run.home, "predict", folder, *run.words, "--out", work / "predictions.csv").wall_s


def _parts(predictor: Predictor, files: list[Path]) -> dict[str, float]:
    """Milliseconds a clip in this process alone, on one core."""
    arrays, _ = extract_files(predictor.config, files)
    calls = {
        "files to features": lambda: extract_files(predictor.config, files),
        "features to probabilities": lambda: predictor.score(arrays),
    }
    for name, folds in predictor.networks.items():
        x = folds[0].standardizer(arrays[predictor.config.networks[name].feature])[:, None]
        calls[f"of which networks of {name}"] = lambda x=x, folds=folds: [n.logits(iter([x])) for n in folds]
    names = predictor.boosters[0][0].feature_name()
    columns = np.zeros((len(files), len(names)), np.float32)
    calls["of which boosters"] = lambda: [predict_logits(b, columns, names) for b in predictor.boosters]
    return {name: milliseconds(values, len(files)) for name, values in take_turns(calls, 2).items()}


if __name__ == "__main__":
    run_theme(measure, __file__)
