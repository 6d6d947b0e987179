"""Clip table and folds → scene tables and noise bank: scenes that imitate the test, each drawn inside one fold."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("prepare", "folds")
READS = ("seed", "sample_rate_hz", "clip_duration_s", "classes", "folds", "scenes", "rules", "files")


def run(config: Config, paths: Paths) -> list[Path]:
    """Write scenes.csv, voices.csv, weights.csv, noise_bank.csv, noise_bank.npy; files.csv and file_voices.csv."""
    from fakevoice.audio.synthesis.noise_shapes import RECORDED_KINDS
    from fakevoice.core.artifacts import read_array
    from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
    from fakevoice.data import leakage
    from fakevoice.data.folds import read_folds
    from fakevoice.data.shortcuts import overlap_weights, recording_facts
    from fakevoice.data.unlabeled import usable_unlabeled_clips
    from fakevoice.scenes.draw import draw_files, draw_scenes, plain_scenes
    from fakevoice.scenes.generated_noises import make_noises
    from fakevoice.scenes.noise_bank import NAME, NoiseBank, mine_noises, recorded_noises

    prepared, folder = paths.stage("prepare"), paths.stage("scenes")
    clips, audit = (read_table(prepared / f"{name}.csv", CLIP_TEXT) for name in ("clips", "audit"))
    folds = read_folds(paths.stage("folds") / "folds.csv", config.competition)
    is_train = (clips["split"] == "train").to_numpy()
    train = folds.merge(clips.loc[is_train, ["id", "duration_s"]], on="id", validate="1:1")

    if config.scenes.states:
        unlabeled = usable_unlabeled_clips(clips, config)
        mined = mine_noises(unlabeled, paths.raw, config.sample_rate_hz, config.folds.n_folds)
        noises = clips[clips["split"] == "noise"]
        recorded = recorded_noises(noises, paths.raw, config.sample_rate_hz, config.folds.n_folds)
        bank = mined.extended_by(recorded).extended_by(make_noises(config)).kept(folder)
        scenes, voices = draw_scenes(train, bank.table, config, config.scenes.n_scenes)
    else:
        bank = NoiseBank.join([]).kept(folder)
        scenes, voices = plain_scenes(train)
    leakage.check_scenes(scenes, voices, bank.table, folds)
    tables = {"scenes": scenes, "voices": voices}
    if config.files.n_files:
        tables["files"], tables["file_voices"] = draw_files(train, bank.table, config)
        leakage.check_scenes(tables["files"], tables["file_voices"], bank.table, folds)

    facts = recording_facts(folds, audit, clips["id"][is_train])
    fingerprints = read_array(prepared / "fingerprints.npy")[is_train]
    weights = overlap_weights(facts, fingerprints, config.scenes.group_exponent, config.seed)
    tables["weights"] = weights.reset_index()
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    n_of_kind = bank.table["kind"].value_counts()
    n_mined, n_recorded = (int(n_of_kind.get(kind, 0)) for kind in RECORDED_KINDS)
    n_made = len(bank.table) - n_mined - n_recorded
    noises = f"{n_mined} mined, {n_recorded} recorded and {n_made} made noises"
    print(f"{len(scenes)} scenes, {len(voices)} pieces of voices, {noises}", flush=True)
    return [folder / f"{name}.csv" for name in (*tables, NAME)] + [folder / f"{NAME}.npy"]
