"""The exception of a signal ends an encoder or decoder, whenever it arrives."""

import signal
import time

import numpy as np
import pytest

from fakevoice.audio.encode import encode, through_codec
from fakevoice.audio.read import read_pcm

RATE = 16_000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
CALLS = {
    "encode": lambda: encode(NOISE, RATE, format="OGG", subtype="VORBIS"),
    "through_codec": lambda: through_codec(NOISE, RATE, format="OGG", subtype="VORBIS"),
    "read_pcm": lambda: read_pcm((30_000 * np.tile(NOISE, 20)).astype("<i2").tobytes(), RATE, 1, 8_000),
}


class StoppedError(Exception):
    """Raised by the signal handler."""


@pytest.mark.parametrize("call", CALLS)
def test_a_signal_is_not_lost_in_a_callback(call):
    def stop(*_):
        raise StoppedError

    work = CALLS[call]
    start = time.perf_counter()
    work()
    duration_s = time.perf_counter() - start
    n_fired = 0
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for share in np.linspace(0.1, 0.9, 12):
            try:
                signal.setitimer(signal.ITIMER_REAL, share * duration_s)
                work()
                assert signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0, "the signal came and was ignored"
            except StoppedError:
                n_fired += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert n_fired


def test_bytes_are_those_of_a_file(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.flac", NOISE, RATE)
    assert encode(NOISE, RATE, format="FLAC") == (tmp_path / "a.flac").read_bytes()
