"""The service under clients that mean harm: each is cut off or refused, nothing is left of it, and others go on."""

import gzip
import io
import itertools
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fakevoice.serve import access, app
from fakevoice.serve.access import Address
from fakevoice.serve.limits import Limits

IDLE_S = 0.5
PATIENCE_S = 30  # with a busy machine
LIMITS = Limits(n_at_once=1, n_waiting=1, n_streams=2, n_connections=8, idle_s=IDLE_S, min_bytes_per_s=1e4)
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
POST = "POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n{more}\r\n\r\n"


@dataclass(frozen=True)
class Served:
    """A service on a socket of this process.

    Attributes:
        folder: where its temporary files lie.
    """

    port: int
    folder: Path
    client: httpx.Client
    server: uvicorn.Server

    @property
    def n_kept(self) -> int:
        """Bytes of answers that no client has taken yet."""
        kept = [one.transport.get_write_buffer_size() for one in list(self.server.server_state.connections)]
        return max(kept, default=0)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def raw(self, first: bytes = b"") -> Iterator[socket.socket]:
        """A connection that has sent something already."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw:
            raw.sendall(first)
            yield raw

    def posting(self, more: str) -> bytes:
        """The head of an upload."""
        return POST.format(host=self.host, more=more).encode()

    def is_clean(self) -> bool:
        """Whether no temporary file is left; its last requests may still be ending."""
        return eventually(lambda: not list(self.folder.iterdir()))


@contextmanager
def running(predictor, folder: Path, limits: Limits) -> Iterator[Served]:
    """A real server, with real connections, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that who does not read is soon noticed
        port = listening.getsockname()[1]
        server = app.make_server(predictor, Address("127.0.0.1", port), limits)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            options = {"base_url": f"http://127.0.0.1:{port}", "trust_env": False, "timeout": 20}
            with httpx.Client(**options, headers={"Connection": "close"}) as client:
                assert eventually(lambda: server.started)
                yield Served(port, folder, client, server)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def served(predictor, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(app.tempfile, "tempdir", str(folder))
    logging.getLogger("uvicorn.error").disabled = True  # of what is no HTTP it warns on standard error
    with running(predictor, folder, LIMITS) as served:
        yield served
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def clip():
    soundfile.write(file := io.BytesIO(), np.random.default_rng(0).normal(0, 0.1, 8000), 8000, format="WAV")
    return file.getvalue()


def eventually(holds, seconds: float = 10) -> bool:
    """Whether something becomes true within some seconds."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return held


def drip(raw: socket.socket, piece: bytes, every_s: float = 0.02) -> float:
    """Send a piece again and again; how many seconds passed until the other side had enough."""
    start = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() < start + 10:
            raw.sendall(piece)
            time.sleep(every_s)
    return time.monotonic() - start


def read_until(raw: socket.socket, end: bytes) -> bytes:
    told = b""
    while not told.endswith(end):
        told += raw.recv(2**16)
    return told


def read_all(raw: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError):
        while part := raw.recv(2**16):
            parts.append(part)
    return b"".join(parts)


def test_a_head_that_never_ends_is_cut_off_while_others_are_answered(served):
    with served.raw(f"GET / HTTP/1.1\r\nHost: {served.host}\r\nX: ".encode()) as slow, served.raw() as silent:
        seconds = []
        thread = threading.Thread(target=lambda: seconds.append(drip(slow, b"x")))
        thread.start()
        assert served.client.get("/healthz").status_code == 200
        thread.join(20)
        assert IDLE_S * 0.8 < seconds[0] < 5 and read_all(silent) == b""


def test_a_head_after_an_answer_is_waited_for_no_longer(served):
    ask = f"GET /healthz HTTP/1.1\r\nHost: {served.host}\r\n".encode()
    with served.raw(ask + b"\r\n") as raw:
        assert read_until(raw, b"}").startswith(b"HTTP/1.1 200")
        raw.sendall(ask + b"\r\n")  # the connection is kept
        assert read_until(raw, b"}").startswith(b"HTTP/1.1 200")
        raw.sendall(ask + b"X: ")
        assert IDLE_S * 0.8 < drip(raw, b"x") < 5


def test_bytes_that_trickle_give_their_places_back(served, clip):
    """Two clients that send a byte now and then hold both places; the third is sent away, and later has room."""
    upload = {"files": [("files", ("a.wav", clip))]}
    with ExitStack() as stack:
        slow = [stack.enter_context(served.raw(served.posting("Content-Length: 9999999") + HEAD)) for _ in "ab"]
        assert eventually(lambda: len(list(served.folder.glob("*/0"))) == 2)
        away = served.client.post("/api/predict", **upload)
        assert away.status_code == 503 and away.headers["Retry-After"] == "5"
        dripping = [threading.Thread(target=drip, args=(raw, b"x")) for raw in slow]
        for thread in dripping:
            thread.start()
        assert eventually(lambda: not list(served.folder.iterdir()), 5)
        assert served.client.post("/api/predict", **upload).status_code == 200
        for thread in dripping:
            thread.join(20)
        assert read_all(slow[0]).startswith((b"HTTP/1.1 408", b""))


def test_a_slow_upload_is_told_why(served):
    with served.raw(served.posting("Content-Length: 9999999") + HEAD) as raw:
        assert b"408 Request Timeout" in raw.recv(2**16)


def test_half_an_upload_leaves_nothing(served, clip):
    for _ in range(4):  # more than there are places
        with served.raw(served.posting("Content-Length: 9999999") + HEAD + clip):
            assert eventually(lambda: list(served.folder.glob("*/0")))
        assert served.is_clean()
    assert served.client.post("/api/predict", files=[("files", ("a.wav", clip))]).status_code == 200


def test_a_gigabyte_that_is_announced_is_refused_before_it_comes(served):
    with served.raw(served.posting("Content-Length: 1000000000\r\nExpect: 100-continue")) as raw:
        assert raw.recv(2**16).startswith(b"HTTP/1.1 413") and not list(served.folder.iterdir())
        assert drip(raw, bytes(1000)) < 5  # what is sent all the same is not listened to for long


def test_a_gigabyte_in_chunks_is_refused_when_it_is_too_much(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(app.tempfile, "tempdir", str(tmp_path))
    chunk = b"%x\r\n%s\r\n" % (10**6, bytes(10**6))
    with (
        running(predictor, tmp_path, Limits(max_upload_mb=5, max_request_mb=8, idle_s=IDLE_S)) as served,
        served.raw(served.posting("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(HEAD), HEAD)) as raw,
    ):
        raw.settimeout(0.001)
        n_sent, told = 0, b""
        while not told and n_sent < 1000:
            with suppress(TimeoutError):
                told = raw.recv(2**16)
            raw.settimeout(10)
            raw.sendall(chunk)
            raw.settimeout(0.001)
            n_sent += 1
            assert sum(file.stat().st_size for file in tmp_path.glob("*/*")) <= 5_000_000
        assert told.startswith(b"HTTP/1.1 413") and n_sent < 60 and served.is_clean()


@pytest.mark.parametrize(("kind", "rate"), [("FLAC", 4000), ("OGG", 1000)])
def test_hours_of_silence_in_kilobytes_are_refused(served, kind, rate):
    with soundfile.SoundFile(file := io.BytesIO(), "w", rate, 1, format=kind) as sound:
        for _ in range(2 * 60):
            sound.write(np.zeros(60 * rate, np.float32))
    content, start = file.getvalue(), time.monotonic()
    told = served.client.post("/api/predict", files=[("files", ("a", content))])
    assert told.status_code == 413 and "longer than 30 minutes" in told.json()["error"]
    assert time.monotonic() - start < 5 and len(content) < 300_000


def test_a_header_that_lies_about_its_length_is_not_believed(served, clip):
    """A WAV that claims 4 GB has what it has; of a FLAC that claims a second, no more than that is heard."""
    claims = clip[:40] + struct.pack("<I", 2**32 - 2) + clip[44:]
    soundfile.write(file := io.BytesIO(), np.zeros(8000 * 600), 8000, format="FLAC")
    lying = bytearray(file.getvalue())
    lying[22:26] = struct.pack(">I", 8000)  # the low 32 bits of STREAMINFO's number of samples
    told = served.client.post("/api/predict", files=[("files", ("a.wav", claims)), ("files", ("b", bytes(lying)))])
    assert [len(one["timeline"]) for one in told.json()["recordings"]] == [1, 1]
    assert [one["timeline"][0]["end_s"] for one in told.json()["recordings"]] == [1, 1]


def test_a_compressed_body_is_not_unpacked(served):
    bomb = gzip.compress(HEAD + bytes(10**7) + b"\r\n--b--\r\n", 9)
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    assert served.client.post("/api/predict", content=bomb, headers=headers).status_code == 400


@pytest.mark.parametrize("name", ["same", "n{}", ""])
def test_thousands_of_fields_are_refused(served, name):
    fields = [f'--b\r\nContent-Disposition: form-data; name="{name.format(n)}"\r\n\r\nx\r\n' for n in range(5000)]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    told = served.client.post("/api/predict", content="".join([*fields, "--b--\r\n"]).encode(), headers=headers)
    assert told.status_code == 413 and "too many fields" in told.json()["error"]


@pytest.mark.parametrize("part", [b"X: " + b"x" * 10**6, b"X: x\r\n" * 1000, b"X" * 10**6])
def test_huge_headers_of_a_part_are_refused(served, part):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    told = served.client.post("/api/predict", content=b"--b\r\n" + part + b"\r\n\r\nx\r\n--b--\r\n", headers=headers)
    assert told.status_code == 400 and "not a complete multipart form" in told.json()["error"]


def test_huge_headers_of_a_request_are_refused(served):
    for header in (b"X: " + b"x" * 10**6, b"X: x\r\n" * 10**5):
        with served.raw(b"GET / HTTP/1.1\r\n") as raw:
            with suppress(ConnectionError):
                raw.sendall(header)
            assert read_all(raw).startswith((b"HTTP/1.1 400", b""))
    assert served.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("header", [b"X: " + b"x" * 10**5 + b"\r\n", b"X: x\r\n" * 15_000])
def test_long_headers_are_told_so(served, header):
    with served.raw(f"GET /healthz HTTP/1.1\r\nHost: {served.host}\r\n".encode()) as raw:
        raw.sendall(header + b"\r\n")
        assert raw.recv(2**16).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [
        ("GET", b"X: " + b"x" * 10**5, b"431"),
        ("GET", b"X: " + b"x" * 8_200, b"431"),
        ("GET", b"X: x\r\n" * 200 + b"X: x", b"431"),
        ("POST", b"X: x", b"405"),
    ],
)
def test_a_handshake_that_cannot_be_parsed_is_answered(served, method, header, status, caplog):
    upgrade = f"{method} /api/stream HTTP/1.1\r\nHost: {served.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    with served.raw(upgrade.encode() + header + b"\r\n\r\n") as raw:
        assert raw.recv(2**16).startswith(b"HTTP/1.1 " + status)
    assert not caplog.records and served.client.get("/healthz").status_code == 200


def test_head_has_no_body(served):
    with served.raw(f"HEAD /healthz HTTP/1.1\r\nHost: {served.host}\r\nConnection: close\r\n\r\n".encode()) as raw:
        told = read_all(raw)
    assert told.startswith(b"HTTP/1.1 200") and told.endswith(b"\r\n\r\n") and b"content-length" in told


def test_connections_are_bounded_and_come_free(served):
    with ExitStack() as stack:
        idle = [stack.enter_context(served.raw()) for _ in range(LIMITS.n_connections)]
        away = served.client.get("/healthz")
        assert away.status_code == 503
        idle += [stack.enter_context(served.raw()) for _ in range(LIMITS.n_connections)]
        with pytest.raises(httpx.TransportError):
            served.client.get("/healthz")
        assert [read_all(raw) for raw in idle] == [b""] * len(idle)
        assert served.client.get("/healthz").status_code == 200


def test_answers_that_are_never_read_are_given_up(served):
    ask = f"GET /page.js HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode()
    with served.raw() as raw:
        raw.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            for _ in range(100_000):  # until neither side takes more
                raw.sendall(ask)
        time.sleep(2 * IDLE_S)
        raw.settimeout(10)
        with pytest.raises(ConnectionError):
            for _ in itertools.count():
                raw.sendall(ask)


def test_preflights_are_refused_and_nobody_is_invited(served):
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, status in (("http://evil.example", 403), ("null", 403), (f"http://{served.host}", 405)):
        told = served.client.options("/api/predict", headers=asking | {"Origin": origin})
        assert told.status_code == status and not [name for name in told.headers if name.startswith("access-control")]


def test_a_token_is_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(access.secrets, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    guarded = access.Guarded(None, Address("0.0.0.0", 8000, "open-sesame"))
    for word, refusal in ((b"open-barley", 401), (b"o", 401), (b"open-sesame", None)):
        scope = {"type": "http", "path": "/metrics", "headers": [(b"authorization", b"Bearer " + word)]}
        told = guarded._refusal(scope)
        assert (told and told[0]) == refusal and compared[-1] == (word, b"open-sesame")


@contextmanager
def streaming(served: Served, **options):
    with connect(f"ws://{served.host}/api/stream", proxy=None, close_timeout=5, **options) as stream:
        yield stream


def reason_of(stream) -> str:
    """Why a stream was ended."""
    try:
        return stream.recv(timeout=10)
    except ConnectionClosed as closed:
        return str(closed.rcvd.code)


def test_idle_streams_are_few_and_end(served):
    with ExitStack() as stack:
        streams = [stack.enter_context(streaming(served)) for _ in range(LIMITS.n_connections - 1)]
        said = [reason_of(stream) for stream in reversed(streams)]
        assert [("busy" in one, "no hop of sound" in one) for one in said] == [(True, False)] * 5 + [(False, True)] * 2
    with streaming(served) as stream:
        stream.send(bytes(32_000))
        assert '"end_s":1.0' in reason_of(stream)


@pytest.mark.parametrize("piece", [b"", b"ab"])
def test_a_stream_of_next_to_nothing_ends(served, piece):
    with streaming(served) as stream:
        end = time.monotonic() + PATIENCE_S
        with suppress(ConnectionClosed):
            while time.monotonic() < end:
                stream.send(piece)
                time.sleep(0.02)
        assert time.monotonic() < end


def test_patience_with_a_stream_is_renewed_by_its_sound(served):
    with streaming(served) as stream:
        for n in range(1, 5):
            time.sleep(IDLE_S / 2)
            stream.send(bytes(32_000))
            assert f'"end_s":{n}.0' in reason_of(stream)


def test_a_giant_message_ends_its_stream_alone(served):
    with streaming(served) as other, streaming(served) as stream:
        with suppress(ConnectionClosed):
            stream.send(bytes(2**22))
        assert reason_of(stream) == "1009"
        other.send(bytes(32_000))
        assert '"end_s":1.0' in reason_of(other)


def test_a_stream_that_only_pings_and_never_reads_is_cut_off(served):
    """Each ping would be answered, and each answer kept."""
    asked = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'A' * 22}==",
    )
    head = "\r\n".join(("GET /api/stream HTTP/1.1", f"Host: {served.host}", *asked, "", ""))
    with served.raw(head.encode()) as raw:
        assert raw.recv(2**12).startswith(b"HTTP/1.1 101")
        ping, kept = (b"\x89\xfd" + bytes(4) + bytes(125)) * 500, []
        raw.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            while len(kept) < 2000:
                raw.sendall(ping)
                kept.append(served.n_kept)
        assert 2**16 < max(kept) < 2**19
        raw.settimeout(10)
        time.sleep(2 * IDLE_S)
        with pytest.raises(ConnectionError):
            for _ in itertools.count():
                raw.sendall(ping)
