"""Whatever is damaged on the disk is found before it is used: the smallest part is made again, or it is named."""

import os
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from fakevoice.analysis.finished_run import load_run
from fakevoice.core.errors import ArtifactError, FakevoiceError
from fakevoice.inference.predictor import Predictor
from fakevoice.pipeline.runner import run_pipeline, stale_stages

READER = {  # stage → the cheapest stage that reads what it wrote
    "prepare": "submission",
    "folds": "ensemble",
    "scenes": "ensemble",
    "features": "stack",
    "train": "stack",
    "stack": "ensemble",
    "ensemble": "submission",
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flip": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
    ),
    "cut": lambda content: content[: 2 * len(content) // 3],
    "extend": lambda content: content + b"\0\1",
    "zero": lambda content: bytes(len(content)),
}
# the user's, or nothing is made of it in a finished run
NO_ARTEFACTS = ("data", "folds.csv", "tensorboard", "log.csv", "history.csv", "started.json")


def artifacts(run) -> list[str]:
    """Every file that another part of the line relies on, relative to home."""
    return [name for name in sorted(run.contents()) if not {*PurePosixPath(name).parts} & {*NO_ARTEFACTS}]


def readers(name: str) -> tuple[str, ...]:
    """Stages that run again so that a file is read; none where only --verify looks at it."""
    parts = PurePosixPath(name).parts
    if parts[0] == "features_cache":
        return ("features",) if parts[2].startswith("clips-") else ("features", "stack")
    if parts[0] != "runs" or parts[3] not in READER:
        return ()
    own = (parts[3],) if parts[-1] == "manifest.json" and len(parts) > 5 else ()  # of a fold
    return (*own, READER[parts[3]])


def damage(run, name: str, how: str) -> None:
    """As a bad disk does it: the time stays."""
    path = run.home / name
    if how == "gone":
        return path.unlink()
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(DAMAGES[how](content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def again(run, name: str) -> None:
    """Run the stages that read a file again, or look at all where none does."""
    stages = readers(name)
    for stage in stages:
        (run.paths.stage(stage) / "manifest.json").unlink(missing_ok=True)
    run_pipeline(run.config, verify=not stages)


def mended_or_named(finished_run, run, name: str, how: str) -> str:
    """Damage a file, read it, and hold everything against the undisturbed run: "mended" or "named"."""
    damage(run, name, how)
    outcome = "mended"
    try:
        again(run, name)
    except FakevoiceError as error:
        assert name in str(error), f"{name}, {how}: {error}"
        (run.home / name).unlink()  # as it says
        outcome = "named"
        again(run, name)
    now, before = run.contents(), finished_run.contents()
    assert {path for path in {*now, *before} if now.get(path) != before.get(path)} == set(), f"{name}, {how}"
    return outcome


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("prepare/clips.csv", "flip"),
        ("scenes/noise_bank.npy", "zero"),
        ("scenes/voices.csv", "flip"),
        ("mel-*/scenes-00001.npy", "zero"),
        ("mel-*/manifest.json", "cut"),
        ("clips-*/00000.npy", "flip"),
        ("pooled-*/test-00000.npy", "flip"),
        ("mel/fold1/weights.safetensors", "extend"),
        ("mfcc/fold0/manifest.json", "zero"),
        ("train/oof-mel.npy", "flip"),
        ("stack/fold0-output0.txt", "flip"),
        ("stack/manifest.json", "flip"),
        ("ensemble/test.npy", "flip"),
        ("submissions/demo-*.csv", "flip"),
    ],
)
def test_damage_is_mended_or_named(finished_run, damageable, ending, how):
    (name,) = (name for name in artifacts(damageable) if PurePosixPath(name).match(ending))
    mended_or_named(finished_run, damageable, name, how)


@pytest.mark.slow
def test_any_damage_to_any_artifact_is_mended_or_named(finished_run, damageable):
    names = artifacts(finished_run)
    outcomes = [mended_or_named(finished_run, damageable, name, how) for name in names for how in DAMAGES]
    print(f"{len(names)} artifacts, each damaged in {len(DAMAGES)} ways: {outcomes.count('mended')} times mended, "
          f"{outcomes.count('named')} times named and made again after it was deleted")  # fmt: skip


def is_costly(name: str) -> bool:
    """A shard of features or the weights of a fold."""
    return name.endswith("weights.safetensors") or (name.startswith("features_cache/") and name.endswith(".npy"))


@pytest.mark.parametrize(
    ("ending", "how", "verify"),
    [
        ("mel-*/scenes-00001.npy", "flip", True),
        ("pooled-*/test-00000.npy", "cut", False),  # another size is noticed without --verify
        ("pooled-*/test-00000.npy", "gone", False),
        ("mel/fold1/weights.safetensors", "flip", True),
        ("prepare/clips.csv", "flip", True),
        ("folds/folds.csv", "flip", True),
        ("scenes/noise_bank.npy", "flip", True),
        ("stack/fold0-output0.txt", "flip", True),
    ],
)
def test_only_the_damaged_part_is_made_again(finished_run, damageable, ending, how, verify):
    (name,) = (name for name in damageable.contents() if PurePosixPath(name).match(ending))
    damage(damageable, name, how)
    assert any(reason for _, reason in stale_stages(damageable.config)) != verify  # checksums are read on request only
    assert f"{name} is missing or damaged" in dict(stale_stages(damageable.config, verify=True)).values()
    times = damageable.times()
    assert run_pipeline(damageable.config, verify=verify)
    written = {path for path, time in damageable.times().items() if time != times.get(path)}
    assert {path for path in written if is_costly(path)} == ({name} if is_costly(name) else set())
    assert damageable.contents() == finished_run.contents()


@pytest.mark.parametrize("stage", ["prepare", "features", "train"])
@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null"])
def test_a_damaged_manifest_is_mended_or_named(finished_run, damageable, stage, content):
    manifest = damageable.paths.stage(stage) / "manifest.json"
    manifest.write_text(content)
    try:
        run_pipeline(damageable.config)
    except FakevoiceError as error:
        assert str(manifest) in str(error)
    else:
        assert damageable.contents() == finished_run.contents()


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_manifest_in_the_cache_is_mended(finished_run, damageable, content):
    (manifest,) = damageable.paths.cache.glob("mel-*/manifest.json")
    manifest.write_text(content)
    assert run_pipeline(damageable.config)
    assert damageable.contents() == finished_run.contents()


@pytest.mark.parametrize(
    "name", ["train/mel/fold0/weights.safetensors", "stack/fold1-output1.txt", "ensemble/ensemble.json"]
)
@pytest.mark.parametrize("how", ["flip", "zero"])
def test_scoring_refuses_what_is_damaged(damageable, name, how):
    damage(damageable, f"runs/demo/default/{name}", how)
    with pytest.raises(ArtifactError, match=rf"{name} is missing or damaged: \./run\.sh all --verify makes it again"):
        Predictor.load(damageable.paths)


@pytest.mark.parametrize("name", ["ensemble/oof.csv", "scenes/scenes.csv", "stack/importance.csv"])
def test_reports_refuse_what_is_damaged(damageable, name):
    damage(damageable, f"runs/demo/default/{name}", "flip")
    with pytest.raises(ArtifactError, match=f"{name} is missing or damaged"):
        load_run(damageable.config)
