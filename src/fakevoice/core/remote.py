"""Files at a URL, through fsspec: what lies there, and one of them at a time.

Clients find credentials where they always do (the environment, files of their own); none are kept here. What may be
over in a moment, a lost connection or a busy server, is tried again; what is wrong is said in words.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from fakevoice.core.errors import AudioError, ConfigError, RemoteError

URL = re.compile(r"(?!file:|local:)[a-z][a-z0-9+.-]*://")
N_TRIES, FIRST_WAIT_S = 6, 0.5  # 15 s in all, twice as long each time
N_THREADS = 8
BLOCK_BYTES = 2**24
BUSY = (408, 425, 429)  # and all from 500 on
# Connections that broke, by the names that clients give them: few are an OSError.
BROKEN = {
    "ConnectionError", "TimeoutError", "FSTimeoutError", "gaierror", "IncompleteRead", "IncompleteReadError",
    "HTTPClientError", "ResponseParserError", "ClientConnectionError", "ClientPayloadError",
    "ServiceRequestError", "ServiceResponseError",
}  # fmt: skip
VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created")
S3 = ("s3fs", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a public bucket: FSSPEC_S3_ANON=true")
GOOGLE = ("gcsfs", "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login")
AZURE = ("adlfs", "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING")
WEB = ("aiohttp", "put user and password into the URL in FAKEVOICE_DATA")
STORES = {package for package, _ in (S3, GOOGLE, AZURE)}
# scheme → the package that reads it, and where it takes credentials from
CLIENTS = {
    **dict.fromkeys(("s3", "s3a"), S3),
    **dict.fromkeys(("gs", "gcs"), GOOGLE),
    **dict.fromkeys(("az", "abfs", "abfss"), AZURE),
    **dict.fromkeys(("http", "https"), WEB),
}


def is_url(text: str) -> bool:
    """Whether this is no path of this machine; a ``file://`` is one."""
    return URL.match(text) is not None


def shown(url: str) -> str:
    """A URL without its password, for people and files."""
    secret = password(url)
    return url.replace(f":{secret}@", "@", 1) if secret else url


def password(url: str) -> str:
    """What stands between ``user:`` and ``@host``; empty where nothing does."""
    return urlsplit(url).password or ""


def list_files(url: str) -> dict[str, tuple[int, str]]:
    """Every file at or below a URL.

    Returns:
        Path relative to `url` → size in bytes, and what changes with the content (an etag, or else a time); ""
        alone where the URL is a file itself. Empty where nothing is.

    Raises:
        RemoteError: no such bucket, no access, no network.
        ConfigError: an unknown scheme, or its client is not installed.
    """
    system, root = _opened(url)
    system.invalidate_cache()
    # Stores list all names at once; elsewhere a folder that cannot be listed would be passed over in silence.
    options = {} if _client(url)[0] in STORES else {"on_error": "raise"}
    found = _patiently(lambda: system.find(root, detail=True, **options), url, N_TRIES)
    unsized = [path for path, facts in found.items() if facts.get("size") is None]  # a web page tells names alone
    with ThreadPoolExecutor(N_THREADS) as pool:
        asked = pool.map(lambda path: _patiently(lambda: system.info(path), url, N_TRIES), unsized)
        found |= dict(zip(unsized, asked, strict=True))
    files = {}
    for path, facts in found.items():
        if facts.get("size") is None:
            raise RemoteError(f"{shown(url)}: the server does not tell the size of {shown(path)}")
        name = path.removeprefix(root).lstrip("/")
        version = next((str(facts[key]) for key in VERSIONS if facts.get(key)), "")
        files[unquote(name) if _is_web(url) else name] = (int(facts["size"]), version)
    return files


def download(url: str, name: str, size: int, file: BinaryIO, n_tries: int = N_TRIES) -> None:
    """Write the content of a file that was listed, in blocks of 16 MiB; one request for each.

    Args:
        name: relative to `url`.
        size: in bytes, as listed.

    Raises:
        AudioError: this file is gone or denied, where others are not.
        RemoteError: the connection or the server fails, or the file is not what was listed.
    """
    system, root = _opened(url)
    path, place = f"{root}/{quote(name) if _is_web(url) else name}", f"{shown(url)}/{name}"
    for start in range(0, size, BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, size)
        asked = end + (end == size)  # one byte more than there is tells a file that has grown
        try:
            block = _patiently(
                lambda start=start, asked=asked: system.cat_file(path, start=start, end=asked), f"{url}/{name}", n_tries
            )
        except (_Denied, _Absent) as refused:
            _patiently(lambda: system.info(root), url, n_tries)  # or else nothing there can be read any more
            raise AudioError(place, refused.reason) from refused
        if len(block) != end - start:
            raise RemoteError(f"{place}: has changed since it was listed; run the same command again")
        file.write(block)


class _Denied(RemoteError):
    """The server answers that we may not."""

    reason = "access denied"


class _Absent(RemoteError):
    """The server answers that there is no such thing."""

    reason = "no such file"


@cache  # of its own: fsspec's has a client, with connections of its own, for each thread
def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec

    scheme, (package, _) = url.split(":", 1)[0], _client(url)
    options = {"use_listings_cache": False} if package in STORES else {}  # else a denial would go unseen
    if package == "s3fs":  # the only ones who try again are we
        options["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
    try:
        system, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        install = f"pip install {package}" if package else error
        hint = " (or ./run.sh install s3)" if package == "s3fs" else ""
        raise ConfigError(f"{shown(url)}: the client of {scheme}:// is not installed: {install}{hint}") from error
    except ValueError as error:
        raise ConfigError(f"{shown(url)}: {error}") from error
    except OSError as error:
        raise _explained(error, url) from error
    if package == "s3fs":
        system.retries = 1
    return system, root.rstrip("/")


def _patiently(call: Callable[[], Any], place: str, n_tries: int) -> Any:
    """What a call of a client returns, tried again with growing pauses while that may help."""
    for n_tried in range(1, n_tries + 1):
        try:
            return call()
        except Exception as error:  # each client has a family of errors of its own
            if n_tried == n_tries or not _may_pass(error):
                raise _explained(error, place) from error
        time.sleep(FIRST_WAIT_S * 2 ** (n_tried - 1) * random.uniform(0.5, 1.0))  # not all processes at once


def _may_pass(error: Exception) -> bool:
    status = _status(error)
    if status:
        return status >= 500 or status in BUSY
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & BROKEN)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: Exception) -> int:
    """HTTP status of an error or of what caused it; 0 where there is none."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
        for name in ("status", "status_code", "code"):
            value = getattr(cause, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return 0


def _explained(error: Exception, url: str) -> RemoteError:
    """The error in our words; never with a password."""
    status, place = _status(error), shown(url)
    _, credentials = _client(url)
    if any("Credentials" in type(cause).__name__ for cause in _chain(error)):
        return RemoteError(f"{place}: no credentials; {credentials}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return _Denied(f"{place}: access denied; {credentials}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return _Absent(f"{place}: no such bucket or folder; is the name right?")
    text = f"{type(error).__name__}: {error}".replace(password(url) or "\0", "***")
    if _may_pass(error):
        return RemoteError(f"{place}: cannot be reached ({text}); the same command goes on when it can")
    return RemoteError(f"{place}: {text}")


def _client(url: str) -> tuple[str, str]:
    return CLIENTS.get(url.split(":", 1)[0], ("", "give credentials as its client wants them"))


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))
