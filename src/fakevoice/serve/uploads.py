"""Files of a multipart request, written as they come into a folder of our own, under names of our own."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from fakevoice.serve.limits import MB, Limits

MAX_NAME = 255  # characters shown of a client's file name
MAX_FIELD_BYTES = 1024  # of what is no file
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # and what turns the text around


@dataclass(frozen=True)
class Upload:
    """One file as it was sent.

    Attributes:
        name: what the client calls it; shown, and never a path.
        path: where it lies.
    """

    name: str
    path: Path


@dataclass
class _Part:
    name: str = ""
    file: BinaryIO | None = None
    n_bytes: int = 0
    text: bytearray = field(default_factory=bytearray)


class _Receiver:
    """Callbacks of the parser: files go to the disk, other fields are kept."""

    def __init__(self, folder: Path, limits: Limits, open_files: ExitStack):
        self.folder, self.limits, self.open_files = folder, limits, open_files
        self.uploads: list[Upload] = []
        self.fields: dict[str, str] = {}
        self.n_fields = 0  # of one name too
        self.part, self.header, self.value, self.disposition = _Part(), b"", b"", b""
        self.is_complete = False

    def on_part_begin(self) -> None:
        self.part, self.disposition = _Part(), b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def on_header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.disposition = self.value
        self.header, self.value = b"", b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.part.name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            self.n_fields += 1
            if self.n_fields > self.limits.max_files:
                raise HTTPException(413, "too many fields: send files and hop_s")
            return
        if len(self.uploads) >= self.limits.max_files:
            raise HTTPException(413, f"more than {self.limits.max_files} files: send them in several requests")
        name = shown_name(options[b"filename"].decode(errors="replace"))
        path = self.folder / str(len(self.uploads))
        self.part.file = self.open_files.enter_context(path.open("xb"))
        self.uploads.append(Upload(name, path))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.part.n_bytes += end - start
        if self.part.file is None:
            if self.part.n_bytes > MAX_FIELD_BYTES:
                raise HTTPException(413, f"field {self.part.name!r} is too long: send audio as a file")
            self.part.text += data[start:end]
        elif self.part.n_bytes > self.limits.max_upload_mb * MB:
            name, most = self.uploads[-1].name, self.limits.max_upload_mb
            raise HTTPException(413, f"{name}: larger than {most:g} MB; cut it, or use ./run.sh predict")
        else:
            self.part.file.write(data[start:end])

    def on_end(self) -> None:
        self.is_complete = True

    def on_part_end(self) -> None:
        if self.part.file is not None:
            self.part.file.close()
        else:
            self.fields[self.part.name] = self.part.text.decode(errors="replace")


def shown_name(name: str) -> str:
    """A client's file name as it may be shown: no character that controls a terminal or turns the text around."""
    return UNPRINTABLE.sub("�", name)[:MAX_NAME] or "unnamed"


@contextmanager
def _said() -> Iterator[None]:
    """What goes wrong on the way, as answers."""
    try:
        yield
    except FormParserError as error:
        raise HTTPException(
            400, f"not a complete multipart form ({error}): send files as multipart/form-data"
        ) from None
    except TimeoutError:
        raise HTTPException(408, "the upload stopped or took too long: send it again") from None
    except ClientDisconnect:
        raise HTTPException(400, "the client went away") from None


async def receive(request: Request, folder: Path, limits: Limits) -> tuple[list[Upload], dict[str, str]]:
    """Write the files of a request into `folder`; also what else was sent, by name.

    Raises:
        HTTPException: 400 a form that breaks off, 408 the client has stopped sending, 413 more than `limits`, 415 no
            form, 422 no file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise HTTPException(415, "send the files as multipart/form-data, as `curl -F files=@a.wav` does")
    too_large = HTTPException(413, f"more than {limits.max_request_mb:g} MB in one request: send fewer files at once")
    if int(request.headers.get("content-length") or 0) > limits.max_request_mb * MB:
        raise too_large
    with _said(), ExitStack() as open_files:
        receiver, n_bytes = _Receiver(folder, limits, open_files), 0
        parser = MultipartParser(options[b"boundary"], _callbacks(receiver))
        chunks, start_s = request.stream(), anyio.current_time()
        with anyio.fail_after(limits.max_sending_s):
            while chunk := await _next(chunks, _patience_s(start_s, n_bytes, limits)):
                n_bytes += len(chunk)
                if n_bytes > limits.max_request_mb * MB:
                    raise too_large
                await anyio.to_thread.run_sync(parser.write, chunk)
        if not receiver.is_complete:
            raise FormParserError("it breaks off")
    if not receiver.uploads:
        raise HTTPException(422, "no file in the form: send at least one, with its file name")
    return receiver.uploads, receiver.fields


def _patience_s(start_s: float, n_bytes: int, limits: Limits) -> float:
    """How long to wait for more: a byte now and then would hold a place for long."""
    end_s = start_s + limits.idle_s + n_bytes / limits.min_bytes_per_s
    return min(limits.idle_s, end_s - anyio.current_time())


async def _next(chunks, patience_s: float) -> bytes:
    with anyio.fail_after(patience_s):
        async for chunk in chunks:
            return chunk
    return b""


def _callbacks(receiver: _Receiver) -> dict:
    return {name: getattr(receiver, name) for name in dir(receiver) if name.startswith("on_")}
