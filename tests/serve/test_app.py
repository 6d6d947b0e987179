"""The service: the same answers as `predict` and `stream`, within its limits, for those who may ask."""

import io
import json
import re
import signal
import socket
import subprocess
import threading
import time

import anyio
import httpx
import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

from fakevoice.audio import ffmpeg
from fakevoice.audio.read import read_audio
from fakevoice.cli.command_line import main
from fakevoice.core.config import config_hash
from fakevoice.core.errors import AudioError, ConfigError
from fakevoice.data.synthetic import NOTE
from fakevoice.inference import stream
from fakevoice.inference.inputs import Source
from fakevoice.inference.recordings import answer
from fakevoice.inference.stream import Listener, as_dict
from fakevoice.serve import app as service
from fakevoice.serve import scoring, uploads
from fakevoice.serve import websocket as streams
from fakevoice.serve.access import Address
from fakevoice.serve.app import create_app
from fakevoice.serve.limits import Gate, Limits
from tests.support.serving import serving

RATE = 16_000
URL = "http://127.0.0.1:8000"
STREAM = "ws://127.0.0.1:8000/api/stream"
TOKEN = "open-sesame"
TINY = Limits(max_upload_mb=0.3, max_request_mb=0.5, max_files=2, max_recording_s=8.0, max_windows=20)


@pytest.fixture(scope="module")
def client(predictor):
    with TestClient(create_app(predictor), base_url=URL) as client:
        yield client


@pytest.fixture
def small(predictor):
    """A client of a service of tiny limits."""
    with TestClient(create_app(predictor, limits=TINY), base_url=URL) as client:
        yield client


@pytest.fixture(scope="module")
def long(finished_run, tmp_path_factory):
    """8 s of two test clips."""
    files = sorted((finished_run.paths.raw / "test").iterdir())[:2]
    path = tmp_path_factory.mktemp("sounds") / "long.wav"
    sound = np.concatenate([read_audio(file, RATE).waveform for file in files])[: 8 * RATE]
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return path


