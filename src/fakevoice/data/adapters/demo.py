"""The embedded demo: a small competition with synthetic voices, made on the spot, nothing downloaded.

Its folder has the shape of DACON's: clean training clips of one voice, and five-second test scenes with
none, one or two voices of other speakers in noise. Beside it lie the answers, for measuring only.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import threadpoolctl

from fakevoice.audio.encode import encode
from fakevoice.audio.synthesis.source_filter import SAMPLE_RATE_HZ, Speaker, draw_speaker, record, speak
from fakevoice.core import plugins
from fakevoice.core.config_sections import Clips, Seed
from fakevoice.core.errors import DataError
from fakevoice.core.random import Stream, generator
from fakevoice.data.generated_folders import make_folder
from fakevoice.parallel.pool import run_parallel

EXPECTS = "nothing: the demo makes its own folder (train.csv, test.csv, sample_submission.csv and OGG clips)"

MARKER = "demo.json"
SCENE_S = 5.0
SPLITS = ("train", "test", "unlabeled_data")
N_SPEAKERS = {"train": 24, "test": 12}
STATES = {
    "none": (),
    "real": ("real",),
    "fake": ("fake",),
    "real+real": ("real", "real"),
    "fake+fake": ("fake", "fake"),
    "real+fake": ("real", "fake"),
}
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Named here, so that a new plug-in does not change the demo.
VOCODERS = ("checkerboard", "griffin_lim", "harmonic", "lpc", "phase_flat")
NOISES = (
    "barks", "birds", "clicks", "coloured", "crowd", "engine", "hum", "music", "rain", "siren", "wind",
)  # fmt: skip


def read(folder: Path, *, classes: list[str]) -> pd.DataFrame:
    """Table of clips; the demo's folder is laid out as DACON's.

    Args:
        classes: fake and real; the demo knows no others.

    Returns:
        Columns id, path, split, label and group, all str.
    """
    return plugins.load("datasets", "dacon").read(folder, classes=classes)


def template(folder: Path, *, classes: list[str]) -> pd.DataFrame:
    """The sample submission: id, fake, real; all text."""
    return plugins.load("datasets", "dacon").template(folder, classes=classes)


def make(folder: Path, *, n_train: Clips = 400, n_test: Clips = 160, n_unlabeled: Clips = 60, seed: Seed = 0) -> None:
    """Write the demo competition, the same bytes for the same arguments; a finished one is left alone.

    Raises:
        DataError: the folder holds something else, which is not overwritten.
    """
    parameters = {"n_train": n_train, "n_test": n_test, "n_unlabeled": n_unlabeled, "seed": seed}
    if not (folder / MARKER).is_file() and folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no {MARKER}; name another folder or empty this one")
    make_folder(folder, MARKER, parameters, _fill)


def _fill(folder: Path, *, n_train: int, n_test: int, n_unlabeled: int, seed: int) -> None:
    for name in ("train", "test", "unlabeled_data"):
        (folder / name).mkdir(parents=True)
    train = _rendered(folder, "train", ["real", "fake"], n_train, seed)
    test = _rendered(folder, "test", list(STATES), n_test, seed)
    _rendered(folder, "unlabeled_data", list(STATES), n_unlabeled, seed)
    answers = test.assign(**{name: test["state"].str.contains(name).astype(int) for name in ("fake", "real")})
    tables = {
        "train": train.rename(columns={"state": "label"})[["id", "path", "label"]],
        "train_meta": train[["id", "group"]],
        "test": test[["id", "path"]],
        "sample_submission": test[["id"]].assign(fake=0.5, real=0.5),
        "solution": answers[["id", "state", "fake", "real", "snr_db"]],
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def _rendered(folder: Path, split: str, states: list[str], n_clips: int, seed: int) -> pd.DataFrame:
    """Write one split's clips, the states in equal shares and random order; one row per clip."""
    state = generator(Stream.DEMO_ORDER, seed, split).permutation(np.resize(states, n_clips))
    jobs = [(folder, split, index, str(name), seed) for index, name in enumerate(state)]
    rows: Iterator[dict] = run_parallel(_render, jobs, f"demo {split}", "clips")
    return pd.DataFrame(list(rows), columns=["id", "path", "state", "group", "snr_db"])


