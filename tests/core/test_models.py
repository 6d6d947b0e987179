"""Downloading of pretrained models: older checkpoints become safetensors, pickles of anything else are refused."""

import huggingface_hub
import pytest
import safetensors.torch
import torch

from fakevoice.core import models
from fakevoice.core.errors import RemoteError

FILES = ("config.json", models.WEIGHTS)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the hub; returns the dict of the files that it has, name → content."""
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path / "models"))
    files = {"config.json": b"{}"}

    def download(name, *, revision, local_dir, allow_patterns):
        local_dir.mkdir(parents=True, exist_ok=True)
        for file in set(allow_patterns) & set(files):
            (local_dir / file).write_bytes(files[file])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return files


def pickled(value: object, path) -> bytes:
    torch.save(value, path)
    return path.read_bytes()


def test_pickled_tensors_become_safetensors(hub, tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"weight": shared, "same": shared, "transposed": shared.T}
    hub[models.PICKLED] = pickled(tensors, tmp_path / "file")
    folder = models.fetch("owner/old", "main", FILES)
    loaded = safetensors.torch.load_file(folder / models.WEIGHTS)
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert {file.name for file in folder.iterdir()} == set(FILES)
    assert models.fetch("owner/old", "main", FILES) == folder


@pytest.mark.parametrize("content", [b"", b"no pickle", None])
def test_anything_but_tensors_is_refused(hub, tmp_path, content):
    hub[models.PICKLED] = pickled({"x": torch.nn.Linear(2, 2)}, tmp_path / "file") if content is None else content
    with pytest.raises(RemoteError, match=r"pytorch_model\.bin holds more than tensors, or is damaged"):
        models.fetch("owner/bad", "main", FILES)
    assert not (tmp_path / "models" / "owner" / "bad" / models.WEIGHTS).exists()


def test_a_checkpoint_without_weights_is_named(hub):
    with pytest.raises(RemoteError, match=r"owner/none at main has no model\.safetensors"):
        models.fetch("owner/none", "main", FILES)
