"""Audio files of every kind that a raw folder may hold, and what is expected of each; the same bytes each time.

``good`` files are decoded, ``bad`` ones are refused with a reason that says a certain word, and ``either`` is what
decoders may see differently.
"""

import io
import os
import socket
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

RATE_HZ = 16_000
GOOD, BAD, EITHER = "good", "bad", "either"
LONGEST_NAME = 255  # bytes
QUICK_EACH = 8  # of the kinds that are many, one in so many is in the quick zoo


@dataclass(frozen=True)
class Specimen:
    """One file.

    Attributes:
        name: its path below the zoo's folder.
        kind: what it is a specimen of.
        put: makes it at a path, whose folder is there.
        expected: what reading it gives.
        reason: a part of what is said of a bad one.
        is_quick: belongs to the zoo of every test run.
        is_same: holds `voice(name)` at 16 kHz, as well as its coding can.
    """

    name: str
    kind: str
    put: Callable[[Path], object]
    expected: Literal["good", "bad", "either"]
    reason: str = ""
    is_quick: bool = True
    is_same: bool = False


def voice(name: str, duration_s: float = 1.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A waveform (n_samples,) float32 of harmonics that no other name has: no two files hold the same."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    hz, phases = rng.uniform(120, 240), rng.uniform(0, 6, 5)
    tones = sum(np.sin(2 * np.pi * n * hz * time_s + phase) / n for n, phase in enumerate(phases, 1))
    return (0.15 * tones * (1 + 0.5 * np.sin(2 * np.pi * 4 * time_s))).astype(np.float32)


def zoo(folder: Path, *, is_quick: bool) -> list[Specimen]:
    """Make the files below a folder, which is made too.

    Args:
        is_quick: about a third of them, with every lie that a header can tell.
    """
    specimens = [specimen for specimen in all_specimens() if specimen.is_quick or not is_quick]
    for specimen in specimens:
        path = folder / specimen.name
        path.parent.mkdir(parents=True, exist_ok=True)
        specimen.put(path)
    return specimens


def all_specimens() -> list[Specimen]:
    """Every specimen; their names differ in more than their extensions."""
    sounds = [replace(specimen, is_quick=number % 2 == 0) for number, specimen in enumerate(samples())]
    makers = (containers, byte_orders, header_lies, cuts, flips, not_audio, special_files, names)
    return sounds + [specimen for maker in makers for specimen in maker()]


# What libsndfile writes.

UNWRITABLE = {("AIFF", "DWVW_12"), ("MP3", "MPEG_LAYER_I"), ("MP3", "MPEG_LAYER_II"), ("WAV", "MPEG_LAYER_III")}
OTHER_RATE = {("VOC", "PCM_U8"), ("WVE", "ALAW"), ("XI", "DPCM_16"), ("XI", "DPCM_8")}  # whatever one asks for
NO_HEADER = {"RAW": "cannot be decoded", "SD2": "cannot be decoded"}  # SD2 keeps its header in another file
UNREADABLE = {("AIFF", "DWVW_16"), ("AIFF", "DWVW_24")}  # libsndfile fails to find its own file's end
BOTH_ORDERS = ("WAV", "AIFF", "AU", "CAF", "IRCAM", "PAF", "NIST", "MAT4", "MAT5")


def written(name: str, **how: str) -> bytes:
    """The bytes of a file that holds `voice(name)`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "written")
        soundfile.write(path, voice(name), RATE_HZ, **how)
        return path.read_bytes()


def containers() -> Iterator[Specimen]:
    """Every container and subtype that libsndfile writes."""
    known = [(format, subtype) for format in soundfile.available_formats() for subtype in _subtypes(format)]
    for number, (format, subtype) in enumerate(pair for pair in known if pair not in UNWRITABLE):
        name = f"container/{format.lower()}-{subtype.lower()}.{format.lower()}"
        reason = NO_HEADER.get(format, "cannot be decoded" if (format, subtype) in UNREADABLE else "")
        put, is_quick = _saver(name, format=format, subtype=subtype), number % QUICK_EACH == 0
        same = not reason and (format, subtype) not in OTHER_RATE
        yield Specimen(name, "container", put, BAD if reason else GOOD, reason, is_quick, same)


def _subtypes(format: str) -> list[str]:
    return list(soundfile.available_subtypes(format))


def byte_orders() -> Iterator[Specimen]:
    """Containers that come in both byte orders."""
    for format in BOTH_ORDERS:
        for order in ("LITTLE", "BIG"):
            if soundfile.check_format(format, "PCM_16", order):
                name = f"order/{format.lower()}-{order.lower()}.{format.lower()}"
                put = _saver(name, format=format, subtype="PCM_16", endian=order)
                yield Specimen(name, "byte order", put, GOOD, is_quick=format == "WAV", is_same=True)


def _saver(name: str, **how: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(written(name, **how))


def _bytes(name: str, kind: str, content: bytes, expected: str, reason: str = "", **more: bool) -> Specimen:
    return Specimen(name, kind, lambda path: path.write_bytes(content), expected, reason, **more)


# Headers that lie.


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a RIFF file, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(name: str, *, riff: int | None = None, data: int | None = None, before: bytes = b"", **layout: int) -> bytes:
    """A WAV of `voice(name)` in 16 bits.

    Args:
        riff, data: the lengths that the header gives, in bytes; the true ones if None.
        before: chunks before the samples.
        layout: tag, channels, rate, bytes_per_s, block and bits, where the header gives others.
    """
    said = {"tag": 1, "channels": 1, "rate": RATE_HZ, "bytes_per_s": 2 * RATE_HZ, "block": 2, "bits": 16} | layout
    samples = (voice(name) * 32767).astype("<i2").tobytes()
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", *said.values())) + before
    body += b"data" + struct.pack("<I", len(samples) if data is None else data) + samples
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


N_DATA = 2 * RATE_HZ  # bytes that such a WAV holds
THREE_HOURS = 3 * 3600 * 2 * RATE_HZ
WAV_LIES: dict[str, tuple[str, str, dict]] = {
    "true": (GOOD, "", {}),
    "riff-0": (GOOD, "", {"riff": 0}),
    "riff-1": (GOOD, "", {"riff": 1}),
    "riff-half": (GOOD, "", {"riff": N_DATA // 2}),
    "riff-double": (GOOD, "", {"riff": 2 * N_DATA}),
    "riff-4gb": (GOOD, "", {"riff": 2**32 - 1}),
    "data-0": (GOOD, "", {"data": 0}),
    "data-1": (GOOD, "", {"data": 1}),
    "data-half": (GOOD, "", {"data": N_DATA // 2}),
    "data-odd": (GOOD, "", {"data": N_DATA - 1}),
    "data-one-more": (GOOD, "", {"data": N_DATA + 2}),
    "data-double": (GOOD, "", {"data": 2 * N_DATA}),
    "data-2gb": (GOOD, "", {"data": 2**31}),
    "data-4gb": (GOOD, "", {"data": 2**32 - 2}),
    "data-streamed": (GOOD, "", {"data": 2**32 - 1, "riff": 2**32 - 1}),
    "data-3h": (GOOD, "", {"data": THREE_HOURS, "riff": THREE_HOURS + 36}),
    "rate-0": (BAD, "cannot be decoded", {"rate": 0}),
    "rate-1": (BAD, "impossible sample rate", {"rate": 1}),
    "rate-999": (BAD, "impossible sample rate", {"rate": 999}),
    "rate-1000": (GOOD, "", {"rate": 1000}),
    "rate-768000": (GOOD, "", {"rate": 768_000}),
    "rate-1m": (BAD, "impossible sample rate", {"rate": 1_000_000}),
    "rate-2gb": (BAD, "cannot be decoded", {"rate": 2**31}),
    "rate-4gb": (BAD, "cannot be decoded", {"rate": 2**32 - 1}),
    "bytes-per-s-0": (GOOD, "", {"bytes_per_s": 0}),
    "channels-0": (BAD, "cannot be decoded", {"channels": 0, "block": 0}),
    "channels-255": (GOOD, "", {"channels": 255, "block": 510}),
    "channels-65535": (BAD, "cannot be decoded", {"channels": 65535}),
    "block-0": (GOOD, "", {"block": 0}),
    "block-1": (GOOD, "", {"block": 1}),
    "block-7": (GOOD, "", {"block": 7}),
    "block-65535": (GOOD, "", {"block": 65535}),
    "bits-0": (BAD, "cannot be decoded", {"bits": 0}),
    "bits-1": (EITHER, "", {"bits": 1}),
    "bits-64": (BAD, "cannot be decoded", {"bits": 64}),
    "bits-65535": (BAD, "cannot be decoded", {"bits": 65535}),
    "tag-0": (BAD, "cannot be decoded", {"tag": 0}),
    "tag-mp3": (BAD, "cannot be decoded", {"tag": 0x55}),
    "tag-unknown": (BAD, "cannot be decoded", {"tag": 0x1234}),
    "chunks-before": (GOOD, "", {"before": chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"zoo")) + chunk(b"junk", b"7777")}),
    "chunk-4gb": (BAD, "cannot be decoded", {"before": b"junk" + struct.pack("<I", 2**32 - 2)}),
    "chunk-without-name": (EITHER, "", {"before": bytes(16)}),
    "fmt-twice": (EITHER, "", {"before": chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 8000, 32000, 4, 16))}),
}


def header_lies() -> Iterator[Specimen]:
    """Lengths, rates and layouts that are not those of the samples, in WAV and in other containers."""
    for lie, (expected, reason, layout) in WAV_LIES.items():
        name = f"lie/wav-{lie}.wav"
        yield _bytes(name, "header lie", wav(name, **layout), expected, reason, is_same=lie == "true")
    yield from _field_lies()


def _flac(n_frames: int, rate_hz: int = RATE_HZ) -> bytes:
    """Bytes 18 to 25 of a FLAC: rate, channels, bits, and the number of samples."""
    return ((rate_hz << 44) | (15 << 36) | n_frames).to_bytes(8, "big")


# Format → claim → where it stands (in bytes, or behind which word), what it says, and what is expected.
FIELDS: dict[str, dict[str, tuple[int | bytes, bytes, str, str]]] = {
    "FLAC": {
        "frames-0": (18, _flac(0), BAD, "how many samples"),
        "frames-1": (18, _flac(1), GOOD, ""),
        "frames-half": (18, _flac(RATE_HZ // 2), GOOD, ""),
        "frames-one-more": (18, _flac(RATE_HZ + 1), BAD, "cannot be decoded"),
        "frames-3h": (18, _flac(3 * 3600 * RATE_HZ), BAD, "cannot be decoded"),
        "frames-most": (18, _flac(2**36 - 1), BAD, "cannot be decoded"),
        "rate-0": (18, _flac(RATE_HZ, 0), BAD, "cannot be decoded"),
        "rate-1": (18, _flac(RATE_HZ, 1), BAD, "impossible sample rate"),
        "rate-most": (18, _flac(RATE_HZ, 655_350), GOOD, ""),
    },
    "MP3": {
        "frames-0": (21, bytes(4), EITHER, ""),
        "frames-3h": (21, struct.pack(">I", 3 * 3600 * RATE_HZ // 576), GOOD, ""),
        "frames-most": (21, b"\xff" * 4, GOOD, ""),
        "bytes-most": (25, b"\xff" * 4, GOOD, ""),
    },
    "AIFF": {
        "channels-0": (b"COMM\0\0\0\x12", bytes(2), BAD, "cannot be decoded"),
        "channels-most": (b"COMM\0\0\0\x12", b"\xff\xff", BAD, "cannot be decoded"),
        "frames-0": (b"COMM\0\0\0\x12\0\1", bytes(4), GOOD, ""),
        "frames-most": (b"COMM\0\0\0\x12\0\1", b"\xff" * 4, GOOD, ""),
        "data-0": (b"SSND", bytes(4), EITHER, ""),
        "data-most": (b"SSND", b"\xff" * 4, EITHER, ""),
    },
    "AU": {
        "data-0": (8, bytes(4), GOOD, ""),
        "data-2gb": (8, b"\x7f\xff\xff\xff", EITHER, ""),
        "data-streamed": (8, b"\xff" * 4, GOOD, ""),
        "offset-4gb": (4, b"\xff" * 4, BAD, "cannot be decoded"),
        "rate-0": (16, bytes(4), BAD, "cannot be decoded"),
        "rate-most": (16, b"\x7f\xff\xff\xff", BAD, "impossible sample rate"),
        "channels-0": (20, bytes(4), BAD, "cannot be decoded"),
        "channels-255": (20, b"\0\0\0\xff", GOOD, ""),
    },
    "CAF": {
        "data-0": (b"data", bytes(8), BAD, "cannot be decoded"),
        "data-most": (b"data", b"\x7f" + b"\xff" * 7, EITHER, ""),
        "data-minus": (b"data", b"\xff" * 8, EITHER, ""),
    },
    "W64": {"data-0": (b"data\xf3", bytes(8), EITHER, ""), "riff-most": (16, b"\xff" * 7 + b"\x7f", GOOD, "")},
    "RF64": {"data-0": (28, bytes(8), EITHER, ""), "data-most": (28, b"\xff" * 7 + b"\x7f", EITHER, "")},
    "VOC": {"block-most": (27, b"\xff" * 3, GOOD, ""), "block-0": (27, bytes(3), EITHER, "")},
    "SDS": {"frames-most": (12, b"\x7f" * 3, BAD, "")},
}


def _field_lies() -> Iterator[Specimen]:
    for format, claims in FIELDS.items():
        for claim, (where, value, expected, reason) in claims.items():
            name = f"lie/{format.lower()}-{claim}.{format.lower()}"
            content = bytearray(written(name, format=format))
            place = where if isinstance(where, int) else content.index(where) + len(where)
            content[place : place + len(value)] = value
            yield _bytes(name, "header lie", bytes(content), expected, reason)


# What is said, and how little or much of it.


def _sound(name: str, waveform: np.ndarray, expected: str, reason: str = "", **how) -> Specimen:
    rate_hz, kind = how.pop("rate_hz", RATE_HZ), how.pop("kind", "samples")
    layout = {"format": "WAV", "subtype": "FLOAT"} | how
    put = lambda path: soundfile.write(os.fspath(path), waveform, rate_hz, **layout)  # noqa: E731
    return Specimen(name, kind, put, expected, reason)


def samples() -> Iterator[Specimen]:
    """Samples that are no sound, little of it, and rates and channels of all kinds."""
    for label, value in {"nan": np.nan, "inf": np.inf, "minus-inf": -np.inf}.items():
        yield _sound(f"samples/{label}.wav", _with(f"samples/{label}", value), BAD, "NaN or infinite")
        wide = np.stack([voice(f"samples/{label}-2"), _with(f"samples/{label}-2", value)], axis=1)
        yield _sound(f"samples/{label}-in-one-channel.wav", wide, BAD, "NaN or infinite")
    for label, value in {"32768": 32768.0, "1e38": 1e38}.items():
        yield _sound(f"samples/huge-{label}.wav", _with(f"samples/{label}", value), BAD, "full scale is 1")
    doubles = np.where(np.arange(RATE_HZ) == 9, 1e300, voice("samples/1e300").astype(np.float64))
    yield _sound("samples/huge-1e300.wav", doubles, BAD, "NaN or infinite", subtype="DOUBLE")
    yield _sound("samples/tiny.wav", 1e-30 * voice("samples/tiny"), GOOD)
    for label, level in {"silence": 0.0, "dc": 0.25, "dc-full": 1.0, "dc-negative": -0.5}.items():
        for n_samples in (RATE_HZ, 8000 + 800 * len(label)):
            yield _sound(f"samples/{label}-{n_samples}.wav", np.full(n_samples, level, np.float32), GOOD)
    for format in ("WAV", "FLAC", "AIFF", "AU", "CAF", "OGG", "W64", "RF64"):
        no_samples, how = np.zeros(0, np.float32), {"format": format, "subtype": None}
        reason = "0 bytes" if format == "FLAC" else "0 samples"
        yield _sound(f"samples/none-{format.lower()}.{format.lower()}", no_samples, BAD, reason, **how)
    for n_samples in (1, 2, 3, 100, 319, 321):
        yield _sound(f"samples/only-{n_samples}.wav", voice(f"only-{n_samples}")[:n_samples] + 0.1, GOOD)
    for rate_hz in (1_000, 8_000, 11_025, 11_127, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000):
        sound = voice(f"rate-{rate_hz}", rate_hz=rate_hz)
        yield _sound(f"samples/at-{rate_hz}.wav", sound, GOOD, rate_hz=rate_hz)
    for n_channels in (2, 3, 6, 8, 32, 255):
        sound = np.stack([voice(f"channels-{n_channels}", 0.4)] * n_channels, axis=1)
        yield _sound(f"samples/{n_channels}-channels.wav", sound, GOOD)
    for gain in (1.0, 0.98):
        sound = voice(f"opposite-{gain}")
        yield _sound(f"samples/opposite-{gain * 100:.0f}.wav", np.stack([sound, -gain * sound], axis=1), GOOD)
    loud = np.clip(20 * voice("clipped"), -1, 1)
    yield _sound("samples/clipped.wav", loud, GOOD)


def _with(name: str, value: float) -> np.ndarray:
    waveform = voice(name)
    waveform[777] = value
    return waveform


# What a broken download or a bad disk leaves.

SHARES = (0.99, 0.7, 0.3, 0.05)
WHOLE_AGAIN = ("WAV", "AIFF", "AU", "W64", "RF64", "SVX", "VOC", "PVF", "IRCAM", "AVR", "MPC2K")


def cuts() -> Iterator[Specimen]:
    """Each of some containers, cut off at four places; what is there of plain samples is read."""
    for format in (*WHOLE_AGAIN, "FLAC", "OGG", "MP3", "CAF", "NIST", "SDS", "HTK"):
        for number, share in enumerate(SHARES):
            name = f"cut/{format.lower()}-{share}.{format.lower()}"
            whole = written(name, format=format)
            expected = {"FLAC": BAD, "SDS": BAD, "HTK": BAD, "OGG": BAD, "CAF": EITHER, "NIST": EITHER, "MP3": EITHER}
            quick = format in ("FLAC", "OGG", "MP3", "WAV") and number == 1
            yield _bytes(name, "cut", whole[: int(len(whole) * share)], expected.get(format, GOOD), is_quick=quick)


def flips() -> Iterator[Specimen]:
    """A bit turned in the samples, a run of zeros, a block twice."""
    for format in ("WAV", "AIFF", "AU", "FLAC", "OGG", "MP3"):
        for damage, change in {"bit": _bit, "zeros": _zeros, "block": _block}.items():
            name = f"flip/{format.lower()}-{damage}.{format.lower()}"
            expected = {"FLAC": BAD, "OGG": BAD, "MP3": EITHER}.get(format, GOOD)
            content = change(bytearray(written(name, format=format)))
            yield _bytes(name, "flip", content, expected, is_quick=damage == "bit")


def _bit(content: bytearray) -> bytes:
    content[len(content) * 2 // 3] ^= 4
    return bytes(content)


def _zeros(content: bytearray) -> bytes:
    start, n_bytes = len(content) // 2, len(content) // 8
    content[start : start + n_bytes] = bytes(n_bytes)
    return bytes(content)


def _block(content: bytearray) -> bytes:
    start, n_bytes = len(content) // 2, len(content) // 8 // 2 * 2
    return bytes(content[: start + n_bytes] + content[start:])


# What is no audio, and what is no file.


def not_audio() -> Iterator[Specimen]:
    """Other content under the names of recordings."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.wav", wav("a"))
    noise = np.random.default_rng(0).bytes(20_000)
    contents = {
        "nothing": (b"", "0 bytes"),
        "one-byte": (b"R", ""),
        "text": (b"This is no recording.\n" * 40, ""),
        "html": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 9, ""),
        "json": (b'{"error": "quota exceeded", "code": 403}' * 9, ""),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n", ""),
        "csv": (b"id,path\na,a.wav\n" * 30, ""),
        "png": (b"\x89PNG\r\n\x1a\n" + zlib.compress(noise[:2000]), ""),
        "zip": (archive.getvalue(), ""),
        "gzip": (b"\x1f\x8b\x08\0" + noise[:500], ""),
        "pdf": (b"%PDF-1.7\n" + noise[:500], ""),
        "elf": (b"\x7fELF" + noise[:500], ""),
        "noise": (noise, ""),
        "zeros": (bytes(5000), ""),
        "riff-alone": (b"RIFF", ""),
        "riff-avi": (b"RIFF" + struct.pack("<I", 500) + b"AVI " + bytes(492), ""),
        "ogg-alone": (b"OggS" + bytes(100), ""),
        "id3-alone": (b"ID3\3\0\0\0\0\x0f\x7f" + bytes(2000), ""),
        "flac-alone": (b"fLaC", ""),
    }
    for number, (label, (content, reason)) in enumerate(contents.items()):
        yield _bytes(f"other/{label}.wav", "not audio", content, BAD, reason, is_quick=number < 8)


