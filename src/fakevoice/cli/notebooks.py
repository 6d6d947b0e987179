"""Pairs each text notebook with an .ipynb beside it: Jupyter edits that one, the text is what is kept."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fakevoice.core.errors import ConfigError, FakevoiceError, install_extra


def pair(folder: Path) -> list[Path]:
    """Bring each ``.py`` and its ``.ipynb`` to the newer of the two; outputs stay in the .ipynb.

    Returns:
        The .ipynb files.

    Raises:
        ConfigError: JupyterLab is not installed.
        FakevoiceError: one of them is no notebook.
    """
    if find_spec("jupyterlab") is None:
        raise ConfigError(f"notebooks needs JupyterLab: {install_extra('notebooks')}")
    texts = sorted(folder.glob("*.py"))
    command = [sys.executable, "-m", "jupytext", "--quiet", "--sync"]
    done = subprocess.run([*command, *map(str, texts)], capture_output=True, text=True)
    if done.returncode:
        raise FakevoiceError(f"{folder}: a notebook cannot be paired: {done.stderr.strip().splitlines()[-1]}")
    return [text.with_suffix(".ipynb") for text in texts]
