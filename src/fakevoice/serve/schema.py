"""Types of requests and responses, as OpenAPI describes them."""

import re

from pydantic import BaseModel, Field

from fakevoice.audio.messages import Reason

ABOUT = """Which voices a recording holds, said by one finished run.

`WS /api/stream?rate=16000&hop_s=1` takes binary messages of 16-bit little-endian mono samples, and answers each hop
with one row of a timeline and its note as JSON. The text message `end` asks for the last answer. `{"error": ...}` comes
before it closes where something is wrong. With a token: offer the WebSocket protocols `fakevoice` and the token.
"""

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse_number(text: str) -> float:
    """A decimal number in ASCII digits; Python's `float` also accepts other digits, underscores and ``inf``.

    Raises:
        ValueError: anything else.
    """
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text)


class Problem(BaseModel):
    """What went wrong, and what to do."""

    error: str


class Health(BaseModel):
    """Which models answer."""

    status: str = "ok"
    run: str = Field(description="competition/experiment")
    version: str = Field(description="checksum of the ensemble")
    config: str = Field(description="hash of its config")


class About(BaseModel):
    """What the page needs to know."""

    run: str
    outputs: list[str]
    task: str
    clip_duration_s: float
    sample_rate_hz: int
    max_upload_mb: float
    max_request_mb: float
    max_files: int
    max_recording_s: float
    is_synthetic: bool = Field(description="trained on generated demo data: says nothing about real recordings")


class Recording(BaseModel):
    """What is said of one file."""

    id: str = Field(description="the file's name as it was sent")
    row: dict[str, float | int | str] = Field(description="of the whole recording; see columns")
    timeline: list[dict[str, float | bool]] = Field(description="a row for each window; empty if unreadable")
    note: str = Field(description="why the numbers are worth less, or nothing")
    file_note: str = Field(description="what of the file was not read, or is wrong with it; the first part of the note")
    unreadable: str | None = Field(description="why it could not be read; its row then holds the prior")
    unreadable_code: Reason | None = Field(
        description="the same as a word that stays, for programs and other languages"
    )


class Predicted(BaseModel):
    """What is said of the files of a request, in their order. A file that is no audio is listed as unreadable."""

    run: str
    version: str
    outputs: list[str]
    columns: dict[str, str] = Field(description="column → what it says")
    recordings: list[Recording]


REFUSED = {
    400: "not a complete multipart form",
    401: "a token is needed",
    403: "asked by a page from elsewhere",
    408: "the upload stopped",
    413: "more than the limits allow",
    414: "the address is too long",
    415: "no multipart form",
    421: "the Host header names another server",
    422: "no file, or an impossible hop_s",
    431: "the headers are too long",
    503: "busy; Retry-After says when to try again",
}
CHECKS = (403, 414, 421, 431)  # of every request


def refusals(*statuses: int) -> dict[int, dict]:
    """What OpenAPI says of the refusals with these statuses."""
    return {status: {"model": Problem, "description": REFUSED[status]} for status in statuses}


def upload(max_files: int, min_hop_s: float, max_hop_s: float) -> dict:
    """What OpenAPI says of the form that is sent."""
    file = {"type": "string", "format": "binary"}
    hop = {"type": "number", "minimum": min_hop_s, "maximum": max_hop_s}
    fields = {
        "files": {"type": "array", "minItems": 1, "maxItems": max_files, "items": file},
        "hop_s": hop | {"description": "seconds between two windows; half a clip if absent"},
    }
    form = {"type": "object", "required": ["files"], "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}
