"""Clip table and folds → scene tables and mined noises: the test's environment, simulated inside each fold."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("prepare", "folds")
READS = ("seed", "sample_rate_hz", "clip_duration_s", "preprocessing", "classes", "folds", "scenes")
TABLES = ("scenes", "voices", "matching", "pilots")


def run(config: Config, paths: Paths) -> list[Path]:
    """Write scenes.csv, voices.csv, matching.csv, pilots.csv, weights.csv, noise_bank.csv and noise_bank.npy."""
    from fakevoice.audio.synthesis.noise_shapes import MINED
    from fakevoice.core.artifacts import read_array
    from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
    from fakevoice.data import leakage
    from fakevoice.data.clip_cache import open_clips
    from fakevoice.data.folds import read_folds
    from fakevoice.data.shortcuts import overlap_weights, recording_facts
    from fakevoice.scenes.noise_bank import NAME
    from fakevoice.scenes.simulate import draw

    prepared, folder = paths.stage("prepare"), paths.stage("scenes")
    clips, audit = (read_table(prepared / f"{name}.csv", CLIP_TEXT) for name in ("clips", "audit"))
    sounds = open_clips(clips, audit, paths.cache, paths.raw, config)
    folds = read_folds(paths.stage("folds") / "folds.csv", config.competition)
    drawn = draw(clips, folds, sounds, paths.raw, folder, config)
    leakage.check_scenes(drawn.scenes, drawn.voices, drawn.bank.table, folds)
    for name in TABLES:
        write_table(folder / f"{name}.csv", getattr(drawn, name))
    train = (clips["split"] == "train").to_numpy()
    facts, fingerprints = (
        recording_facts(folds, audit, clips["id"][train]),
        read_array(prepared / "fingerprints.npy")[train],
    )
    weights = overlap_weights(facts, fingerprints, config.scenes.group_exponent, config.seed)
    write_table(folder / "weights.csv", weights.reset_index())
    n_mined, n_noises = (drawn.bank.table["kind"] == MINED).sum(), len(drawn.bank.table)
    noises = f"{n_mined} mined and {n_noises - n_mined} made noises"
    print(f"{len(drawn.scenes)} scenes, {len(drawn.voices)} pieces of voices, {noises}", flush=True)
    return [*(folder / f"{name}.csv" for name in (*TABLES, "weights", NAME)), folder / f"{NAME}.npy"]
