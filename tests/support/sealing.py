"""What a test has changed in a run, taken for what its stages wrote: their manifests list it."""

from fakevoice.core import artifacts
from fakevoice.core.paths import Paths


def seal(places: Paths, *stages: str) -> None:
    """Describe the artifacts of some stages anew."""
    for stage in stages:
        path = places.stage(stage) / "manifest.json"
        manifest = artifacts.read_manifest(path)
        files = [places.home / name for name in manifest["outputs"]]
        artifacts.write_json(path, manifest | {"outputs": artifacts.describe(files, places.home)})
