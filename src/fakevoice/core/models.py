"""Pretrained models on disk: where they are, and downloading them when asked.

``FAKEVOICE_MODELS`` (default: models/) is the folder of models. ``openai/whisper-base`` is looked up there as
``openai/whisper-base`` and as ``whisper-base``. Only ``./run.sh fetch-models`` opens a connection.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fakevoice.core.errors import ConfigError, RemoteError
from fakevoice.core.paths import home

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
        return find(checkpoint)
    except ConfigError:
        pass
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    folder = root() / checkpoint
    try:
        snapshot_download(checkpoint, revision=revision, local_dir=folder, allow_patterns=list(files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RemoteError(
            f"cannot download {checkpoint} at {revision}: {reason}; on a machine with a connection: "
            f"hf download {checkpoint} --revision {revision} --local-dir {folder}"
        ) from error
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise RemoteError(f"{checkpoint} at {revision} has no {', '.join(missing)}; name another revision")
    return folder
