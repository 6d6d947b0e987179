"""What a test has changed in a run, taken for what its stages wrote: their manifests list it."""

from fakevoice import storage
from fakevoice.places import Paths


def seal(places: Paths, *stages: str) -> None:
    """Describe the artefacts of some stages anew."""
    for stage in stages:
        path = places.stage(stage) / "manifest.json"
        manifest = storage.read_manifest(path)
        files = [places.home / name for name in manifest["outputs"]]
        storage.write_json(path, manifest | {"outputs": storage.describe(files, places.home)})
