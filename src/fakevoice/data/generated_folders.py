"""Raw folders that an adapter makes itself: written whole or not at all, known by the arguments that made them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakevoice.core import artifacts


def make_folder(folder: Path, marker: str, parameters: dict[str, Any], fill: Callable[..., None]) -> None:
    """Fill a folder, unless it was filled with the same parameters before; one of other parameters is replaced.

    Args:
        marker: name of the JSON file in the folder that tells its parameters, written last.
        fill: called with a folder that does not exist yet, and the parameters by name.
    """
    if (folder / marker).is_file() and artifacts.read_json(folder / marker) == parameters:
        return
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    try:
        fill(unfinished, **parameters)
        artifacts.write_json(unfinished / marker, parameters)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
