"""Data at a URL: an S3 server on this machine, which can be told to fail, and a web server."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.cli import command_line
from fakevoice.core import remote
from fakevoice.core.artifacts import TEMPORARY, checksum
from fakevoice.core.config import REPOSITORY, Config, load_config
from fakevoice.core.download import download, local_folder
from fakevoice.core.errors import ConfigError, RemoteError
from fakevoice.core.paths import data_folder, data_url, paths
from fakevoice.data import audit
from fakevoice.pipeline.runner import run_pipeline, stale_stages

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

ROOT = "s3://bucket/data"
URL = f"{ROOT}/voices"
KEYS = {"AWS_ACCESS_KEY_ID": "testing-id", "AWS_SECRET_ACCESS_KEY": "testing-secret", "AWS_DEFAULT_REGION": "us-east-1"}
N_CLIPS = 12
RATE = 16_000


class Server:
    """moto's S3, with a list of what was asked, and what it answers instead.

    Attributes:
        asked: method and path of each request since `forget`.
        failing: end of the path → answers that come first; "" fits every path.
        delay_s: before each answer.
    """

    def __init__(self):
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").disabled = True
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.forget()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def forget(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failing: dict[str, list[tuple[str, str]]] = {}
        self.delay_s = 0.0

    def fetched(self) -> list[str]:
        """Names below `URL` of the files that were asked for."""
        return [path.removeprefix("/bucket/data/voices/") for method, path in self.asked if path.count("/") > 1]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environment: dict, start):
        path = environment["PATH_INFO"]
        self.asked.append((environment["REQUEST_METHOD"], path))
        time.sleep(self.delay_s)
        for ending, answers in self.failing.items():
            if path.endswith(ending) and answers:
                status, code = answers.pop(0)
                start(status, [("Content-Type", "application/xml")])
                if environment["REQUEST_METHOD"] == "HEAD":
                    return []
                return [f"<Error><Code>{code}</Code><Message>{code} indeed</Message></Error>".encode()]
        return self._moto(environment, start)


BUSY = ("503 Slow Down", "SlowDown")
BROKEN = ("500 Internal Server Error", "InternalError")
DENIED = ("403 Forbidden", "AccessDenied")


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    server = Server()
    yield server
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def server(own_server, monkeypatch) -> Iterator[Server]:
    """The server with nothing in its bucket, and an environment that leads to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": own_server.url, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.001)
    afresh()
    own_server.forget()
    bucket = s3fs.S3FileSystem(use_listings_cache=False)
    if bucket.exists("bucket"):
        bucket.rm("bucket", recursive=True)
    bucket.mkdir("bucket")
    yield own_server
    afresh()


def read(url: str, name: str, size: int) -> bytes:
    return b"".join(remote.read_blocks(url, name, size))


def afresh() -> None:
    """Forget clients with their credentials, as a new process does."""
    remote._opened.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def upload(folder: Path, to: str = "bucket/data/voices") -> None:
    s3fs.S3FileSystem(use_listings_cache=False).put(f"{folder}/", f"{to}/", recursive=True)


def put(name: str, content: bytes) -> None:
    s3fs.S3FileSystem(use_listings_cache=False).pipe_file(f"bucket/data/voices/{name}", content)


