"""A new Python environment for a check: the packages of an interpreter, requirements.txt, and no network."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fakevoice.core.errors import ConfigError

SCRIPTS = Path(__file__).parent / "scripts"
LOOK_EVERY_S = 0.1
PIP_S = 900.0
NOT_PASSED_ON = ("PYTHON", "FAKEVOICE_", "HF_", "TRANSFORMERS_", "VIRTUAL_ENV", "KAGGLE_")  # environment variables
VERSIONS = "from importlib import metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
TRY_NETWORK = "import socket; socket.create_connection(('127.0.0.1', 9))"
SITE = "import site; print(*site.getsitepackages(), sep='\\n')"


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    Attributes:
        peak_bytes: largest resident memory of it and the processes that it started, together.
    """

    exit_code: int
    seconds: float
    peak_bytes: int
    stderr: str


class Sandbox:
    """An environment below a folder.

    Its own site-packages hold requirements.txt, as a server would install it; the packages of `base` are behind them.

    Args:
        folder: is created.
        base: interpreter whose packages stand for those that the server has.

    Attributes:
        python: its interpreter.
        attempts: file with the attempts to open a connection.

    Raises:
        ConfigError: `base` cannot make an environment.
    """

    def __init__(self, folder: Path, base: Path):
        self.folder = folder
        self.base = base
        self.python = folder / "bin" / "python"
        self.attempts = folder / "attempts.txt"
        try:
            subprocess.run([base, "-m", "venv", "--without-pip", folder], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or str(error)
            raise ConfigError(f"{base} cannot make an environment: {reason.strip()}") from error
        self.site = Path(_output(self.python, SITE).splitlines()[0])
        (self.site / "base.pth").write_text(_output(base, SITE), encoding="utf-8")
        (folder / "home").mkdir()

    def install(self, requirements: Path, wheels: Path | None) -> tuple[float, str]:
        """Install requirements.txt with pip.

        Args:
            wheels: install from this folder alone.

        Returns:
            Seconds, and '' or why it was not possible; the packages of `base` are used then.
        """
        command = [self.base, "-m", "pip", "install", "--quiet", "--no-deps", "--target", self.site, "-r", requirements]
        command += ["--no-index", "--find-links", wheels] if wheels else []
        start = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S)
            lines = done.stderr.strip().splitlines()
            reason = (lines or ["pip says nothing"])[-1] if done.returncode else ""
        except subprocess.TimeoutExpired:
            reason = f"pip has not answered for {PIP_S:.0f} s"
        return time.monotonic() - start, reason

    def block_network(self) -> None:
        """From now on every process refuses to open connections.

        Raises:
            ConfigError: it does not, since the interpreter ignores .pth files.
        """
        shutil.copyfile(SCRIPTS / "no_network.py", self.site / "no_network.py")
        (self.site / "no_network.pth").write_text("import no_network\n", encoding="utf-8")  # runs at each start
        refused = self.run(["-c", TRY_NETWORK], self.folder)
        if "no network" not in refused.stderr:
            raise ConfigError(f"the network cannot be blocked for {self.base}: {refused.stderr.strip()}")
        self.attempts.unlink()

    def versions(self) -> dict[str, str]:
        """Package in lower case → version."""
        pairs = [word.split("==") for word in reversed(_output(self.python, VERSIONS).split())]
        return {name.lower().replace("_", "-"): version for name, version in pairs}

    def run(self, arguments: list[str | Path], folder: Path) -> Finished:
        """Run Python in a folder, with the memory of all its processes watched."""
        passed = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
        own = {"HOME": str(self.folder / "home"), "FAKEVOICE_ATTEMPTS": str(self.attempts)}
        log = self.folder / "stderr.txt"
        start = time.monotonic()
        peak = 0
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [self.python, *arguments], cwd=folder, env=passed | own, stdout=stderr, stderr=subprocess.STDOUT
            )
            while process.poll() is None:
                peak = max(peak, _resident(process.pid))
                time.sleep(LOOK_EVERY_S)
        seconds = time.monotonic() - start
        return Finished(process.returncode, seconds, peak, log.read_text(encoding="utf-8", errors="replace"))


def _output(python: Path, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout


def _resident(pid: int) -> int:
    total = 0
    try:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:  # one has just ended
        pass
    return total


def this_python() -> Path:
    """The interpreter of this process."""
    return Path(sys.executable)
