"""Runs fakevoice as far as a system without POSIX calls would: python without_posix.py WORD...

fakevoice's own imports of POSIX-only modules fail, and the names that Windows lacks are gone from `os` and `signal`
for its modules. Other libraries keep them: they choose by ``sys.platform``, which stays.
"""

import builtins
import os
import signal
import sys
from types import ModuleType

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "select", "termios", "tty"}
NAMES = {
    "os": {"fork", "geteuid", "getuid", "killpg", "mkfifo", "nice", "sched_getaffinity", "setsid", "statvfs", "uname"},
    "signal": {"ITIMER_REAL", "SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "alarm", "pthread_sigmask", "setitimer"},
}
real_import = builtins.__import__


class Lacking(ModuleType):
    """A module without the names that only POSIX has."""

    def __init__(self, module: ModuleType):
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str):
        if name in NAMES[self.__name__]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        if name == "kill":
            return _kill
        return getattr(self._module, name)


def _kill(process: int, number: int) -> None:
    if number == 0:
        raise OSError("os.kill(process, 0) ends the process on Windows")
    os.kill(process, number)


LACKING = {"os": Lacking(os), "signal": Lacking(signal)}


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and importer.partition(".")[0] == "fakevoice":
        if name in MODULES:
            raise ImportError(f"{importer} imports {name}, which Windows lacks")
        if name in LACKING:
            return LACKING[name]
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = _import

if __name__ == "__main__":
    from fakevoice.cli.command_line import main

    sys.exit(main(sys.argv[1:]))
