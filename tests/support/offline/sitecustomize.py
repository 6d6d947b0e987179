"""For a child process with this folder on its PYTHONPATH, and for all that it starts: no network but this machine's.

Each attempt is refused, and written down in the file that FAKEVOICE_ATTEMPTS names: a library may swallow the error.
"""

import os
import sys
from pathlib import Path

HERE = ("", "localhost", "localhost.localdomain", "::1", "0.0.0.0", "::")
WHERE = {  # audit event → which of its arguments is an address
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}


def _is_here(address: object) -> bool:
    host = address[0] if isinstance(address, tuple) else address  # a path, where the socket is a file
    host = host.decode() if isinstance(host, bytes) else str(host or "")
    return host in HERE or host.startswith(("127.", "/", "\0"))


def _hear(event: str, arguments: tuple) -> None:
    if event in WHERE and not _is_here(arguments[WHERE[event]]):
        with Path(os.environ["FAKEVOICE_ATTEMPTS"]).open("a", encoding="utf-8") as file:
            file.write(f"{event} {arguments[WHERE[event]]}\n")
        raise ConnectionRefusedError(f"no network in this test: {event} {arguments[WHERE[event]]}")


if "FAKEVOICE_ATTEMPTS" in os.environ:
    sys.addaudithook(_hear)
