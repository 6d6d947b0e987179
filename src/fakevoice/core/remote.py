"""Files at a URL, through fsspec: list them, and read one of them.

Clients find credentials where they always do (environment variables, their own configuration files); this project
stores none. Lost connections and busy servers are retried; other failures become a `RemoteError` that says what to do.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from fakevoice.core.errors import ConfigError, RemoteError

URL = re.compile(r"(?!file:|local:)[a-z][a-z0-9+.-]*://")
N_TRIES = 6
FIRST_PAUSE_S = 0.5  # doubles with each try: 15 s in all
N_THREADS = 8
BLOCK_BYTES = 2**24
BUSY = (408, 425, 429)  # and all from 500 on
# Broken connections by the names that the clients give them: few of these classes are an OSError.
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
# scheme → the package that reads it, and how to give it credentials
CLIENTS = {
    **dict.fromkeys(("s3", "s3a"), S3),
    **dict.fromkeys(("gs", "gcs"), GOOGLE),
    **dict.fromkeys(("az", "abfs", "abfss"), AZURE),
    **dict.fromkeys(("http", "https"), WEB),
}


def is_url(text: str) -> bool:
    """Whether this is a URL of another machine; ``file://`` is a local path."""
    return URL.match(text) is not None


def shown(url: str) -> str:
    """A URL without its password, for messages and files."""
    secret = password(url)
    return url.replace(f":{secret}@", "@", 1) if secret else url


def password(url: str) -> str:
    """The password of a URL ``scheme://user:password@host``; empty if it has none."""
    return urlsplit(url).password or ""


def list_files(url: str) -> dict[str, tuple[int, str]]:
    """Every file at or below a URL.

    Returns:
        Path relative to `url` → size in bytes, and a version that changes with the content (an ETag, or else a
        time). The only path is "" if the URL is a file. Empty if nothing exists there.

    Raises:
        RemoteError: no such bucket, no access, no network.
        ConfigError: an unknown scheme, or its client is not installed.
    """
    system, root = _opened(url)
    system.invalidate_cache()
    # Object stores list all names at once; other clients skip a folder that cannot be listed unless told to raise.
    options = {} if _client(url)[0] in STORES else {"on_error": "raise"}
    found = _retried(lambda: system.find(root, detail=True, **options), url)
    unsized = [path for path, facts in found.items() if facts.get("size") is None]  # a web page lists only names
    with ThreadPoolExecutor(N_THREADS) as pool:
        found |= zip(unsized, pool.map(lambda path: _retried(lambda: system.info(path), url), unsized), strict=True)
    files = {}
    for path, facts in found.items():
        if facts.get("size") is None:
            raise RemoteError(f"{shown(url)}: the server does not give the size of {shown(path)}")
        name = path.removeprefix(root).lstrip("/")
        version = next((str(facts[key]) for key in VERSIONS if facts.get(key)), "")
        files[unquote(name) if _is_web(url) else name] = (int(facts["size"]), version)
    return files


def read_blocks(url: str, name: str, size: int) -> Iterator[bytes]:
    """The content of a listed file in blocks of 16 MiB, one request for each.

    Args:
        name: relative to `url`.
        size: in bytes, as listed.

    Raises:
        RemoteError: the server fails or refuses, or the file has changed since it was listed.
    """
    system, root = _opened(url)
    path = f"{root}/{quote(name) if _is_web(url) else name}"
    for start in range(0, size, BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, size)
        asked = end + (end == size)  # one byte past the end detects a file that has grown
        read = partial(system.cat_file, path, start=start, end=asked)
        block = _retried(read, f"{url}/{name}")
        if len(block) != end - start:
            raise RemoteError(f"{shown(url)}/{name}: has changed since it was listed; run the same command again")
        yield block


@cache  # fsspec's own cache has a client, with its own connections, per thread
def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec

    scheme, (package, _) = url.split(":", 1)[0], _client(url)
    options = {"use_listings_cache": False} if package in STORES else {}  # a cached listing would hide a denial
    if package == "s3fs":  # retries are done here, with words and pauses of our own
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


def _retried(call: Callable[[], Any], place: str) -> Any:
    """The result of a client's call, retried with growing pauses while that may help."""
    for n_tried in range(1, N_TRIES + 1):
        try:
            return call()
        except Exception as error:  # each client has its own family of errors
            if n_tried == N_TRIES or not _may_pass(error):
                raise _explained(error, place) from error
        time.sleep(FIRST_PAUSE_S * 2 ** (n_tried - 1) * random.uniform(0.5, 1.0))  # threads must not retry in step


def _may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later."""
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
    """HTTP status of an error or of its cause; 0 if there is none."""
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
    """The error in plain words, without the password."""
    status, place = _status(error), shown(url)
    _, credentials = _client(url)
    if any("Credentials" in type(cause).__name__ for cause in _chain(error)):
        return RemoteError(f"{place}: no credentials; {credentials}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return RemoteError(f"{place}: access denied; {credentials}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return RemoteError(f"{place}: no such bucket, folder or file; is the name right?")
    text = f"{type(error).__name__}: {error}".replace(password(url) or "\0", "***")
    if _may_pass(error):
        return RemoteError(f"{place}: cannot be reached ({text}); run the same command again to continue")
    return RemoteError(f"{place}: {text}")


def _client(url: str) -> tuple[str, str]:
    return CLIENTS.get(url.split(":", 1)[0], ("", "give credentials as its client expects them"))


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))
