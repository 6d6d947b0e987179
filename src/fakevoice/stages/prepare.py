"""Raw folder → clip table and audit: every file read once, everything wrong named before any work."""

from pathlib import Path
from types import ModuleType

from fakevoice import lookup, storage
from fakevoice.config import Config, digest
from fakevoice.places import Paths

AFTER = ()
READS = ("competition", "dataset", "classes", "sample_rate_hz", "on_error")


def code(config: Config) -> list[str]:
    """Modules whose change makes this stage stale."""
    return sorted({"audio", "audit", "spectrum", "datasets/dacon", f"datasets/{config.dataset.name}"})


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """Names, sizes and times of all raw files; their content is hashed by the stage itself."""
    _adapter(config, paths)
    return {"raw": digest(storage.listing(paths.raw))}


def _adapter(config: Config, paths: Paths) -> ModuleType:
    """The dataset's adapter; one that makes its own data has made it, which is quick where it lies there already."""
    adapter = lookup.load("datasets", config.dataset.name)
    lookup.check_args(getattr(adapter, "make", adapter.read), config.dataset.args, "dataset.args")
    if hasattr(adapter, "make"):
        adapter.make(paths.raw, **config.dataset.args)
    return adapter


def run(config: Config, paths: Paths) -> list[Path]:
    """Write clips.csv, audit.csv, errors.csv, duplicates.csv, template.csv and fingerprints.npy."""
    from fakevoice.audit import audit_clips, check_audit, check_duplicates, find_missing, summarise
    from fakevoice.errors import DataError
    from fakevoice.tables import write_table

    adapter = _adapter(config, paths)
    if not paths.raw.is_dir():
        raise DataError(f"no folder {paths.raw}. What `{config.dataset.name}` expects there:\n{adapter.EXPECTS}")
    args = {} if hasattr(adapter, "make") else config.dataset.args
    clips = adapter.read(paths.raw, classes=config.classes, **args)
    template = adapter.template(paths.raw, classes=config.outputs, **args)
    check_audit(find_missing(clips, paths.raw), config.on_error)
    audit, fingerprints = audit_clips(clips, paths.raw, config.sample_rate_hz)
    errors = check_audit(audit, config.on_error)
    duplicates = check_duplicates(clips, audit)
    clips = clips.assign(duration_s=audit["duration_s"].to_numpy(), error=audit["error"].to_numpy())
    usable = ((clips["split"] == "test") | (clips["error"] == "")).to_numpy()  # a test row is never dropped
    folder = paths.stage("prepare")
    tables = {"audit": audit, "errors": errors, "duplicates": duplicates, "template": template}
    for name, table in {**tables, "clips": clips[usable]}.items():
        write_table(folder / f"{name}.csv", table)
    storage.write_array(folder / "fingerprints.npy", fingerprints[usable])
    print(f"{summarise(clips, audit)}, {len(duplicates)} pairs of the same sound", flush=True)
    return [folder / f"{name}.csv" for name in (*tables, "clips")] + [folder / "fingerprints.npy"]
