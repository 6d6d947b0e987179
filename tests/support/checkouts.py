"""A small project folder with the real run.sh, in which pip writes down what it is asked to install."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fakevoice.core.config import REPOSITORY

PROGRAM = """\
import os, sys
print("ran", __file__, *sys.argv[1:])
"""
PIP = """\
import os, sys
with open(os.path.join(sys.prefix, "asked"), "a") as file:
    print(*sys.argv[1:], file=file)
"""
PYTHON = """\
#!/bin/sh
# a Python whose environments get the pip above, so that they are made in a moment
real='{real}'
if [ "$1 $2" = "-m venv" ]; then
  "$real" -m venv --without-pip "$3"
  for site in "$3"/lib/python*/site-packages; do cp -r '{packages}'/. "$site"; done
else
  exec "$real" "$@"
fi
"""
QUIET = ("PYTHONPATH", "PYTHON", "VIRTUAL_ENV")  # of this process, which no child should see


@dataclass
class Checkout:
    """A project folder whose package only says that it ran.

    Attributes:
        python: what ``PYTHON`` is set to, for a new environment.
    """

    folder: Path
    python: Path

    def run(self, *words: str, script: list[str | Path] | None = None, **environment: str):
        """The completed process of ``./run.sh WORD...``."""
        known = {name: value for name, value in os.environ.items() if name not in QUIET}
        known |= {"PYTHON": str(self.python)} | environment
        command = [*(script or [self.folder / "run.sh"]), *words]
        return subprocess.run(command, env=known, capture_output=True, text=True, timeout=60)

    def asked(self, *words: str, **environment: str) -> list[str]:
        """What pip was asked to install, and how the package or pytest was started: the last line."""
        asked = self.folder / ".venv" / "asked"
        asked.unlink(missing_ok=True)
        done = self.run(*words, **environment)
        assert done.returncode == 0, done.stderr
        installed = asked.read_text().splitlines() if asked.exists() else []
        ran = [line.removeprefix("ran ") for line in done.stdout.splitlines() if line.startswith("ran ")]
        return [line.replace(f"{self.folder}/", "") for line in [*installed, *ran]]


def make_checkout(work: Path) -> Checkout:
    """A checkout in a folder with a space in its name, with a Python in another such folder."""
    folder = work / "my project"
    for name in ("run.sh", "requirements.txt", "constraints.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder)
    _write(folder / "src" / "fakevoice" / "__main__.py", PROGRAM)
    _write(folder / "src" / "fakevoice" / "__init__.py", "")
    _write(folder / "benchmarks" / "all.py", PROGRAM)
    helper = Path("src", "fakevoice", "cli", "environment.py")
    _write(folder / helper, (REPOSITORY / helper).read_text(encoding="utf-8"))
    packages = work / "packages"
    _write(packages / "pip" / "__init__.py", "")
    _write(packages / "pip" / "__main__.py", PIP)
    vendored = Path(find_spec("pip").origin).parent / "_vendor"
    (packages / "pip" / "_vendor").mkdir()
    _write(packages / "pip" / "_vendor" / "__init__.py", "")
    shutil.copytree(vendored / "distlib", packages / "pip" / "_vendor" / "distlib")
    _write(packages / "pytest" / "__main__.py", PROGRAM)
    _write(packages / "tool-1.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: tool\nVersion: 1\n")
    _write(packages / "tool-1.dist-info" / "entry_points.txt", "[console_scripts]\ntool = platform:python_version\n")
    python = work / "some where" / "python"
    _write(python, PYTHON.format(real=sys.executable, packages=packages))
    python.chmod(0o755)
    return Checkout(folder, python)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
