"""Clip table and folds → scene tables and mined noises: the test's environment, simulated inside each fold."""

from pathlib import Path

from fakevoice.config import Config
from fakevoice.places import Paths

AFTER = ("prepare", "folds")
READS = ("seed", "sample_rate_hz", "clip_duration_s", "classes", "folds", "scenes")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    return ["scenes", "scene_runs", "matching", "noise_bank", "voicing", "audio", "spectrum", "channel", "rendering"]


def run(config: Config, paths: Paths) -> list[Path]:
    """Write scenes.csv, voices.csv, matching.csv, noise_bank.csv and noise_bank.npy."""
    from fakevoice.folds import read_folds
    from fakevoice.scene_runs import draw
    from fakevoice.tables import CLIP_TEXT, read_table, write_table

    folder = paths.stage("scenes")
    clips = read_table(paths.stage("prepare") / "clips.csv", CLIP_TEXT)
    drawn = draw(clips, read_folds(paths.folds_csv, config.competition), paths.raw, config)
    for name in ("scenes", "voices", "matching"):
        write_table(folder / f"{name}.csv", getattr(drawn, name))
    n_noises = len(drawn.bank.table)
    print(f"{len(drawn.scenes)} scenes, {len(drawn.voices)} pieces of voices, {n_noises} mined noises", flush=True)
    return [folder / f"{name}.csv" for name in ("scenes", "voices", "matching")] + drawn.bank.save(folder)