def _render(job: tuple[Path, str, int, str, int]) -> dict:
    """Synthesise one clip from its own seed, so that no other clip and no worker count matters."""
    folder, split, index, state, seed = job
    rng = generator(Stream.DEMO_CLIP, seed, split, index)
    render = _clean_clip if split == "train" else _scene
    with threadpoolctl.threadpool_limits(1):  # matrix products round differently on more threads
        waveform, about = render(state, seed, rng)
    clip_id = f"{split.split('_')[0].upper()}_{index:05d}"
    path = f"{split}/{clip_id}.ogg"
    write_ogg(folder / path, waveform)
    return {"id": clip_id, "path": f"./{path}", "state": state, **about}


def _clean_clip(label: str, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    voice, group = _voice(label, "train", seed, rng.uniform(2.0, 6.0), rng)
    return record(voice, rng), {"group": group}


def _scene(state: str, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Exactly five seconds of the state's voices, each with its own level, place and room, in noise."""
    n_samples = int(SCENE_S * SAMPLE_RATE_HZ)
    noise = plugins.load("noises", str(rng.choice(NOISES))).make(n_samples, SAMPLE_RATE_HZ, rng)
    room, snr_db = (_room(rng) if rng.random() < 0.5 else np.ones(1)), rng.uniform(5.0, 30.0)
    speech = np.zeros(n_samples)
    for label in STATES[state]:
        voice, _ = _voice(label, "test", seed, rng.uniform(2.0, 4.8), rng)
        voice = scipy.signal.oaconvolve(voice, room)[:n_samples] * 10 ** (rng.uniform(-6.0, 6.0) / 20)
        offset = int(rng.integers(0, n_samples - min(len(voice), n_samples) + 1))
        speech[offset : offset + len(voice)] += voice[: n_samples - offset]
    level = np.sqrt(np.mean(speech**2)) or 1.0
    mix = speech / level + noise * 10 ** (-snr_db / 20)
    return record(mix, rng), {"snr_db": f"{snr_db:.1f}" if STATES[state] else ""}


def _voice(label: str, speakers: str, seed: int, duration_s: float, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A new utterance of some speaker, through some vocoder if it is to be fake; and its group."""
    index = int(rng.integers(N_SPEAKERS[speakers]))
    group = f"{speakers}-speaker{index:02d}"
    waveform = speak(_speaker(speakers, index, seed), duration_s, rng)
    if label == "real":
        return waveform, group
    vocoder = str(rng.choice(VOCODERS))
    return plugins.load("vocoders", vocoder).resynthesize(waveform, SAMPLE_RATE_HZ, rng), f"{group}+{vocoder}"


def _speaker(speakers: str, index: int, seed: int) -> Speaker:
    """Speaker `index` of the train or test voices; the two sets share nobody."""
    return draw_speaker(generator(Stream.DEMO_SPEAKER, seed, speakers, index))


def _room(rng: np.random.Generator) -> np.ndarray:
    """Impulse response: the direct sound, then noise that decays by 60 dB in the reverberation time."""
    time_s = np.arange(int(0.4 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / rng.uniform(0.15, 0.6))
    tail *= 10 ** (rng.uniform(-12.0, 0.0) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def write_ogg(path: Path, waveform: np.ndarray) -> None:
    """Write mono OGG Vorbis, the same bytes for the same waveform.

    The encoder stamps each stream with a number drawn from the clock: put 0 in its place on every page.

    Source:
        RFC 3533, section 6, the page header: serial number at byte 14, checksum at 22, lacing at 26.
    """
    stream, start = bytearray(encode(waveform, SAMPLE_RATE_HZ, format="OGG", subtype="VORBIS")), 0
    while start < len(stream):
        n_segments = stream[start + 26]
        end = start + 27 + n_segments + sum(stream[start + 27 : start + 27 + n_segments])
        stream[start + 14 : start + 18] = stream[start + 22 : start + 26] = bytes(4)
        stream[start + 22 : start + 26] = _ogg_checksum(bytes(stream[start:end]))
        start = end
    path.write_bytes(stream)


def _ogg_checksum(page: bytes) -> bytes:
    """OGG's CRC is zlib's with the bits of each byte mirrored, and neither start nor end inverted."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return mirrored.to_bytes(4, "big").translate(MIRRORED)
