"""Pretrained models on disk: where they are, and downloading them when asked.

``FAKEVOICE_MODELS`` (default: models/) is the folder of models. ``openai/whisper-base`` is looked up there as
``openai/whisper-base`` and as ``whisper-base``. Only ``./run.sh fetch-models`` opens a connection. Checkpoints that are
published as pickles alone are converted to safetensors once.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fakevoice.core.artifacts import write_bytes
from fakevoice.core.errors import ConfigError, RemoteError
from fakevoice.core.paths import home

WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"  # of checkpoints that are published without safetensors
SAMPLE_RATE_HZ = 16_000  # of the waveforms that encoders take


def root() -> Path:
    """The folder of models."""
    return Path(os.environ.get("FAKEVOICE_MODELS") or home() / "models").resolve()


def find(checkpoint: str) -> Path:
    """Folder of a model, given its name on the hub or its folder.

    Raises:
        ConfigError: it is not there; the message names the command that downloads it.
    """
    candidates = [root() / checkpoint, root() / checkpoint.rpartition("/")[2], Path(checkpoint)]
    for folder in candidates:
        if (folder / "config.json").is_file():
            return folder.resolve()
    raise ConfigError(
        f"the pretrained model {checkpoint} is not in {root()}: ./run.sh fetch-models downloads it "
        "(with the --config and words of your command), preset=scratch trains without pretrained weights"
    )


def state_of(files: Callable[[], list[Path]]) -> list:
    """Names, sizes and times of a model's files, which tell a stage whether they changed; ``["missing"]`` without them.

    Args:
        files: gives the files, or raises ConfigError where the model is missing.
    """
    try:
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files()]
    except (ConfigError, OSError):
        return ["missing"]


def fetch(checkpoint: str, revision: str, files: Sequence[str]) -> Path:
    """Download the files of a model from the Hugging Face hub into the folder of models, unless it is there.

    Args:
        revision: commit, tag or branch.

    Returns:
        Its folder.

    Raises:
        RemoteError: the hub cannot be reached, or does not have them.
    """
    try:
        present = find(checkpoint)
        if all((present / name).is_file() for name in files):
            return present
    except ConfigError:
        pass
    folder = root() / checkpoint
    _download(checkpoint, revision, folder, files)
    if WEIGHTS in files and not (folder / WEIGHTS).is_file():
        _download(checkpoint, revision, folder, [PICKLED])
        if (folder / PICKLED).is_file():
            _convert(folder)
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise RemoteError(f"{checkpoint} at {revision} has no {', '.join(missing)}; name another revision")
    return folder


def _download(checkpoint: str, revision: str, folder: Path, files: Sequence[str]) -> None:
    """Download those of some files that the hub has."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(checkpoint, revision=revision, local_dir=folder, allow_patterns=list(files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RemoteError(
            f"cannot download {checkpoint} at {revision}: {reason}; on a machine with a connection: "
            f"hf download {checkpoint} --revision {revision} --local-dir {folder}"
        ) from error


def _convert(folder: Path) -> None:
    """Replace the pickled tensors of an older checkpoint by safetensors; no other objects are unpickled.

    Raises:
        RemoteError: the file holds anything but tensors.
    """
    import pickle

    import safetensors.torch
    import torch

    try:
        tensors = torch.load(folder / PICKLED, map_location="cpu", weights_only=True)
        contiguous = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
        write_bytes(folder / WEIGHTS, safetensors.torch.save(contiguous, {"format": "pt"}))
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise RemoteError(f"{folder / PICKLED} holds more than tensors, or is damaged: name another model") from error
    (folder / PICKLED).unlink()
