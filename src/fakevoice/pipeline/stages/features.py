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
    """Fill the cache; features.json says which folder holds which feature."""
    from fakevoice.core.artifacts import checksum, read_json, write_json
    from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table
    from fakevoice.data.clip_cache import open_clips
    from fakevoice.data.unlabeled import usable_unlabeled_clips
    from fakevoice.pipeline.feature_shards import Sources, feature_folders, fill, given_statistics

    prepared, drawn = paths.stage("prepare"), paths.stage("scenes")
    clips = read_table(prepared / "clips.csv", CLIP_TEXT)
    test, unlabeled = clips[clips["split"] == "test"], usable_unlabeled_clips(clips, config)
    sources = Sources(
        splits={"scenes": read_table(drawn / "scenes.csv", SCENE_TEXT), "test": test, "unlabeled": unlabeled},
        voices=read_table(drawn / "voices.csv", VOICE_TEXT),
        sounds=open_clips(clips, read_table(prepared / "audit.csv", CLIP_TEXT), paths.cache, paths.raw, config),
        bank=drawn,
        raw=paths.raw,
        given=given_statistics(read_table(prepared / "given.csv", ("id",)), config),
    )
    made_from = [drawn / "scenes.csv", drawn / "voices.csv", *(drawn / f"noise_bank.{kind}" for kind in ("csv", "npy"))]
    hashes = {path.name: checksum(path) for path in (prepared / "audit.csv", *made_from)}
    folders = feature_folders(paths.cache, config, hashes)
    manifests = fill(folders, sources, config)
    index = paths.stage("features") / "features.json"
    write_json(index, {name: folder.name for name, folder in folders.items()})
    shards = [manifest.parent / name for manifest in manifests.values() for name in read_json(manifest)["outputs"]]
    return [index, *manifests.values(), *shards]
