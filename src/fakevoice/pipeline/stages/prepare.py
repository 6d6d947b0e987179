"""Raw folder → clip table and audit: every file read once, everything wrong named before any work."""

from pathlib import Path
from types import ModuleType

from fakevoice.core import artifacts, plugins
from fakevoice.core.config import Config, digest
from fakevoice.core.download import download, downloaded
from fakevoice.core.paths import Paths, data_url

AFTER = ()
READS = ("competition", "dataset", "classes", "answers", "sample_rate_hz", "on_error")


def inputs(config: Config, paths: Paths) -> dict[str, str]:
    """Names, sizes and times of all raw files; `changed_content` compares what they hold."""
    if url := data_url(config):
        has_run = (paths.stage("prepare") / "manifest.json").is_file()
        return {"raw": digest(downloaded(paths.raw, url if has_run else ""))}  # `run` has just listed it otherwise
    if not paths.raw.is_dir():
        _adapter(config, paths)  # makes it, where it is one that does
    return {"raw": digest(artifacts.listing(paths.raw))}


def changed_content(config: Config, paths: Paths) -> str:
    """The first raw file whose content changed since the last run, found by checksums; "" if there is none.

    `inputs` does not notice a file that was replaced by one with the same size and time.
    """
    from fakevoice.core.tables import read_table
    from fakevoice.data import audit

    hashes = read_table(paths.stage("prepare") / "raw.csv", ("file", "sha256"))
    return audit.changed_file(hashes, paths.raw)


def _adapter(config: Config, paths: Paths) -> ModuleType:
    """The dataset's adapter; one that makes its own data has made it, which is quick where it lies there already."""
    adapter = plugins.load("datasets", config.dataset.name)
    plugins.check_args(getattr(adapter, "make", adapter.read), config.dataset.args, "dataset.args")
    if hasattr(adapter, "make"):
        adapter.make(paths.raw, **config.dataset.args)
    return adapter


def run(config: Config, paths: Paths) -> list[Path]:
    """Write clips, audit, errors, duplicates, raw, template, given and truth (CSV), fingerprints.npy, measures.json."""
    from fakevoice.core.errors import DataError
    from fakevoice.core.tables import write_table
    from fakevoice.data import audit

    if url := data_url(config):
        download(paths.home, url, config.data.cache_gb)
    adapter = _adapter(config, paths)
    if not paths.raw.is_dir():
        raise DataError(f"no folder {paths.raw}. What `{config.dataset.name}` expects there:\n{adapter.EXPECTS}")
    clips = _read(adapter, "read", config.classes, config, paths)
    tables = {"template": _read(adapter, "template", config.outputs, config, paths)}
    tables |= {name: _optional(adapter, name, config, paths) for name in ("given", "truth")}
    folder = paths.stage("prepare")
    audit.check_audit(audit.find_missing(clips, paths.raw), config.on_error, folder / "errors.csv")
    if len(tables["given"]):
        facts, fingerprints = audit.audit_given(clips, tables["given"])
    else:
        facts, fingerprints = audit.audit_clips(clips, paths.raw, config.sample_rate_hz)
    tables |= {"audit": facts, "errors": audit.check_audit(facts, config.on_error, folder / "errors.csv")}
    tables["duplicates"] = audit.check_duplicates(clips, facts)
    tables["raw"] = audit.hash_files(clips, paths.raw)
    clips = clips.assign(duration_s=facts["duration_s"].to_numpy(), error=facts["error"].to_numpy())
    usable = ((clips["split"] == "test") | (clips["error"] == "")).to_numpy()  # a test row is never dropped
    for name, table in {**tables, "clips": clips[usable]}.items():
        write_table(folder / f"{name}.csv", table)
    artifacts.write_array(folder / "fingerprints.npy", fingerprints[usable])
    artifacts.write_json(folder / "measures.json", _measure_args(adapter, paths))
    print(f"{audit.summarise(clips, facts)}\n{len(tables['duplicates'])} pairs of the same sound", flush=True)
    if skipped := _skipped(paths.raw):
        print(f"in {paths.raw}: {skipped}", flush=True)
    names = [*(f"{name}.csv" for name in (*tables, "clips")), "fingerprints.npy", "measures.json"]
    return [folder / name for name in names]


def _skipped(folder: Path) -> str:
    """How many files in the raw folder are ignored because they are hidden or have an unknown format."""
    from fakevoice.audio.files import scan_folder
    from fakevoice.audio.messages import NOT_AUDIO, count_reasons

    return count_reasons(why for why in scan_folder(folder).skipped.values() if why != NOT_AUDIO)


def _read(adapter: ModuleType, function: str, classes: list[str], config: Config, paths: Paths):
    args = {} if hasattr(adapter, "make") else config.dataset.args
    return getattr(adapter, function)(paths.raw, classes=classes, **args)


def _optional(adapter: ModuleType, function: str, config: Config, paths: Paths):
    """What only some adapters have: statistics given instead of sound, labels of the test; an empty table else."""
    import pandas as pd

    table = _read(adapter, function, config.classes, config, paths) if hasattr(adapter, function) else None
    return pd.DataFrame({"id": []}, dtype=str) if table is None else table


def _measure_args(adapter: ModuleType, paths: Paths) -> dict[str, dict[str, float]]:
    """What a metric needs to know of the data: metric → keyword arguments."""
    rates = adapter.asv_rates(paths.raw) if hasattr(adapter, "asv_rates") else None
    return {"min_tdcf": rates} if rates else {}