def special_files() -> Iterator[Specimen]:
    """Links, folders, pipes, devices and refusals."""
    target = "special/linked-to.flac"
    yield Specimen(target, "special", _saver(target, format="FLAC"), GOOD, is_same=True)
    yield _special("link.wav", lambda path: path.symlink_to("linked-to.flac"), GOOD)
    yield _special("link-of-a-link.wav", lambda path: path.symlink_to("link.wav"), GOOD)
    yield _special("hard-link.wav", lambda path: os.link(path.parent / "linked-to.flac", path), GOOD)
    yield _special("dangling.wav", lambda path: path.symlink_to("nowhere.wav"), BAD, "No such file")
    yield _special("loop.wav", lambda path: path.symlink_to("loop.wav"), BAD, "symbolic links")
    yield _special("loop-a.wav", lambda path: path.symlink_to("loop-b.wav"), BAD, "symbolic links")
    yield _special("loop-b.wav", lambda path: path.symlink_to("loop-a.wav"), BAD, "symbolic links")
    yield _special("folder.wav", Path.mkdir, BAD, "a folder")
    yield _special("link-to-folder.wav", lambda path: path.symlink_to("."), BAD, "a folder")
    yield _special("pipe.wav", os.mkfifo, BAD, "not a regular file")
    yield _special("socket.wav", _socket, BAD, "not a regular file")
    yield _special("zero.wav", lambda path: path.symlink_to("/dev/zero"), BAD, "not a regular file")
    yield _special("null.wav", lambda path: path.symlink_to("/dev/null"), BAD, "not a regular file")
    yield _special("a-file.bin/in-a-file.wav", _inside_a_file, BAD, "Not a directory")
    yield _special("missing.wav", lambda path: None, BAD, "No such file")
    if os.geteuid():  # root may read everything
        yield _special("forbidden.wav", _forbidden, BAD, "Permission denied")


