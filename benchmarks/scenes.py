"""Scenes: what a mix in noise and rooms costs over a plain clip, features of both included."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
from made import PLAIN_SCENES, Run, clips, drawn_run
from rows import Row, run_theme, say
from timing import median_ratio, milliseconds, take_turns

from fakevoice.audio.preprocess import read_clip
from fakevoice.core.config import Config
from fakevoice.features.extract import POOLED, extract

Tables = tuple[pd.DataFrame, pd.DataFrame]  # scenes, voices
# The same scenes with something taken out, or put in.
OTHERS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Tables]] = {
    "no voices through vocoders": lambda scenes, voices: (scenes, voices.assign(vocoder="")),
    "no rooms": lambda scenes, voices: (scenes, voices.assign(rt60_s=0.0)),
    "no equalizers and bands of voices": lambda scenes, voices: (
        scenes,
        voices.assign(equalizer_db=0.0, band_limit_hz=0, low_cut_hz=0),
    ),
    "no noises": lambda scenes, voices: (scenes.assign(noise="", event=""), voices),
    "each through vorbis": lambda scenes, voices: (scenes.assign(codec="vorbis"), voices),
}


def measure(work: Path, tiny: bool) -> list[Row]:
    """Row 4."""
    n_clips, n_rounds = (16, 2) if tiny else (32, 3)
    files = clips(work / "recordings", n_clips)
    say(f"{n_clips} scenes and as many clips, {n_rounds} rounds; then {len(OTHERS)} other kinds of scenes")
    run = drawn_run(work / "scenes", files, {"scenes": PLAIN_SCENES, "folds": {"n_folds": 2}})
    calls = {
        "plain": lambda: [features_of(read_clip(file, run.config), run.config) for file in files],
        "scenes": partial(features_of_scenes, run, run.scenes, run.voices),
    }
    others = {name: partial(features_of_scenes, run, *other(run.scenes, run.voices)) for name, other in OTHERS.items()}
    with threadpoolctl.threadpool_limits(1):
        seconds, other_seconds = take_turns(calls, n_rounds), take_turns(others, 1)
    details = {"a plain clip, ms": milliseconds(seconds["plain"], n_clips)}
    details |= {"a scene, ms": milliseconds(seconds["scenes"], n_clips)}
    details |= {f"a scene, {name}, ms": milliseconds(values, n_clips) for name, values in other_seconds.items()}
    return [
        Row(
            *(4, "scenes of voices without codec, and their features", "features of a plain clip"),
            **median_ratio(seconds["scenes"], seconds["plain"]),
            reach=1.5,
            moonshot=1.2,
            details=details,
        )
    ]


def features_of(waveform: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """What the cache holds of a clip."""
    return extract(waveform, config, [*config.features, POOLED])


def features_of_scenes(run: Run, scenes: pd.DataFrame, voices: pd.DataFrame) -> list[dict[str, Any]]:
    """What it holds of scenes."""
    return [features_of(waveform, run.config) for waveform in run.rendered(scenes, voices)]


if __name__ == "__main__":
    run_theme(measure, __file__)
