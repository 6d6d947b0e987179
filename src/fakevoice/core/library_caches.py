"""Cache folders of Numba and Matplotlib where there is no home directory, as for an arbitrary user of a container."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from fakevoice.core.paths import home

FOLDERS = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib"}  # environment variable → subfolder
DEFAULTS = (".cache", ".config")  # of the home directory


def use_writable_folders() -> None:
    """Point both libraries to `.cache` of FAKEVOICE_HOME, or else to a temporary folder, if their own is not writable.

    Without this Numba raises "no locator available" on `import librosa` if site-packages is read-only too, and
    Matplotlib warns. Other libraries raise where no home directory is named at all; the same folder becomes HOME then.
    Call it before any of them is imported; worker processes inherit the environment.
    """
    user_home = Path(os.path.expanduser("~"))
    if all(_is_writable(user_home / default) for default in DEFAULTS):
        return
    folder = home() / ".cache"
    if not _is_writable(folder):
        folder = Path(tempfile.mkdtemp(prefix="fakevoice-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not user_home.is_absolute():
        os.environ["HOME"] = str(folder)
    for variable, name in FOLDERS.items():
        os.environ.setdefault(variable, str(folder / name))


def _is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder, which may have to be created first."""
    if not folder.is_absolute():  # "~" where neither HOME nor the user database names a home directory
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
