"""The service under load: every answer right or refused in the documented manner, and bounded, whoever asks."""

import asyncio
import threading
import time

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from fakevoice.audio.read import read_audio
from tests.support.load import RATE, Load
from tests.support.serving import serving

MB = 10**6
MAX_GROWTH_MB = 200  # of places times a request, whatever the number of requests


@pytest.fixture(scope="module")
def sounds(finished_run, tmp_path_factory):
    """Clips, a recording of a minute, and what is none."""
    folder = tmp_path_factory.mktemp("sounds")
    files = sorted((finished_run.paths.raw / "test").iterdir())[:6]
    waves = [read_audio(file, RATE).waveform for file in files]
    for n, wave in enumerate(waves):
        soundfile.write(folder / f"short{n}.wav", wave[: 3 * RATE], RATE, subtype="PCM_16")
    soundfile.write(folder / "long.flac", np.resize(np.concatenate(waves), 60 * RATE), RATE)
    (folder / "text.wav").write_text("hello")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "cut.flac").write_bytes((folder / "long.flac").read_bytes()[:30])
    short = sorted(folder.glob("short*"))
    return {"short": short, "long": [folder / "long.flac"], "unreadable": [folder / name for name in BAD]}


BAD = ("text.wav", "empty.wav", "cut.flac")


class Watched:
    """The memory of a process and its children over time."""

    def __init__(self, process: psutil.Process):
        self.process, self.mb, self.is_over = process, [], threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watched":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        self.thread.join()

    def now_mb(self) -> float:
        family = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / MB

    def _look(self) -> None:
        while not self.is_over.wait(0.2):
            self.mb.append(self.now_mb())


@pytest.mark.parametrize(
    ("n_clients", "duration_s"), [(16, 3), pytest.param(64, 60, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_many_clients_at_once(finished_run, sounds, tmp_path, n_clients, duration_s):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with serving(finished_run.home, TMPDIR=str(folder)) as service:
        load, process = Load(service.url, sounds), psutil.Process(service.process.pid)
        asyncio.run(load.learn())
        n_files, n_threads, alone_mb = process.num_fds(), process.num_threads(), Watched(process).now_mb()
        with Watched(process) as watched:
            asyncio.run(load.run(n_clients, duration_s))
        print(f"\n{n_clients} clients, {duration_s} s\n{load.table()}")
        print(f"MB: alone {alone_mb:.0f}, most {max(watched.mb):.0f}, at the end {watched.mb[-1]:.0f}")
        assert not load.wrong and all(load.seconds.values())
        assert max(watched.mb) < alone_mb + MAX_GROWTH_MB
        assert process.num_threads() <= n_threads + 40  # as many as wait for work at most
        at_once(service.url)
        assert eventually(lambda: process.num_fds() <= n_files) and not process.children()
        assert not list(folder.iterdir())
        code, errors = service.end()
    assert code == 143 and "Traceback" not in errors


def at_once(url: str) -> None:
    """It answers as soon as the load is over."""
    start = time.monotonic()
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("healthz").status_code == 200
    assert time.monotonic() - start < 2


def eventually(holds, seconds: float = 15) -> bool:
    """Whether something becomes true within some seconds, in which connections that were kept are closed."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return held
