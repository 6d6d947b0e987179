"""The straight line of stages: which are up to date, which are stale and why, and how one is run."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakevoice.core import artifacts, code_hash, locks, plugins
from fakevoice.core.config import Config, digest
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.progress import duration_text
from fakevoice.parallel.dask_engine import engine
from fakevoice.pipeline import history

STAGES = ("prepare", "folds", "scenes", "features", "train", "stack", "ensemble", "submission", "results")
LARGE_GB = 1.0  # from which on checksums take seconds


def stale_stages(config: Config, verify: bool = False) -> Iterator[tuple[str, str]]:
    """Each stage with the reason why it is stale, or '' where it is up to date.

    Args:
        verify: compare every artifact and every raw file with its checksum, not only with its size.
    """
    places, stale = paths(config), set()
    for name in STAGES:
        reason = _why_stale(name, config, places, verify)
        if verify and not reason:
            reason = _changed_content(name, config, places)
        waiting = [before for before in plugins.load("stages", name).AFTER if before in stale]
        if waiting and not reason:
            reason = f"comes after {waiting[0]}"
        if reason:
            stale.add(name)
        yield name, reason


def run_pipeline(config: Config, last: str = STAGES[-1], force: str = "", verify: bool = False) -> bool:
    """Bring every stage up to `last` up to date.

    What a stage is about to read is held against its checksums first; where it is damaged, it is made again.

    Args:
        force: a stage to redo though it is up to date, or ``"all"``.
        verify: compare every artifact and every raw file with its checksum, also where nothing is to be done.

    Returns:
        Whether anything was done.
    """
    places, done, checked = paths(config), set[str](), set(STAGES if verify else ())
    with locks.folder_lock(places.run), contextlib.ExitStack() as until_done:
        _sweep(places)
        index = 0
        while index <= STAGES.index(last):
            name = STAGES[index]
            forced = force in (name, "all") and name not in done
            reason = "forced" if forced else _why_stale(name, config, places, name in checked)
            if verify and not reason and name not in done:
                reason = _changed_content(name, config, places)
            unchecked = set(plugins.load("stages", name).AFTER) - checked - done
            if reason and unchecked:
                checked |= unchecked
                index = min(map(STAGES.index, unchecked))
                continue
            if reason:
                if not done:
                    _check_plugins(config, places)
                    until_done.enter_context(engine(config, places))
                _run_stage(name, reason, config, places, forced)
                done.add(name)
            index += 1
        if done:
            _sweep(places)  # a worker may have been killed, and another have done its task
    return bool(done)


def _sweep(places: Paths) -> None:
    """Remove what killed processes left half written."""
    below = (path for top in (places.run, places.cache) for path in top.rglob("*") if path.is_dir())
    for folder in (places.home, places.submissions, places.run, places.cache, *below):
        artifacts.remove_temporaries(folder)


def _run_stage(name: str, reason: str, config: Config, places: Paths, forced: bool) -> None:
    print(f"── {name} ({reason})", flush=True)
    start, started_at, stage = time.monotonic(), datetime.now(UTC), plugins.load("stages", name)
    recorded = [places.home / file for file in _recorded(name, places)]
    for path in recorded if forced else _damaged(name, places, verify=True):
        if not path.is_relative_to(places.submissions):  # submissions are never deleted
            path.unlink(missing_ok=True)  # so that nobody takes the old file for a new one
    if forced and hasattr(stage, "forget"):
        stage.forget(config, places)
    (places.stage(name) / "manifest.json").unlink(missing_ok=True)
    outputs = stage.run(config, places)
    manifest = _expected(name, config, places)
    if hasattr(stage, "used_inputs"):
        manifest["inputs"] |= stage.used_inputs(config, places)
    manifest |= {"stage": name, "outputs": artifacts.describe(outputs, places.home)}
    artifacts.write_json(places.stage(name) / "manifest.json", manifest)
    seconds = time.monotonic() - start
    history.record(places.run, name, started_at, seconds, reason)
    print(f"   {name} done in {duration_text(seconds)}", flush=True)


def _why_stale(name: str, config: Config, places: Paths, verify: bool) -> str:
    path = places.stage(name) / "manifest.json"
    if not path.is_file():
        return "never run"
    manifest, expected = artifacts.read_manifest(path), _expected(name, config, places)
    for part, what in (("schema", "schema"), ("config", "config key"), ("code", "code of"), ("inputs", "input")):
        difference = _first_difference(manifest.get(part), expected[part])
        if difference is not None:
            return f"{what} {difference} changed"
    bad = _damaged(name, places, verify)
    return f"{bad[0].relative_to(places.home)} is missing or damaged" if bad else ""


def _changed_content(name: str, config: Config, places: Paths) -> str:
    """Why a stage is stale whose inputs changed but kept their size and time; "" if none did."""
    stage = plugins.load("stages", name)
    changed = stage.changed_content(config, places) if hasattr(stage, "changed_content") else ""
    return f"input {changed} changed" if changed else ""


def _expected(name: str, config: Config, places: Paths) -> dict[str, Any]:
    """What a manifest of this stage must say now to be up to date."""
    stage = plugins.load("stages", name)
    values = config.model_dump(mode="json", include=set(stage.READS))
    inputs = stage.inputs(config, places) if hasattr(stage, "inputs") else {}
    for before in stage.AFTER:
        inputs[before] = digest({file: facts["sha256"] for file, facts in _recorded(before, places).items()})
    return {"schema": artifacts.SCHEMA_VERSION, "config": values, "code": code_of(name, config), "inputs": inputs}


def code_of(name: str, config: Config) -> dict[str, str]:
    """File → hash of all code that a stage depends on; the plug-ins are those that it or a stage before it names."""
    keys = {key for stage in STAGES[: STAGES.index(name) + 1] for key in plugins.load("stages", stage).READS}
    return code_hash.hashes([f"pipeline.stages.{name}"], code_hash.named_plugins(config, keys))


def _recorded(name: str, places: Paths) -> dict[str, dict[str, Any]]:
    """What the manifest of a stage lists: path relative to home → size and checksum; empty where it never ran.

    Raises:
        ArtifactError: it lists a file outside of the run, the cache and the submissions.
    """
    path = places.stage(name) / "manifest.json"
    outputs = artifacts.read_manifest(path)["outputs"] if path.is_file() else {}
    for file in outputs:
        if not any((places.home / file).is_relative_to(top) for top in (places.run, places.cache, places.submissions)):
            raise artifacts.outside(path, file)
    return outputs


def _damaged(name: str, places: Paths, verify: bool) -> list[Path]:
    outputs = _recorded(name, places)
    size_gb = sum(facts["size"] for facts in outputs.values()) / 1e9
    if verify and size_gb > LARGE_GB:
        print(f"   {name}: {size_gb:.1f} GB are held against their checksums", flush=True)
    return artifacts.damaged(outputs, places.home, verify)


def _first_difference(old: Any, new: Any) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = _first_difference(old.get(key), new.get(key))
            if inner is not None:
                return f"{key}.{inner}" if inner else key
        return None
    return None if old == new else ""


def _check_plugins(config: Config, places: Paths) -> None:
    """Try every plug-in on a silent clip before any work, so that a long run does not end on a typing error."""
    from fakevoice.audio.channel import check_codec
    from fakevoice.features.extract import check_features
    from fakevoice.training.cross_validation import check_networks
    from fakevoice.training.warm_start import check_warm_start

    shapes = check_features(config)
    for name in (config.metric, *config.measures, *config.epoch_measures):
        outputs = getattr(plugins.load("metrics", name), "OUTPUTS", None)
        if outputs and list(outputs) != config.outputs:
            raise ConfigError(f"{name} is a score of the answers {', '.join(outputs)}: give `answers` in this order")
    plugins.load("calibrators", config.ensemble.calibrator)
    for kind, names in (("noises", config.scenes.noises), ("vocoders", config.scenes.vocoders)):
        for name in names:
            plugins.load(kind, name)
    for name in (*config.scenes.codecs, *config.scenes.resynthesis_codecs, *filter(None, [config.scenes.container])):
        check_codec(name)
    check_networks(config, shapes)
    for network in config.networks.values():
        check_warm_start(network, config, places)
