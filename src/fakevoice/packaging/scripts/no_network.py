"""Imported by every process of a check: attempts to open a connection fail, and are written to FAKEVOICE_ATTEMPTS."""

import os
import sys

BY_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
BY_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


def _refuse(event: str, arguments: tuple) -> None:
    if event not in BY_NAME | BY_ADDRESS:
        return
    if event in BY_ADDRESS and isinstance(arguments[1], str | bytes):  # a socket in the file system
        return
    with open(os.environ["FAKEVOICE_ATTEMPTS"], "a", encoding="utf-8") as file:
        file.write(f"{event} {arguments}\n")
    raise ConnectionRefusedError(f"no network: {event}")


sys.addaudithook(_refuse)