def _special(name: str, put: Callable[[Path], object], expected: str, reason: str = "") -> Specimen:
    return Specimen(f"special/{name}", "special", put, expected, reason)


def _socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's whole path must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _inside_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_bytes(wav("special/inside"))


def _forbidden(path: Path) -> None:
    path.write_bytes(wav("special/forbidden"))
    path.chmod(0)


# Names.

NAMES = (
    *("목소리.wav", "한 칸 띄움.wav", "日本語.flac", "Ünïcödé.ogg", "🎤🔊.wav", "العربية.wav", "e\u0301.wav"),
    *("-leading-dash.wav", "--out.wav", " leading space.wav", "trailing space .wav", "two.dots..wav", ".hidden.wav"),
    *("new\nline.wav", "carriage\rreturn.wav", "tab\there.wav", "100%.wav", "%s%d%n.wav", "#t=.wav", "a#t=0,.wav"),
    *('comma,quote".wav', "it's.wav", "semi;colon.wav", "back\\slash.wav", "star*?.wav", "$HOME.wav", "{0}.wav"),
    *("UPPER.WAV", "Mixed.WaV", "no extension", "is-ogg.wav", "is-wav.mp3", "two.wav.flac", "NA.wav", "1e5.wav"),
)


def names() -> Iterator[Specimen]:
    """Names that a shell, a table or a URL would take for something else; the content is in order."""
    for number, name in enumerate(NAMES):
        format = "OGG" if name == "is-ogg.wav" else "WAV"
        yield _named(f"name/{name}", format, is_quick=number % 3 == 0 or "\r" in name or "\n" in name)
    yield _named(f"name/{'n' * (LONGEST_NAME - 4)}.wav")
    yield _named(f"name/{'가' * ((LONGEST_NAME - 4) // 3)}.wav")
    yield _named(f"deep/{'/'.join(['d' * 200] * 10)}/deep.wav")


def _named(name: str, format: str = "WAV", is_quick: bool = True) -> Specimen:
    return Specimen(name, "name", _saver(name, format=format), GOOD, is_quick=is_quick, is_same=True)