def make_competition(folder: Path) -> Path:
    """DACON's layout: tables beside short clips of noise."""
    rng, rows = np.random.default_rng(0), []
    for split in ("train", "test", "unlabeled_data"):
        (folder / split).mkdir(parents=True)
        for index in range(N_CLIPS):
            path = f"{split}/{split[:4]} {index:02d}#.wav"
            soundfile.write(folder / path, rng.normal(0, 0.1, RATE // 4), RATE)
            rows.append((f"{split}{index}", path, split, "fake" if index % 2 else "real"))
    clips = pd.DataFrame(rows, columns=["id", "path", "split", "label"])
    train, test = clips[clips["split"] == "train"], clips[clips["split"] == "test"]
    train[["id", "path", "label"]].to_csv(folder / "train.csv", index=False)
    test[["id", "path"]].to_csv(folder / "test.csv", index=False)
    test[["id"]].assign(fake=0.5, real=0.5).to_csv(folder / "sample_submission.csv", index=False)
    return folder


@pytest.fixture
def competition(tmp_path) -> Path:
    return make_competition(tmp_path / "data" / "voices")


def at(home: Path, monkeypatch, root: str, *words: str) -> Config:
    monkeypatch.setenv("FAKEVOICE_HOME", str(home))
    return load_config("voices", [f"data.root={root}", *words])


def prepared(config: Config) -> dict[str, str]:
    """File → checksum of what the stage has written."""
    files = [file for file in paths(config).stage("prepare").iterdir() if file.name != "manifest.json"]
    return {file.name: checksum(file) for file in files}


def test_a_listing_and_a_file(server, competition):
    upload(competition)
    server.forget()
    files = remote.list_files(URL)
    assert len(server.asked) == 1
    assert {name: size for name, (size, _) in files.items()} == {
        path.relative_to(competition).as_posix(): path.stat().st_size
        for path in competition.rglob("*")
        if path.is_file()
    }
    server.forget()
    name = "train/trai 00#.wav"
    assert read(URL, name, files[name][0]) == (competition / name).read_bytes()
    assert server.asked == [("GET", f"/bucket/data/voices/{name}")]  # one request per file


@pytest.mark.parametrize("answer", [BUSY, BROKEN])
def test_what_may_pass_is_tried_again(server, answer):
    put("a.wav", b"sound")
    server.failing[""] = [answer] * 3
    assert remote.list_files(URL).keys() == {"a.wav"}
    server.failing["a.wav"] = [answer] * (remote.N_TRIES - 1)
    assert read(URL, "a.wav", 5) == b"sound"


def test_pauses_grow(server, monkeypatch):
    put("a.wav", b"sound")
    pauses = []
    monkeypatch.setattr(remote.time, "sleep", pauses.append)
    server.failing["a.wav"] = [BUSY] * 5
    read(URL, "a.wav", 5)
    monkeypatch.undo()
    pauses = [pause for pause in pauses if pause]  # the server's are none
    assert len(pauses) == 5
    assert all(0.5 <= pause / (0.001 * 2**n) <= 1 for n, pause in enumerate(pauses))


def test_a_server_that_stays_busy_is_named(server):
    put("a.wav", b"sound")
    server.forget()
    server.failing["a.wav"] = [BUSY] * 99
    with pytest.raises(RemoteError, match=r"s3://bucket/data/voices/a\.wav: cannot be reached.*SlowDown indeed"):
        read(URL, "a.wav", 5)
    assert len(server.asked) == remote.N_TRIES


@pytest.mark.parametrize(
    ("name", "reason"), [("a.wav", "access denied; set AWS_ACCESS_KEY_ID and"), ("none.wav", "no such bucket, folder")]
)
def test_a_refusal_is_not_retried(server, name, reason):
    put("a.wav", b"sound")
    server.forget()
    server.failing["a.wav"] = [DENIED] * 99
    with pytest.raises(RemoteError, match=f"^{URL}/{name}: {reason}"):
        read(URL, name, 5)
    assert server.fetched() == [name]


def refusal(url: str = URL) -> str:
    with pytest.raises(RemoteError) as caught:
        remote.list_files(url)
    return str(caught.value)


def test_without_credentials(server, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert refusal().startswith(
        f"{URL}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )


def test_with_wrong_credentials(server):
    def look_at_keys_after(n_requests: str) -> None:
        headers = {"Content-Type": "text/plain"}
        ask = Request(f"{server.url}/moto-api/reset-auth", n_requests.encode(), headers, method="POST")
        urlopen(ask).close()

    look_at_keys_after("0")
    server.forget()
    try:
        message = refusal()
        assert len(server.asked) == 1
    finally:
        look_at_keys_after("inf")
    assert message.startswith(f"{URL}: access denied; set AWS_ACCESS_KEY_ID and")
    assert "testing" not in message


def test_without_a_bucket_or_a_folder(server, tmp_path):
    assert refusal("s3://nobucket/data") == "s3://nobucket/data: no such bucket, folder or file; is the name right?"
    with pytest.raises(RemoteError, match="s3://bucket/nothing: holds no files"):
        download(tmp_path, "s3://bucket/nothing", 1)


def test_without_a_network(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert refusal().startswith(f"{URL}: cannot be reached (EndpointConnectionError")


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("az", "adlfs"), ("s3", "s3fs")])
def test_without_the_client(scheme, package, monkeypatch):
    remote._opened.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    with pytest.raises(ConfigError, match=f"the client of {scheme}:// is not installed: pip install {package}"):
        remote.list_files(f"{scheme}://bucket/x")


def test_an_unknown_scheme():
    with pytest.raises(ConfigError, match="foo://bucket: Protocol not known: foo"):
        remote.list_files("foo://bucket")


def test_prepare_gives_the_same_bytes_and_a_second_run_downloads_nothing(server, competition, tmp_path, monkeypatch):
    upload(competition)
    local = at(tmp_path / "local", monkeypatch, str(competition.parent))
    assert run_pipeline(local, "prepare")
    expected = prepared(local)
    config = at(tmp_path / "home", monkeypatch, ROOT)
    server.forget()
    assert run_pipeline(config, "prepare")
    assert prepared(config) == expected
    assert sorted(server.fetched()) == sorted(remote.list_files(URL))  # each once
    server.forget()
    assert not run_pipeline(config, "prepare")
    assert server.fetched() == [] and len(server.asked) == 1
    assert run_pipeline(config, "prepare", force="prepare") and server.fetched() == []
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in files if b"testing-secret" in path.read_bytes()]


def test_one_changed_object_is_downloaded_alone(server, competition, tmp_path, monkeypatch):
    upload(competition)
    config = at(tmp_path / "home", monkeypatch, ROOT)
    run_pipeline(config, "prepare")
    before, name = prepared(config), "test/test 03#.wav"
    put(name, (competition / "test/test 03#.wav").read_bytes())  # the same again, at a later time
    assert dict(stale_stages(config))["prepare"] == ""
    put(name, (competition / "test/test 04#.wav").read_bytes())  # of the same size
    assert dict(stale_stages(config))["prepare"] == "input raw changed"
    server.forget()
    assert run_pipeline(config, "prepare")
    assert server.fetched() == [name]
    changed = {file for file, content in prepared(config).items() if content != before[file]}
    assert changed == {"audit.csv", "fingerprints.npy", "raw.csv"}


def test_a_deleted_download_makes_prepare_stale_and_comes_back(server, competition, tmp_path, monkeypatch):
    upload(competition)
    config = at(tmp_path / "home", monkeypatch, ROOT)
    run_pipeline(config, "prepare")
    before = prepared(config)
    (paths(config).raw / "test/test 03#.wav").unlink()
    assert dict(stale_stages(config))["prepare"] == "input raw changed"
    server.forget()
    assert run_pipeline(config, "prepare")
    assert server.fetched() == ["test/test 03#.wav"] and prepared(config) == before
    shutil.rmtree(tmp_path / "home" / "data_cache")
    assert run_pipeline(config, "prepare") and prepared(config) == before


def test_what_changes_during_a_run_makes_the_next_one_stale(server, competition, tmp_path, monkeypatch):
    upload(competition)
    config, check = at(tmp_path / "home", monkeypatch, ROOT), audit.check_duplicates

    def changed_meanwhile(*tables):
        put("test/test 03#.wav", (competition / "test/test 04#.wav").read_bytes())
        return check(*tables)

    monkeypatch.setattr(audit, "check_duplicates", changed_meanwhile)
    run_pipeline(config, "prepare")
    assert dict(stale_stages(config))["prepare"] == "input raw changed"


def test_a_moved_bucket_gives_the_same_artifacts(server, competition, tmp_path, monkeypatch):
    upload(competition)
    config = at(tmp_path / "home", monkeypatch, ROOT)
    run_pipeline(config, "prepare")
    before = prepared(config)
    upload(competition, "bucket/elsewhere/voices")
    moved = at(tmp_path / "home", monkeypatch, "s3://bucket/elsewhere/")
    assert run_pipeline(moved, "prepare")
    assert prepared(moved) == before


def test_a_denied_file_ends_the_download_which_continues_later(server, competition, tmp_path, monkeypatch):
    upload(competition)
    config = at(tmp_path / "home", monkeypatch, ROOT, "on_error=mark")
    server.failing["train/trai 01#.wav"] = [DENIED]
    with pytest.raises(RemoteError, match=f"^{URL}/train/trai 01#.wav: access denied; set AWS_ACCESS"):
        run_pipeline(config, "prepare")
    assert run_pipeline(config, "prepare")


def test_killed_in_the_middle(server, competition, tmp_path, monkeypatch):
    upload(competition)
    local = at(tmp_path / "local", monkeypatch, str(competition.parent))
    run_pipeline(local, "prepare")
    expected = prepared(local)
    config, server.delay_s = at(tmp_path / "home", monkeypatch, ROOT), 0.1
    raw = paths(config).raw
    words = [sys.executable, "-m", "fakevoice", "prepare", "--config", "voices", f"data.root={ROOT}"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(raw.glob("train/trai*.wav")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    whole = [path for path in raw.rglob("*.wav") if not path.name.startswith(TEMPORARY)]
    assert 0 < len(whole) < 3 * N_CLIPS
    for path in whole:
        assert path.read_bytes() == (competition / path.relative_to(raw)).read_bytes()
    server.forget()
    assert run_pipeline(config, "prepare")
    assert prepared(config) == expected
    assert {path.relative_to(raw).as_posix() for path in whole}.isdisjoint(server.fetched())
    assert not [path for path in raw.rglob("*") if path.name.startswith(TEMPORARY)]


def test_a_competition_that_is_too_large_is_refused_before_anything_is_downloaded(
    server, competition, tmp_path, monkeypatch
):
    upload(competition)
    config = at(tmp_path / "home", monkeypatch, ROOT, "data.cache_gb=8e-5")
    server.forget()
    message = rf"^{URL}: 0\.000\d+ GB of files, and data.cache_gb=8e-05 allows 8e-05 GB$"
    with pytest.raises(RemoteError, match=message):
        run_pipeline(config, "prepare")
    assert server.fetched() == [] and not paths(config).raw.exists()


def test_the_command_line(server, competition, tmp_path, monkeypatch, capsys):
    upload(competition)
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command_line.main(["prepare", f"data.root={ROOT}"]) == 2
        assert f"data at {ROOT}: choose the competition with --config NAME" in capsys.readouterr().err
        assert command_line.main(["prepare", "--config", "voices", f"data.root={ROOT}"]) == 0
        assert f"voices/default, data in {URL}\n" in capsys.readouterr().out
        monkeypatch.setenv("FAKEVOICE_DATA", ROOT)
        assert command_line.main(["prepare", "--config", "voices"]) == 0
        assert "everything is up to date" in capsys.readouterr().out
        assert command_line.main(["predict", "--config", "voices", f"{URL}/x=1/"]) == 1
        assert f"{URL}/x=1: holds no files" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_password_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    secret = "https://me:hush@127.0.0.1:1/data"
    with pytest.raises(ConfigError, match=r"data\.root=https://me@127\.0\.0\.1:1/data: no password here") as caught:
        paths(load_config("voices", [f"data.root={secret}"]))
    assert "hush" not in str(caught.value)
    monkeypatch.setenv("FAKEVOICE_DATA", secret)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.001)
    config = load_config("voices")
    assert data_url(config) == f"{secret}/voices"
    with pytest.raises(RemoteError, match=r"https://me@127.*: cannot be reached") as caught:
        run_pipeline(config, "prepare")
    assert "hush" not in str(caught.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"hush" in file.read_bytes()]


def test_a_client_that_tells_the_password_is_not_repeated(monkeypatch):
    class Talking:
        def cat_file(self, path, **limits):
            raise ConnectionError("lost https://me:hush@host/data/a.wav")

    monkeypatch.setattr(remote, "_opened", lambda url: (Talking(), "root"))
    monkeypatch.setattr(remote, "N_TRIES", 1)
    with pytest.raises(RemoteError, match=r"^https://me@host/data/a\.wav: cannot be reached.*me:\*\*\*@host") as caught:
        read("https://me:hush@host/data", "a.wav", 1)
    assert "hush" not in str(caught.value)


def test_no_file_of_a_download_holds_the_password(tmp_path, monkeypatch):
    url = "https://me:hush@host/data/voices"
    monkeypatch.setattr(remote, "list_files", lambda url: {"a.wav": (5, "1")})
    monkeypatch.setattr(remote, "read_blocks", lambda *_: iter([b"sound"]))
    folder = download(tmp_path, url, 1)
    assert (folder / "a.wav").read_bytes() == b"sound" and folder == local_folder(
        tmp_path, "https://me@host/data/voices"
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hush" in path.read_bytes() or "hush" in str(path)]


def test_a_web_server_that_lists(competition, tmp_path, monkeypatch):
    """Python's own, of which directory pages and dates are all that is known."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    local = at(tmp_path / "local", monkeypatch, str(competition.parent))
    run_pipeline(local, "prepare")
    expected, handler = prepared(local), partial(SilentHandler, directory=competition.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        config = at(tmp_path / "home", monkeypatch, f"http://127.0.0.1:{web.server_address[1]}/")
        run_pipeline(config, "prepare")
        assert prepared(config) == expected
        assert not run_pipeline(config, "prepare")
        os.utime(competition / "train.csv", (1, 1))
        assert dict(stale_stages(config))["prepare"] == "input raw changed"
        monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.001)
        monkeypatch.setattr(SilentHandler, "broken", "/voices/test/")
        with pytest.raises(RemoteError, match="cannot be reached"):  # and not that it holds fewer files
            remote.list_files(data_url(config))
        afresh()
        web.shutdown()


class SilentHandler(SimpleHTTPRequestHandler):
    """It says nothing of what it was asked.

    Attributes:
        broken: a path whose every answer is an error.
    """

    broken = ""

    def do_GET(self) -> None:
        self.send_error(500) if self.path == self.broken else super().do_GET()

    def log_message(self, *_) -> None:
        pass


@pytest.mark.parametrize("text", ["s3://b/x", "gs://b", "memory://x", "https://h/x"])
def test_urls(text):
    assert remote.is_url(text)


@pytest.mark.parametrize("text", ["/s3://b", "data", "file:///data", "a=s3://b", "C:/x", "S3", ""])
def test_no_urls(text):
    assert not remote.is_url(text)


def test_a_file_url_is_a_path_of_this_machine(tmp_path, monkeypatch):
    config = at(tmp_path / "home", monkeypatch, f"file://{tmp_path}/data")
    assert paths(config).raw == tmp_path / "data" / "voices" and data_url(config) == ""
    monkeypatch.setenv("FAKEVOICE_DATA", f"file://{tmp_path}/other")
    assert data_folder() == tmp_path / "other"
    assert paths(config).raw == tmp_path / "data" / "voices"  # data.root wins


def test_the_demo_lies_at_home_whatever_is_configured(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    config = load_config("demo", [f"data.root={ROOT}"])
    assert paths(config).raw == tmp_path / "data" / "demo" and data_url(config) == ""


def test_where_data_lies_is_in_no_artifact():
    config = load_config("voices", [f"data.root={ROOT}", "data.cache_gb=1"])
    assert config.model_dump() == load_config("voices").model_dump()


def test_paths_of_a_url_need_no_client():
    code = (
        "import sys; from fakevoice.core.config import load_config; from fakevoice.core.paths import paths; "
        f"print(paths(load_config('voices', ['data.root={ROOT}'])).raw); "
        "print([name for name in ('fsspec', 's3fs', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY / "src")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