@pytest.fixture
def private(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(service.tempfile, "tempdir", str(folder))
    return folder


def sent(*named) -> list:
    return [("files", (name, content)) for name, content in named]


def test_the_answers_are_those_of_predict(client, predictor, long, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    content = long.read_bytes()
    told = client.post("/api/predict", files=sent(("a.wav", content), ("b.wav", content[:90_000])), data={"hop_s": "2"})
    assert told.status_code == 200
    (long.parent / "short.wav").write_bytes(content[:90_000])
    sources = [Source("a.wav", long), Source("b.wav", long.parent / "short.wav")]
    answers = answer(predictor, sources, hop_s=2.0)
    found, wanted = told.json()["recordings"], answers.table.to_dict("records")
    assert [one["row"] for one in found] == wanted and [one["id"] for one in found] == ["a.wav", "b.wav"]
    timeline = [{"id": one["id"]} | row for one in found for row in one["timeline"]]
    assert timeline == answers.timeline.to_dict("records") and len(timeline) == 3
    assert set(wanted[0]) | set(timeline[0]) == set(told.json()["columns"])


def test_what_is_no_audio_is_listed_beside_what_is(client, long):
    told = client.post("/api/predict", files=sent(("notes.txt", b"hello"), ("a.wav", long.read_bytes()))).json()
    text, sound = told["recordings"]
    assert "not recognised" in text["unreadable"] and text["note"].startswith("not readable") and not text["timeline"]
    assert sound["unreadable"] is None and len(sound["timeline"]) == 3
    assert client.post("/api/predict", files=sent(("notes.txt", b"hello"))).status_code == 200


def test_an_upload_is_decoded_in_one_pass(client, long, monkeypatch):
    opens, n_read = [], []
    constructor, read = soundfile.SoundFile.__init__, soundfile.SoundFile.read

    def counted(self, *arguments, **options):
        opens.append(arguments)
        constructor(self, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", counted)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **how: n_read.append(n) or read(self, n, **how))
    told = client.post("/api/predict", files=sent(("a.wav", long.read_bytes())), data={"hop_s": "0.2"}).json()
    assert len(told["recordings"][0]["timeline"]) == 16
    assert len(opens) == 3  # its length for the limits, its length for the windows, the windows
    assert sum(n_read) < 8 * RATE + 10


def test_what_of_a_file_was_not_read_is_in_the_answer(client, predictor, long):
    content = long.read_bytes()
    told = client.post("/api/predict", files=sent(("cut.wav", content[: len(content) * 2 // 3]), ("a.wav", content)))
    cut, whole = told.json()["recordings"]
    assert cut["file_note"] == "the file ends before its stated length" and cut["note"].startswith(cut["file_note"])
    assert whole["file_note"] == "" and whole["note"].endswith(NOTE)
    assert client.get("/api/about").json()["is_synthetic"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/x.wav", "../../etc/x.wav"),
        ("a\x00b\x1b[31m.wav", "a�b�[31m.wav"),
        ("x" * 300, "x" * 255),
        ("목소리 녹음.wav", "목소리 녹음.wav"),
        ("a\u202egnp.wav", "a�gnp.wav"),
        ("C:\\x\\<b>.wav", "<b>.wav"),
        ("x.mp4/../../y", "x.mp4/../../y"),
        ("/etc/passwd", "/etc/passwd"),
        ("목" * 83 + ".wav", "목" * 83 + ".wav"),  # 253 bytes: a file system takes no more
        ("목" * 300, "목" * 255),
        ("a\nb\tc.wav", "a�b�c.wav"),
    ],
)
def test_names_are_shown_and_never_paths(client, long, private, monkeypatch, name, shown):
    seen = []

    def scored(predictor, uploads, hop_s, limits):
        seen.extend(str(file.relative_to(private)) for file in private.rglob("*") if file.is_file())
        return scoring.score_uploads(predictor, uploads, hop_s, limits)

    monkeypatch.setattr(service, "score_uploads", scored)
    disposition = b'form-data; name="files"; filename="' + name.replace("\\", "\\\\").encode() + b'"'
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + long.read_bytes() + b"\r\n--b--\r\n"
    told = client.post("/api/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    (recording,) = told.json()["recordings"]
    assert recording["id"] == recording["row"]["id"] == shown and recording["unreadable"] is None
    (file,) = seen
    assert re.fullmatch(r"fakevoice-\w+/0", file) and not list(private.iterdir())


async def receive_from(messages: list[dict], folder, limits: Limits) -> None:
    """What `uploads` makes of the messages of a server; it waits where none is left."""

    async def receive() -> dict:
        return messages.pop(0) if messages else await anyio.sleep(60)

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = uploads.Request({"type": "http", "method": "POST", "headers": headers}, receive)
    await uploads.receive(request, folder, limits)


def refused(client: TestClient, status: int, **request) -> str:
    told = client.post("/api/predict", **request)
    assert told.status_code == status and set(told.json()) == {"error"}
    return told.json()["error"]


def test_what_is_too_much_is_refused_in_words(small, long, private, monkeypatch):
    content = long.read_bytes()
    assert "a.wav: larger than 0.3 MB; cut it" in refused(small, 413, files=sent(("a.wav", content + bytes(50_000))))
    assert "more than 0.5 MB in one request" in refused(small, 413, files=sent(*[("a.wav", content)] * 2))
    assert "more than 2 files" in refused(small, 413, files=sent(*[("a", b"a")] * 3))
    assert "'note' is too long" in refused(small, 413, files=sent(("a", b"a")), data={"note": "x" * 2000})
    assert "more than 20 windows: use a larger hop_s" in refused(
        small, 413, files=sent(("a.wav", content)), data={"hop_s": "0.3"}
    )
    assert not list(private.iterdir())


@pytest.mark.parametrize("n_files", [1, 2])
def test_the_bounds_hold_while_bytes_come_in(tmp_path, n_files):
    """Without a Content-Length, they are counted, and reading ends there."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    parts = [part for _ in range(n_files) for part in (head, *[bytes(10_000)] * (40 if n_files == 1 else 29), b"\r\n")]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    n_sent = len(messages)
    with pytest.raises(HTTPException, match="larger than 0.3 MB" if n_files == 1 else "0.5 MB in one request"):
        anyio.run(receive_from, messages, tmp_path, TINY)
    most = 300_000 if n_files == 1 else 500_000
    assert (n_sent - len(messages)) * 10_000 <= most + 50_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= most


def test_a_long_recording_of_few_bytes_is_refused(small):
    soundfile.write(file := io.BytesIO(), np.zeros(9 * RATE), RATE, format="FLAC")
    assert "a.flac: longer than" in refused(small, 413, files=sent(("a.flac", file.getvalue())))


@pytest.mark.skipif(not ffmpeg.has_ffmpeg(), reason="no ffmpeg: videos cannot be read here")
def test_a_video_is_heard_and_bounded(small, long, tmp_path):
    for name, seconds in (("short", 6), ("long", 30)):
        source = ["-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}", "-c:a", "aac", "-b:a", "32k"]
        command = ["ffmpeg", "-nostdin", "-v", "error", *source, str(tmp_path / f"{name}.m4a")]
        subprocess.run(command, check=True, timeout=60)
    told = small.post("/api/predict", files=sent(("Film.M4A", (tmp_path / "short.m4a").read_bytes()))).json()
    assert told["recordings"][0]["unreadable"] is None and len(told["recordings"][0]["timeline"]) == 2
    assert "longer than" in refused(small, 413, files=sent(("a.m4a", (tmp_path / "long.m4a").read_bytes())))


@pytest.mark.skipif(not ffmpeg.has_ffmpeg(), reason="no ffmpeg: videos cannot be read here")
def test_a_playlist_that_calls_itself_a_video_opens_nothing(client, long):
    playlist = b"ffconcat version 1.0\nfile 0\n"  # ffmpeg would take the other upload's sound for its own
    told = client.post("/api/predict", files=sent(("a.wav", long.read_bytes()), ("b.mp4", playlist))).json()
    assert [one["unreadable"] is None for one in told["recordings"]] == [True, False]


@pytest.mark.parametrize(
    ("status", "error", "request_"),
    [
        (415, "multipart/form-data", {"json": {"a": 1}}),
        (400, "not a complete multipart form", {"content": b"nonsense", "headers": {"Content-Type": "B"}}),
        (422, "no file", {"files": [("hop_s", (None, "1"))]}),
        (422, "hop_s: 'soon' is not a number", {"files": sent(("a", b"a")), "data": {"hop_s": "soon"}}),
        (422, "a hop of 0.01 s", {"files": sent(("a", b"a")), "data": {"hop_s": "0.01"}}),
        (422, "a hop of -1 s", {"files": sent(("a", b"a")), "data": {"hop_s": "-1"}}),
        *(
            (422, "is not a number of seconds", {"files": sent(("a", b"a")), "data": {"hop_s": text}})
            for text in ("nan", "inf", "１", "1_0", " 1", "²", "١", "0x1", "1e", ".")
        ),
    ],
)
def test_wrong_requests_are_told_what_to_do(client, status, error, request_):
    if request_.get("headers"):
        request_ = request_ | {"headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    assert error in refused(client, status, **request_)


def test_an_upload_that_is_cut_off_leaves_nothing(client, private):
    cut = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhalf of it'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert "not a complete" in refused(client, 400, content=cut, headers=headers)
    assert not list(private.iterdir())


def test_a_stopped_upload_times_out_and_a_lost_client_is_noticed(tmp_path):
    for rest, status in (([], 408), ([{"type": "http.disconnect"}], 400)):
        begun = [{"type": "http.request", "body": b"--b\r\n", "more_body": True}, *rest]
        with pytest.raises(HTTPException) as error:
            anyio.run(receive_from, begun, tmp_path, Limits(idle_s=0.05))
        assert error.value.status_code == status


def test_the_queue_is_bounded(predictor, long, private, monkeypatch):
    """While one is worked on and one waits, a third is sent away and told when to come back; then there is room."""
    going, started = threading.Event(), threading.Event()

    def slow(*arguments):
        started.set()
        assert going.wait(30)
        return scoring.score_uploads(*arguments)

    monkeypatch.setattr(service, "score_uploads", slow)
    request = {"url": "/api/predict", "files": sent(("a.wav", long.read_bytes()))}
    with TestClient(create_app(predictor, limits=Limits(n_at_once=1, n_waiting=1)), base_url=URL) as client:
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(client.post(**request).status_code)) for _ in "ab"]
        try:
            threads[0].start()
            assert started.wait(30)
            threads[1].start()
            end = time.monotonic() + 30
            while len(list(private.glob("*/0"))) < 2 and time.monotonic() < end:
                time.sleep(0.02)
            third = client.post(**request)
        finally:
            going.set()
            for thread in threads:
                thread.join(30)
        assert third.status_code == 503 and third.headers["Retry-After"] == "5" and "try again" in third.json()["error"]
        assert statuses == [200, 200] and client.post(**request).status_code == 200
        assert 'fakevoice_rejected_total{status="503"} 1.0' in client.get("/metrics").text
    assert not list(private.iterdir())


def test_a_place_is_free_again_after_an_error():
    gate = Gate(Limits(n_at_once=1, n_waiting=0))
    for _ in range(2):
        with pytest.raises(KeyError), gate.place():
            raise KeyError


def test_work_ends_when_the_client_goes_away(predictor, long):
    """Between two chunks the thread looks whether somebody still waits."""
    counted = []

    class Counting(scoring.InProcessPredictor):
        def score_clips(self, clips):
            counted.append(len(clips))
            time.sleep(0.05)
            return super().score_clips(clips[:1])

    async def give_up_after(seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await scoring.in_thread(Counting(**vars(predictor)).predict, [long] * 32 * 200)

    anyio.run(give_up_after, 0.2)
    assert 0 < len(counted) < 100


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:9", "evil.example:8000", "127.0.0.1.evil.example:8000", ""]
)
def test_other_hosts_are_misdirected(client, host):
    told = client.get("/healthz", headers={"Host": host})
    assert told.status_code == 421 and URL in told.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_its_own_hosts_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://[::1", "http://[", "//[x", "null", "", URL.upper() + "@x"])
def test_an_origin_that_is_not_a_url_is_refused(asking, client, origin):
    told = client.get("/healthz", headers={"Origin": origin.encode()})
    assert told.status_code == 403 and "elsewhere" in told.json()["error"]
    assert asking.get("/api/about", headers={"Origin": origin.encode()}).status_code == 403  # before the token
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(STREAM, headers={"Origin": origin}):
        pass
    assert denied.value.status_code == 403


def test_every_origin_header_is_checked(client):
    headers = [("Origin", URL), ("Origin", "http://evil.example")]
    assert client.get("/healthz", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:80"])
@pytest.mark.parametrize("origin_port", ["", ":80"])
def test_on_port_80_browsers_leave_the_port_out(predictor, host, origin_port):
    with TestClient(create_app(predictor, Address(port=80)), base_url="http://localhost") as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
        origin = f"http://{host.removesuffix(':80')}{origin_port}"
        assert client.get("/healthz", headers={"Host": host, "Origin": origin}).status_code == 200
        assert client.get("/healthz", headers={"Host": host, "Origin": "http://evil.example"}).status_code == 403
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421


def test_with_a_token_the_service_may_have_another_name(predictor):
    """As behind a reverse proxy that passes Host on and ends TLS."""
    with TestClient(create_app(predictor, Address(token=TOKEN)), base_url="http://voices.example") as client:
        headers = {"Origin": "https://voices.example", "Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/about", headers=headers).status_code == 200
        assert client.get("/api/about").status_code == 401
        assert client.get("/api/about", headers=headers | {"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/about", "/openapi.json", "/", "/page.js"])
def test_head_is_answered_as_get(client, path):
    told, wanted = client.head(path), client.get(path)
    assert told.status_code == wanted.status_code == 200
    assert told.headers["content-type"] == wanted.headers["content-type"]


def test_head_is_no_way_to_predict(client):
    assert client.head("/api/predict").status_code == 405


def test_long_heads_are_refused(client):
    assert client.get("/healthz", headers={"X": "x" * 100_000}).status_code == 431
    assert client.get("/healthz", headers=[("X", "x" * 100)] * 1000).status_code == 431
    assert client.get("/healthz?" + "x" * 10_000).status_code == 414
    assert client.get("/" + "x" * 10_000).json() == {"error": "the address is too long: at most 8192 bytes"}
    large = {"X": "x" * 100_000}
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(STREAM, headers=large):
        pass
    assert denied.value.status_code == 431


def test_pages_from_elsewhere_may_not_ask(client, long):
    evil = {"Origin": "http://evil.example"}
    told = client.post("/api/predict", files=sent(("a.wav", long.read_bytes())), headers=evil)
    assert told.status_code == 403 and not [name for name in told.headers if name.startswith("access-control")]
    assert client.get("/healthz", headers={"Origin": URL}).status_code == 200
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(STREAM, headers=evil):
        pass
    assert denied.value.status_code == 403


def test_every_answer_has_the_headers(client):
    for path in ("/", "/page.js", "/nothing", "/healthz", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert client.get("/nothing").json() == {"error": "nothing at /nothing"}
    assert client.get("/docs").status_code == client.get("/%2e%2e/service.py").status_code == 404


@pytest.fixture
def asking(predictor):
    with TestClient(create_app(predictor, Address("0.0.0.0", 8000, TOKEN)), base_url="http://pc.example") as client:
        yield client


def test_a_token_is_asked_for(asking):
    assert asking.get("/").status_code == asking.get("/page.js").status_code == 200
    for path in ("/api/about", "/metrics", "/openapi.json"):
        for wrong in ("", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer öffne"):
            told = asking.get(path, headers={"Authorization": wrong.encode()})
            assert told.status_code == 401 and told.headers["WWW-Authenticate"] == "Bearer", (path, wrong)
        assert asking.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert asking.post("/api/predict", files=sent(("a", b"a"))).status_code == 401
    with pytest.raises(WebSocketDenialResponse) as denied, asking.websocket_connect(STREAM):
        pass
    assert denied.value.status_code == 401
    with asking.websocket_connect(f"{STREAM}?rate=7", subprotocols=["fakevoice", TOKEN]) as stream:
        assert stream.accepted_subprotocol == "fakevoice" and "error" in stream.receive_json()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--host", "0.0.0.0"], "--token WORD"),
        (["--host", "::", "--token", "short"], "8 to 128"),
        (["--token", "with a space"], "8 to 128"),
        (["--port", "70000"], "65535"),
    ],
)
def test_an_open_door_is_refused_before_anything_is_read(words, error, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = main(["serve", "--config", "demo", *words])
    except SystemExit as stop:  # of the parser
        code = stop.code
    signal.signal(signal.SIGTERM, before)
    assert code == 2 and error in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(finished_run):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="--port N"):
        port = taken.getsockname()[1]
        with service._listening("127.0.0.1", port):
            pass


def samples_of(file) -> bytes:
    return soundfile.read(file, dtype="int16")[0].tobytes()


@pytest.mark.parametrize("chunk", [3_333, 64_000])
def test_a_stream_gets_the_answers_of_the_listener(client, predictor, long, chunk):
    raw, listener = samples_of(long)[: 2 * int(6.3 * RATE)], Listener(predictor, RATE, 1, 2.0)
    wanted = [as_dict(reply, predictor.config) for reply in (*listener.push(raw), *listener.end())]
    with client.websocket_connect(f"{STREAM}?rate=16000&hop_s=2") as stream:
        for start in range(0, len(raw), chunk):
            stream.send_bytes(raw[start : start + chunk])
        stream.send_text("end")
        assert [stream.receive_json() for _ in wanted] == wanted and len(wanted) == 4
        with pytest.raises(WebSocketDisconnect) as end:
            stream.receive_json()
    assert end.value.code == 1000


@pytest.mark.parametrize(
    ("query", "message", "error"),
    [
        ("rate=7", None, "a rate of 7 Hz"),
        ("rate=700000", None, "a rate of 700000 Hz"),
        ("rate=fast", None, "number of Hz"),
        ("hop_s=0", None, "a hop of 0 s"),
        ("rate=1600.5", None, "a whole number"),
        *((f"hop_s={text}", None, "number of Hz") for text in ("nan", "１", "1_0", "²", "%201")),
        *((f"rate={text}", None, "number of Hz") for text in ("１６０００", "16_000", "%2016000", "١٦٠٠٠")),
        ("", {"text": "hello"}, "the only text is `end`"),
        ("", {"text": "end"}, "ended before its first sample"),
        ("", {"bytes": bytes(2**18 + 2)}, "at most 262144"),
    ],
)
def test_a_stream_that_goes_wrong_is_told_why(client, query, message, error):
    with client.websocket_connect(f"{STREAM}?{query}") as stream:
        if message:
            stream.send({"type": "websocket.receive", **message})
        assert error in stream.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as end:
            stream.receive_json()
    assert end.value.code == 1008


@pytest.mark.parametrize("piece", [b"", b"x", b"xy", bytes(100)])
def test_messages_that_complete_no_hop_cost_nothing(predictor, monkeypatch, piece):
    """They start no thread; the answer that is due afterwards is the right one."""
    n_computed = []

    async def counted(*arguments):
        n_computed.append(1)
        return await scoring.in_thread(*arguments)

    monkeypatch.setattr(streams, "in_thread", counted)
    with TestClient(create_app(predictor), base_url=URL) as client, client.websocket_connect(STREAM) as stream:
        for _ in range(100):
            stream.send_bytes(piece)
        stream.send_bytes(bytes(2 * RATE - 100 * len(piece)))
        assert stream.receive_json()["end_s"] == 1
    assert len(n_computed) == 2  # the answer, and that there is no second one


def test_streams_are_few_and_end_when_nothing_comes(predictor):
    app = create_app(predictor, limits=Limits(n_streams=1, idle_s=0.5))
    with TestClient(app, base_url=URL) as client, client.websocket_connect(STREAM) as first:
        with client.websocket_connect(STREAM) as second:
            assert "busy: 1 streams" in second.receive_json()["error"]
        assert "no hop of sound came for 0.5 s" in first.receive_json()["error"]
    with TestClient(app, base_url=URL) as client, client.websocket_connect(STREAM) as third:
        assert "no hop of sound came" in third.receive_json()["error"]


def test_health_names_the_models(client, predictor):
    told = client.get("/healthz").json()
    assert told == {
        "status": "ok",
        "run": "demo/default",
        "version": predictor.version,
        "config": config_hash(predictor.config),
    }


def metric(client: TestClient, name: str) -> float:
    (line,) = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"fakevoice_{name} ")]
    return float(line.split()[1])


def test_what_is_counted(predictor, long):
    with TestClient(create_app(predictor), base_url=URL) as client:
        told = client.post("/api/predict", files=sent(("a.wav", long.read_bytes()), ("b", b"no audio"))).json()
        with client.websocket_connect(f"{STREAM}?hop_s=2") as stream:
            stream.send_bytes(samples_of(long)[: 2 * 4 * RATE])
            said = [row["fake"] for row in told["recordings"][0]["timeline"]]
            said += [stream.receive_json()["fake"] for _ in range(2)]
            assert metric(client, "in_flight") == 2  # this request too
        client.get("/nothing/at/all")
        client.get("/metrics", headers={"Host": "evil.example"})
        assert metric(client, "clips_scored_total") == 5
        assert metric(client, "audio_seconds_scored_total") == pytest.approx(12)
        assert metric(client, 'mean_probability{output="fake"}') == pytest.approx(np.mean(said), abs=1e-5)
        assert 0 <= metric(client, "out_of_range_share") <= 1
        assert metric(client, 'requests_total{route="/api/predict",status="200"}') == 1
        assert metric(client, 'requests_total{route="other",status="404"}') == 1
        assert metric(client, 'rejected_total{status="421"}') == 1
        assert metric(client, 'request_seconds_count{route="/api/stream"}') == 1


def test_what_cannot_be_heard_of_a_stream_is_not_counted(predictor, monkeypatch):
    def refused(*arguments, **options):
        raise AudioError("raw samples", "0 samples")

    monkeypatch.setattr(stream, "read_pcm", refused)
    with TestClient(create_app(predictor), base_url=URL) as client, client.websocket_connect(STREAM) as sending:
        sending.send_bytes(bytes(2 * RATE))
        assert sending.receive_json()["note"].startswith("0 samples; ")
        assert metric(client, "clips_scored_total") == metric(client, "audio_seconds_scored_total") == 0


def test_openapi_names_every_route_and_refusal(client):
    told = client.get("/openapi.json").json()
    assert told["openapi"].startswith("3.") and set(told["paths"]) == {
        *("/healthz", "/metrics", "/api/about", "/api/predict"),
    }
    predict = told["paths"]["/api/predict"]["post"]
    assert set(predict["responses"]) == {"200", *map(str, (400, 401, 403, 408, 413, 414, 415, 421, 422, 431, 503))}
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {"files", "hop_s"} and (form["hop_s"]["minimum"], form["hop_s"]["maximum"]) == (0.1, 5.0)
    assert form["files"]["maxItems"] == Limits.max_files and "/api/stream" in told["info"]["description"]
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(told)))
    assert names and names <= set(told["components"]["schemas"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command(finished_run, long, number, code):
    """A real process: it answers, keeps its page to itself, and ends on a signal even while a stream is open."""
    with serving(finished_run.home) as service:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
            assert client.get("/healthz").json()["run"] == "demo/default"
            told = client.post("/api/predict", files=sent(("a.wav", long.read_bytes()))).json()
            assert len(told["recordings"][0]["timeline"]) == 3
        url = f"{service.url.replace('http', 'ws')}api/stream?hop_s=1"
        with connect(url, proxy=None, close_timeout=5) as stream:
            stream.send(samples_of(long)[: 2 * RATE])
            assert json.loads(stream.recv(timeout=60))["end_s"] == 1
            ended, errors = service.end(number)
    assert ended == code and "Traceback" not in errors
