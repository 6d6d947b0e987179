"""Scenes and test clips → feature shards in features_cache/."""

from functools import partial
from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("prepare", "scenes")
READS = (
    "seed",
    "sample_rate_hz",
    "clip_duration_s",
    "preprocessing",
    "scenes",
    "rules",
    "files",
    "spectrogram",
    "features",
    "pooled",
    "statistics",
    "shard_size",
)


def inputs(config: Config, paths: Paths) -> dict[str, list]:
    """Size and time of the pretrained weights; their content is part of the key of a feature's folder."""
    from fakevoice.core.models import state_of
    from fakevoice.features import embed

    encoders = {name: args for name, args in config.features.items() if embed.is_encoder(args)}
    return {f"weights of {name}": state_of(partial(embed.weight_files, args)) for name, args in encoders.items()}


def run(config: Config, paths: Paths) -> list[Path]:
    """Fill the cache; features.json says which folder holds which feature. Of long files, the tables of windows."""
    import pandas as pd

    from fakevoice.core.artifacts import checksum, read_json, write_json
    from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table, write_table
    from fakevoice.data.clip_cache import open_clips
    from fakevoice.data.unlabeled import usable_unlabeled_clips
    from fakevoice.pipeline.feature_shards import Sources, feature_folders, fill, given_statistics
    from fakevoice.pipeline.long_files import clip_windows, file_windows

    prepared, drawn = paths.stage("prepare"), paths.stage("scenes")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    test, unlabeled = clips[clips["split"] == "test"], usable_unlabeled_clips(clips, config)
    folder = paths.stage("features")
    splits = {"scenes": read_table(drawn / "scenes.csv", SCENE_TEXT), "test": test, "unlabeled": unlabeled}
    voices = read_table(drawn / "voices.csv", VOICE_TEXT)
    made_from = [drawn / f"{name}.csv" for name in ("scenes", "voices", "noise_bank")] + [drawn / "noise_bank.npy"]
    tables = []
    if config.files.n_files:
        splits |= {"files": file_windows(read_table(drawn / "files.csv", SCENE_TEXT), config)}
        splits |= {"test": clip_windows(test, paths.raw, config)}
        voices = pd.concat([voices, read_table(drawn / "file_voices.csv", VOICE_TEXT)], ignore_index=True)
        made_from += [drawn / "files.csv", drawn / "file_voices.csv"]
        tables = [folder / "file_windows.csv", folder / "test_windows.csv"]
        write_table(tables[0], splits["files"][["scene", "start", "end"]])
        write_table(tables[1], splits["test"][["id", "path"]])
    sources = Sources(
        splits=splits,
        voices=voices,
        sounds=open_clips(clips, read_table(prepared / "audit.csv", CLIP_TEXT), paths.cache, paths.raw, config),
        bank=drawn,
        raw=paths.raw,
        given=given_statistics(read_table(prepared / "given.csv", ("id",)), config),
    )
    hashes = {path.name: checksum(path) for path in (prepared / "audit.csv", *made_from)}
    folders = feature_folders(paths.cache, config, hashes)
    manifests = fill(folders, sources, config)
    index = folder / "features.json"
    write_json(index, {name: folder.name for name, folder in folders.items()})
    shards = [manifest.parent / name for manifest in manifests.values() for name in read_json(manifest)["outputs"]]
    return [index, *tables, *manifests.values(), *shards]
