"""Random requests, held against what the service itself documents: its statuses, their schemas, and no failure."""

import io
import random
import string
from collections import Counter

import httpx
import jsonschema
import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from fakevoice.serve.app import create_app

URL = "http://127.0.0.1:8000"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PLACES = ("/", "/healthz", "/metrics", "/api/about", "/api/predict", "/page.js", "/api/stream", "/nothing", "/%2e%2e/x")
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "QUERY")
UNDOCUMENTED = (400, 403, 404, 405, 416, 421)  # of files of the page, with a range, and of what is not there
HOPS = ("", "0.1", "5", "0.099", "5.01", "-1", "nan", "inf", "-inf", "1e400", "1_0", "１", "0x1", "2.5 s", "\x00")


def many(short: int, long: int) -> pytest.MarkDecorator:
    """So many cases, and many more with --slow."""
    cases = [short, pytest.param(long, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("n_cases", cases, ids=["short", "long"])


@pytest.fixture(scope="module")
def client(predictor):
    with TestClient(create_app(predictor), base_url=URL) as client:
        yield client


@pytest.fixture(scope="module")
def documented(client):
    """Holds an answer against /openapi.json."""
    api = client.get("/openapi.json").json()

    def check(told: httpx.Response, case: object) -> None:
        asked = api["paths"].get(told.request.url.path, {}).get(told.request.method.lower())
        if asked is None or str(told.status_code) not in asked["responses"]:
            assert told.status_code < 400 or told.status_code in UNDOCUMENTED, (case, told.text)
            assert asked is None or told.status_code in (403, 421), (case, told.text)
            return
        said = asked["responses"][str(told.status_code)]["content"]
        kind = told.headers["content-type"].split(";")[0]
        assert kind in said, case
        if kind == "application/json":
            schema = said[kind]["schema"] | {"components": api["components"]}
            jsonschema.validate(told.json(), schema, jsonschema.Draft202012Validator)

    return check


@pytest.fixture(scope="module")
def sounds():
    """A second of noise in several formats."""
    files, noise = [], np.random.default_rng(0).normal(0, 0.1, 8000)
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"):
        soundfile.write(file := io.BytesIO(), noise, 8000, format=kind)
        files.append(file.getvalue())
    return files


def damaged(content: bytes, choice: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled, or cut off; the first ones, where headers are, most of all."""
    data = bytearray(content)
    for _ in range(choice.randint(1, 8)):
        at = choice.randrange(max(1, min(len(data), choice.choice((64, 512, len(data) + 1)))))
        piece = choice.choice((b"", choice.randbytes(1), b"\xff" * 4, bytes(8), bytes(data[at : at + 50]) * 2))
        data[at : at + len(piece) + choice.randint(0, 2)] = piece
    return bytes(data[: choice.choice((len(data), choice.randrange(len(data) + 1)))])


def body_of(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    """A form of (field, file name or None, content)."""
    heads = [f'name="{field}"' + ("" if name is None else f'; filename="{name}"') for field, name, _ in parts]
    said = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() for head in heads]
    return b"".join(a + content + b"\r\n" for a, (_, _, content) in zip(said, parts, strict=True)) + b"--b--\r\n"


def word(choice: random.Random) -> str:
    letters = string.printable + "목소리녹음\x00\u202e😀"
    return "".join(choice.choices(letters, k=choice.choice((0, 1, 5, 300)))).replace('"', "").replace("\\", "")


@many(12, 1000)
def test_what_is_valid_is_answered(client, documented, sounds, n_cases):
    choice = random.Random(1)
    for n in range(n_cases):
        hop_s = choice.choice(([], [("hop_s", None, f"{choice.uniform(0.1, 5):.3f}".encode())]))
        names = [choice.choice(("a.wav", "녹음.mp3", "../x", "a b.flac")) for _ in range(choice.randint(1, 3))]
        files = [("files", name, choice.choice((*sounds, b"hello"))) for name in names]
        told = client.post("/api/predict", content=body_of(files + hop_s), headers=FORM)
        documented(told, (n, names))
        assert told.status_code == 200 and [one["id"] for one in told.json()["recordings"]] == names


@many(20, 3000)
def test_damaged_recordings_are_heard_or_said_to_be_unreadable(client, documented, sounds, n_cases):
    choice, seen = random.Random(2), Counter()
    for n in range(n_cases):
        content = damaged(choice.choice(sounds), choice)
        name = "a.mp4" if n % 50 == 49 else "a.wav"
        told = client.post("/api/predict", content=body_of([("files", name, content)]), headers=FORM)
        documented(told, (n, content[:80]))
        assert told.status_code in (200, 413), (n, told.text)
        seen[told.json()["recordings"][0]["unreadable_code"] if told.status_code == 200 else 413] += 1
    print(f"\n{n_cases} damaged recordings: {dict(seen)}")
    assert seen[None] and len(seen) > 2


@many(100, 3000)
def test_any_form_is_answered_as_documented(client, documented, sounds, n_cases):
    choice, seen = random.Random(3), Counter()
    for n in range(n_cases):
        parts = [
            (choice.choice(("files", "hop_s", word(choice))), choice.choice((None, "a.wav", word(choice))), content)
            for content in choice.choices((b"", b"1", sounds[0][:400], choice.randbytes(50), b"\r\n--b"), k=n % 5)
        ]
        parts += choice.choice(([], [("hop_s", None, choice.choice(HOPS).encode())]))
        body = choice.choice((body_of(parts), damaged(body_of(parts), choice)))
        kind = choice.choice(
            (*[FORM["Content-Type"]] * 6, "text/plain", "multipart/form-data", "multipart/form-data; boundary=")
        )
        told = client.post("/api/predict", content=body, headers={"Content-Type": kind})
        documented(told, (n, kind, body))
        seen[told.status_code] += 1
    print(f"\n{n_cases} forms: {dict(seen)}")
    assert {200, 400, 422} <= set(seen)


@many(100, 3000)
def test_any_path_method_and_header_is_answered_as_documented(client, documented, n_cases):
    choice, seen = random.Random(4), Counter()
    for n in range(n_cases):
        headers = {
            name: "".join(choice.choices(string.ascii_letters + string.digits + " :/;=,._-", k=choice.randint(0, 30)))
            for name in choice.sample(
                ("Origin", "Accept", "Range", "If-None-Match", "Authorization", "Cookie"), k=n % 4
            )
        }
        headers |= choice.choice(({}, {}, {"Host": choice.choice(("evil.example", "", "127.0.0.1:9"))}))
        told = client.request(choice.choice(METHODS), choice.choice(PLACES), headers=headers)
        documented(told, (n, told.request.method, told.request.url, headers))
        seen[told.status_code] += 1
    print(f"\n{n_cases} requests: {dict(seen)}")
    assert {200, 403, 404, 405, 421} <= set(seen)


@many(24, 300)
def test_any_stream_is_answered_or_told_why_not(client, n_cases):
    """Whatever is asked for and sent: rows of a timeline, or one error, and an end."""
    choice, seen = random.Random(5), Counter()
    for _ in range(n_cases):
        rate = choice.choice((*("16000", "1000", "2000", "192000") * 3, "0", "-1", "x", "1e3", ""))
        query = f"rate={rate}&hop_s={choice.choice((*HOPS[:8], *('1', '0.5', '0.1') * 4))}"
        with client.websocket_connect(f"ws://127.0.0.1:8000/api/stream?{query}") as stream:
            for _ in range(choice.randint(0, 3)):
                stream.send_bytes(choice.randbytes(choice.choice((0, 1, 2, 3001, 4000))))
            stream.send_text(choice.choice(("end", "end", "stop", "")))
            try:
                while True:
                    told = stream.receive_json()
                    seen["error" if "error" in told else "row"] += 1
                    assert set(told) == {"error"} or 0 <= told["fake"] <= 1
            except WebSocketDisconnect as end:
                seen[end.code] += 1
    print(f"\n{n_cases} streams: {dict(seen)}")
    assert {"row", "error", 1000, 1008} == set(seen)
