"""Random requests: schemathesis draws them from the OpenAPI schema, hypothesis draws uploads and streams."""

import functools
import io
from urllib.parse import urlencode

import hypothesis
import numpy as np
import pytest
import schemathesis
import soundfile
from fastapi.testclient import TestClient
from hypothesis import strategies
from starlette.websockets import WebSocketDisconnect

from fakevoice.serve.app import create_app

URL = "http://127.0.0.1:8000"
HOST = {"Host": "127.0.0.1:8000"}
FORM = "multipart/form-data; boundary=b"
NAMES = strategies.sampled_from(["a.wav", "a.mp4", "녹음.mp3", "../x", "a\x00b", "x" * 300, ""])
NUMBERS = strategies.one_of(
    strategies.sampled_from(["", "0.1", "5", "0.099", "5.01", "nan", "-inf", "1e400", "1_0", "１", "0x1", "\x00"]),
    strategies.floats().map(str),
    strategies.text(max_size=20),
)
HEADERS = ("Origin", "Range", "If-None-Match", "If-Range", "Authorization", "Cookie")
VALUES = strategies.one_of(
    strategies.sampled_from(["http://[", "http://[::1", "http://127.0.0.1:8000", "bytes=\xb2-", "bytes=9-0"]),
    strategies.text(strategies.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    strategies.text("htp:/[]@#?-=,.*0129\xb2 ", max_size=12).map("http://".__add__),
    strategies.text("0129-,\xb2 ", max_size=12).map("bytes=".__add__),
)
DAMAGE = strategies.lists(
    strategies.tuples(strategies.floats(0, 1), strategies.integers(0, 8), strategies.binary(max_size=8)), max_size=8
)
# A schema cannot say that a file has to hold audio, and wrong numbers are tested below.
EXCLUDED = [schemathesis.checks.negative_data_rejection, schemathesis.checks.positive_data_acceptance]


def examples(n_examples: int) -> hypothesis.settings:
    """The same examples in each run; answers take as long as the machine needs."""
    return hypothesis.settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@pytest.fixture(scope="module")
def app(predictor):
    return create_app(predictor)


@pytest.fixture(scope="module")
def schema(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url=URL) as client:
        yield client


@pytest.fixture(scope="module")
def predict(client, schema):
    """Sends a form and checks the answer against the schema."""
    operation = schema["/api/predict"]["POST"]

    def send(body: bytes, content_type: str = FORM):
        told = client.post("/api/predict", content=body, headers={"Content-Type": content_type})
        assert str(told.status_code) in operation.definition.raw["responses"], told.text
        operation.validate_response(told)
        return told

    return send


@functools.cache
def sounds() -> list[bytes]:
    """A second of noise in several formats; no fixture, since hypothesis would print it with each failure."""
    files, noise = [], np.random.default_rng(0).normal(0, 0.1, 8000)
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"):
        soundfile.write(file := io.BytesIO(), noise, 8000, format=kind)
        files.append(file.getvalue())
    return files


def damaged(content: bytes, damage: list[tuple[float, int, bytes]]) -> bytes:
    """Bytes replaced, inserted or removed at some places; most of them in the header."""
    for place, n_removed, piece in damage:
        start = int(place**4 * len(content))
        content = content[:start] + piece + content[start + n_removed :]
    return content


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    """A multipart body of (field, file name or None, content)."""
    body = b""
    for field, name, content in parts:
        file_name = "" if name is None else f'; filename="{name}"'
        head = f'--b\r\nContent-Disposition: form-data; name="{field}"{file_name}\r\n\r\n'
        body += head.encode(errors="replace") + content + b"\r\n"
    return body + b"--b--\r\n"


@pytest.mark.parametrize(
    ("method", "mode"),
    [
        *((f"GET {path}", schemathesis.GenerationMode.POSITIVE) for path in ("/healthz", "/metrics", "/api/about")),
        *(("POST /api/predict", mode) for mode in schemathesis.GenerationMode),
    ],
)
def test_what_is_drawn_from_the_schema_is_answered_as_it_says(schema, method, mode):
    verb, path = method.split()

    @examples(10)
    @hypothesis.given(case=schema[path][verb].as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(excluded_checks=EXCLUDED, headers=HOST)

    check()


@examples(20)
@hypothesis.given(number=strategies.integers(0, 7), damage=DAMAGE, name=NAMES)
def test_damaged_recordings_are_scored_or_listed_as_unreadable(predict, number, damage, name):
    told = predict(form([("files", name, damaged(sounds()[number], damage))]))
    assert told.status_code in (200, 413), told.text
    assert damage or told.json()["recordings"][0]["unreadable"] is None or name == "a.mp4"


@examples(60)
@hypothesis.given(
    parts=strategies.lists(
        strategies.tuples(
            strategies.sampled_from(["files", "hop_s", "", "목소리"]),
            strategies.one_of(strategies.none(), NAMES),
            strategies.one_of(strategies.binary(max_size=50), NUMBERS.map(lambda text: text.encode(errors="replace"))),
        ),
        max_size=4,
    ),
    damage=DAMAGE,
    content_type=strategies.sampled_from([FORM] * 6 + ["text/plain", "multipart/form-data; boundary=", "a\xb2;b=\xff"]),
)
def test_any_form_is_answered_as_documented(predict, parts, damage, content_type):
    predict(damaged(form(parts), damage), content_type.encode("latin-1"))


@examples(30)
@hypothesis.given(hop_s=NUMBERS)
def test_any_hop_is_used_or_refused(predict, hop_s):
    told = predict(form([("files", "a.wav", sounds()[0]), ("hop_s", None, hop_s.encode(errors="replace"))]))
    assert told.status_code in (200, 400, 422), told.text
    assert told.status_code != 200 or hop_s == "" or (hop_s.isascii() and 0.1 <= float(hop_s) <= 5)


@examples(100)
@hypothesis.given(
    method=strategies.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"]),
    path=strategies.sampled_from(["/", "/healthz", "/metrics", "/api/predict", "/page.js", "/api/stream", "/%2e%2e/x"]),
    headers=strategies.fixed_dictionaries({}, optional=dict.fromkeys(HEADERS, VALUES)),
)
def test_any_header_is_answered(client, method, path, headers):
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    told = client.request(method, path, headers=HOST | headers)
    assert told.status_code in (200, 206, 304, 400, 403, 404, 405, 415, 416, 421), told.text


@examples(30)
@hypothesis.given(
    rate=strategies.one_of(strategies.sampled_from(["16000", "1000", "192000"]), NUMBERS),
    hop_s=strategies.one_of(strategies.sampled_from(["1", "0.5", "0.1"]), NUMBERS),
    messages=strategies.lists(strategies.binary(max_size=4000), max_size=3),
    last=strategies.sampled_from(["end", "end", "stop", ""]),
)
def test_any_stream_is_answered_or_told_why_not(client, rate, hop_s, messages, last):
    query = urlencode({"rate": rate, "hop_s": hop_s}, errors="replace")
    with client.websocket_connect(f"ws://127.0.0.1:8000/api/stream?{query}") as stream:
        for message in messages:
            stream.send_bytes(message)
        stream.send_text(last)
        with pytest.raises(WebSocketDisconnect) as end:
            while True:
                told = stream.receive_json()
                assert set(told) == {"error"} or 0 <= told["fake"] <= 1
    assert end.value.code in (1000, 1008)
