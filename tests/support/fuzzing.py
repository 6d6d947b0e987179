"""Damage drawn by Hypothesis, and what must hold whatever is damaged: a right answer, or an error of this project."""

import random
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, given, settings, strategies

from fakevoice.core.errors import FakevoiceError

EXTREME = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\0\0\0\1")
# fmt: off
TOKENS = (
    "", " ", "\n", "\r", "\t", ",", ",,", ":", "=", "-", "'", '"', "[", "]", "{", "}", "#", "|", ">", "&a", "*a", "!!x",
    "null", "~", "true", "no", "0", "-1", "1e999", ".nan", ".inf", "nan", "9" * 40, "0x1f", "1_000", "2026-01-01", "a",
    "[1, 2]", "{a: b}", "{}", "[]", "${seed}", "${oc.env:HOME}", "${", "???", "\0", "\ufeff", "\x85", "목소리", "id",
    "extends", "name", "../x", "/etc", "a" * 300, "1:2:3", "<<", "%s", "\\", "\u2028", "real", "fake", ".", "a.b=c",
)
# fmt: on
HEALTH = list(HealthCheck)
GROWTH_KIB = 200_000  # of the process over all cases of a test, libraries included


def damaged(content: bytes, draw: random.Random) -> bytes:
    """One to three of: a bit turned, an extreme number, a cut, a hole, a block twice, noise in between."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(min(draw.choice((64, 400, 10**9)), len(found) or 1))  # headers are hit most
        n_bytes = draw.choice((1, 4, 64, 1000))
        match draw.randrange(6):
            case 0 if found:
                found[start] ^= 1 << draw.randrange(8)
            case 1:
                value = draw.choice(EXTREME)
                found[start : start + len(value)] = value
            case 2:
                del found[draw.choice((start, len(found) - min(n_bytes, len(found)))) :]
            case 3:
                del found[start : start + n_bytes]
            case 4:
                found[start:start] = found[start : start + n_bytes]
            case _:
                found[start:start] = draw.randbytes(n_bytes)
    return bytes(found)


def garbled(text: str, draw: random.Random) -> str:
    """One to three of: a token in the place of some characters, between them, a line gone, twice or elsewhere."""
    for _ in range(draw.randint(1, 3)):
        place, token = draw.randrange(len(text) + 1), draw.choice(TOKENS)
        lines = text.splitlines(keepends=True) or [""]
        line, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        match draw.randrange(5):
            case 0:
                text = text[:place] + token + text[place + draw.choice((1, 2, 5, 20)) :]
            case 1:
                text = text[:place] + token + text[place:]
            case 2:
                text = "".join(lines[:line] + lines[line + 1 :])
            case 3:
                text = "".join([*lines[:other], lines[line], *lines[other:]])
            case _:
                text = "".join(lines[:line]) + lines[line].replace(draw.choice(lines[line].split() or ["x"]), token)
                text += "".join(lines[line + 1 :])
    return text


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread where something takes longer."""

    def stop(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def survives(name: str, n_cases: int, case: Callable[[random.Random], object], case_s: float = 30.0) -> Counter:
    """Run a case with decisions drawn by Hypothesis, which shrinks those that fail; each returns or raises our errors.

    Returns:
        How many returned, and how many raised each error.
    """
    counts, start_kib = Counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=n_cases, deadline=None, derandomize=True, database=None, suppress_health_check=HEALTH)
    @given(strategies.randoms(use_true_random=False))
    def survives_one(draw: random.Random) -> None:
        try:
            with time_limit(case_s):
                case(draw)
            counts["right"] += 1
        except FakevoiceError as error:
            assert str(error).strip(), f"{name}: an error without a message"
            counts[type(error).__name__] += 1

    survives_one()
    growth_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kib
    print(f"{name}: {n_cases} cases, {dict(counts)}, {growth_kib / 1000:.0f} MB more")
    assert growth_kib < GROWTH_KIB, name
    return counts
