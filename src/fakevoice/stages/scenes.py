"""Clip table and folds → scene tables and mined noises: the test's environment, simulated inside each fold."""

from pathlib import Path

from fakevoice.config import Config
from fakevoice.places import Paths

AFTER = ("prepare", "folds")
READS = ("seed", "sample_rate_hz", "clip_duration_s", "classes", "folds", "scenes")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    return ["scenes", "noise_bank", "voicing", "audio", "spectrum", "channel"]


def run(config: Config, paths: Paths) -> list[Path]:
    """Write scenes.csv, voices.csv, noise_bank.csv and noise_bank.npy."""
    from fakevoice import scenes
    from fakevoice.folds import read_folds
    from fakevoice.noise_bank import mine_noises
    from fakevoice.storage import write_array
    from fakevoice.tables import CLIP_TEXT, read_table, write_table

    folder = paths.stage("scenes")
    clips = read_table(paths.stage("prepare") / "clips.csv", CLIP_TEXT)
    folds = read_folds(paths.folds_csv, config.competition)
    train = folds.merge(clips.loc[clips["split"] == "train", ["id", "duration_s"]], on="id", validate="1:1")
    heard = clips if config.scenes.states else clips.iloc[:0]  # clips alone need no noise
    noise_table, bank = mine_noises(heard, paths.raw, config.sample_rate_hz, config.folds.n_folds)
    drawn = scenes.draw_scenes(train, noise_table, config) if config.scenes.states else scenes.plain_scenes(train)
    for name, table in zip(("scenes", "voices", "noise_bank"), (*drawn, noise_table), strict=True):
        write_table(folder / f"{name}.csv", table)
    write_array(folder / "noise_bank.npy", bank)
    print(f"{len(drawn[0])} scenes, {len(drawn[1])} pieces of voices, {len(noise_table)} mined noises", flush=True)
    return [folder / f"{name}.csv" for name in ("scenes", "voices", "noise_bank")] + [folder / "noise_bank.npy"]
