"""The embedded demo: a small competition with synthetic voices, made on the spot, nothing downloaded.

Its folder has the shape of DACON's: clean training clips of one voice, and five-second test scenes with
none, one or two voices of other speakers in noise. Beside it lie the answers, for measuring only.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.ndimage
import scipy.signal
import soundfile

from fakevoice import lookup, spectrum, storage
from fakevoice.errors import DataError
from fakevoice.workers import run_parallel

EXPECTS = "nothing: the demo makes its own folder (train.csv, test.csv, sample_submission.csv and OGG clips)"

SAMPLE_RATE_HZ = 16_000
SCENE_S = 5.0
N_FFT, HOP_LENGTH = 512, 128  # of the voices' filters
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
# Named here, so that a new plug-in does not change the demo.
VOCODERS = ("checkerboard", "griffin_lim", "harmonic", "lpc", "phase_flat")
NOISES = (
    "barks", "birds", "clicks", "coloured", "crowd", "engine", "hum", "music", "rain", "siren", "wind",
)  # fmt: skip
VOWELS_HZ = np.array(  # first three formants of an adult male, Peterson & Barney, JASA 1952, table II
    [
        [270, 2290, 3010],
        [390, 1990, 2550],
        [530, 1840, 2480],
        [660, 1720, 2410],
        [730, 1090, 2440],
        [570, 840, 2410],
        [440, 1020, 2240],
        [300, 870, 2240],
        [640, 1190, 2390],
        [490, 1350, 1690],
    ],
    float,
)


def read(folder: Path) -> pd.DataFrame:
    """Table of clips; the demo's folder is laid out as DACON's.

    Returns:
        Columns id, path, split, label and group, all str.
    """
    return lookup.load("datasets", "dacon").read(folder)


def template(folder: Path) -> pd.DataFrame:
    """The sample submission: id, fake, real."""
    return lookup.load("datasets", "dacon").template(folder)


def make(folder: Path, *, n_train: int = 400, n_test: int = 160, n_unlabeled: int = 60, seed: int = 0) -> None:
    """Write the demo competition, the same bytes for the same arguments; a finished one is left alone.

    Raises:
        DataError: the folder holds something else, which is not overwritten.
    """
    parameters = {"n_train": n_train, "n_test": n_test, "n_unlabeled": n_unlabeled, "seed": seed}
    if (folder / "demo.json").is_file():
        if storage.read_json(folder / "demo.json") == parameters:
            return
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no demo.json; name another folder or empty this one")
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    try:
        _fill(unfinished, **parameters)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


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
        "test_solution": answers[["id", "state", "fake", "real", "snr_db"]],
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    storage.write_json(
        folder / "demo.json", {"n_train": n_train, "n_test": n_test, "n_unlabeled": n_unlabeled, "seed": seed}
    )


def _rendered(folder: Path, split: str, states: list[str], n_clips: int, seed: int) -> pd.DataFrame:
    """Write one split's clips, the states in equal shares and random order; one row per clip."""
    state = np.random.default_rng([seed, SPLITS.index(split)]).permutation(np.resize(states, n_clips))
    jobs = [(folder, split, index, str(name), seed) for index, name in enumerate(state)]
    rows: Iterator[dict] = run_parallel(_render, jobs, f"demo {split}", "clips")
    return pd.DataFrame(list(rows), columns=["id", "path", "state", "group", "snr_db"])


def _render(job: tuple[Path, str, int, str, int]) -> dict:
    """Synthesise one clip from its own seed, so that no other clip and no worker count matters."""
    folder, split, index, state, seed = job
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    render = _clean_clip if split == "train" else _scene
    waveform, about = render(state, seed, rng)
    clip_id = f"{split.split('_')[0].upper()}_{index:05d}"
    path = f"{split}/{clip_id}.ogg"
    write_ogg(folder / path, waveform)
    return {"id": clip_id, "path": f"./{path}", "state": state, **about}


def _clean_clip(label: str, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    voice, group = _voice(label, "train", seed, rng.uniform(2.0, 6.0), rng)
    return _recorded(voice, rng), {"group": group}


def _scene(state: str, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Exactly five seconds of the state's voices, each with its own level, place and room, in noise."""
    n_samples = int(SCENE_S * SAMPLE_RATE_HZ)
    noise = lookup.load("noises", str(rng.choice(NOISES))).make(n_samples, SAMPLE_RATE_HZ, rng)
    room, snr_db = (_room(rng) if rng.random() < 0.5 else np.ones(1)), rng.uniform(5.0, 30.0)
    speech = np.zeros(n_samples)
    for label in STATES[state]:
        voice, _ = _voice(label, "test", seed, rng.uniform(2.0, 4.8), rng)
        voice = scipy.signal.oaconvolve(voice, room)[:n_samples] * 10 ** (rng.uniform(-6.0, 6.0) / 20)
        offset = int(rng.integers(0, n_samples - min(len(voice), n_samples) + 1))
        speech[offset : offset + len(voice)] += voice[: n_samples - offset]
    level = np.sqrt(np.mean(speech**2)) or 1.0
    mix = speech / level + noise * 10 ** (-snr_db / 20)
    return _recorded(mix, rng), {"snr_db": f"{snr_db:.1f}" if STATES[state] else ""}


def _voice(
    label: str, speakers: str, seed: int, duration_s: float, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """A new utterance of some speaker, through some vocoder if it is to be fake; and its group."""
    index = int(rng.integers(N_SPEAKERS[speakers]))
    group = f"{speakers}-speaker{index:02d}"
    waveform = speak(draw_speaker(speakers, index, seed), duration_s, rng)
    if label == "real":
        return waveform, group
    vocoder = str(rng.choice(VOCODERS))
    return lookup.load("vocoders", vocoder).resynthesize(waveform, SAMPLE_RATE_HZ, rng), f"{group}+{vocoder}"


def _room(rng: np.random.Generator) -> np.ndarray:
    """Impulse response: the direct sound, then noise that decays by 60 dB in the reverberation time."""
    time_s = np.arange(int(0.4 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / rng.uniform(0.15, 0.6))
    tail *= 10 ** (rng.uniform(-12.0, 0.0) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def _recorded(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same microphone for real and fake: a faint hiss, a drawn level, no clipping."""
    waveform = waveform / (np.sqrt(np.mean(waveform**2)) + 1e-12)
    waveform = waveform + 10 ** rng.uniform(-3.5, -2.5) * rng.standard_normal(len(waveform))
    waveform *= 10 ** rng.uniform(-1.6, -0.9)
    return waveform * min(1.0, 0.95 / np.abs(waveform).max())


def write_ogg(path: Path, waveform: np.ndarray) -> None:
    """Write Vorbis as mono OGG."""
    soundfile.write(path, waveform, SAMPLE_RATE_HZ, format="OGG", subtype="VORBIS")


class Speaker(NamedTuple):
    """What stays the same in all utterances of one voice."""

    f0_hz: float
    tract_scale: float  # formants relative to an adult male
    open_quotient: float  # share of a period in which the glottis is open: the voice's tilt
    breath: float  # aspiration relative to the pulses
    jitter: float  # relative, from one period to the next
    shimmer: float
    phones_per_s: float


def draw_speaker(speakers: str, index: int, seed: int) -> Speaker:
    """Speaker `index` of the train or test voices; the two sets share nobody."""
    rng = np.random.default_rng([seed, len(SPLITS), list(N_SPEAKERS).index(speakers), index])
    tallness = rng.uniform(-1, 1)  # long tracts go with low voices, loosely
    return Speaker(
        f0_hz=150 * 2 ** (-0.6 * tallness + rng.uniform(-0.25, 0.25)),
        tract_scale=1.1 - 0.12 * tallness + rng.uniform(-0.04, 0.04),
        open_quotient=rng.uniform(0.45, 0.8),
        breath=10 ** rng.uniform(-2.0, -1.0),
        jitter=rng.uniform(0.005, 0.02),
        shimmer=rng.uniform(0.02, 0.1),
        phones_per_s=rng.uniform(7, 13),
    )


def speak(speaker: Speaker, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Babble by a source-filter model: glottal pulses and turbulence through moving resonances.

    Returns:
        (n_samples,) float32 of RMS 1.

    Source:
        Fant, "Acoustic theory of speech production", 1960; Klatt, JASA 1980, for the synthesis.
    """
    n_samples = int(duration_s * SAMPLE_RATE_HZ)
    formants_hz, voicing, friction, hiss_hz = _articulation(speaker, spectrum.n_frames(n_samples, HOP_LENGTH), rng)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    turbulence = spectrum.stft(0.1 * rng.standard_normal(n_samples), N_FFT, HOP_LENGTH)
    hiss = np.exp(-0.5 * ((bins_hz[:, None] - hiss_hz) / 1300.0) ** 2)
    pulses = spectrum.stft(_glottis(speaker, n_samples, rng), N_FFT, HOP_LENGTH)
    voice = pulses * _tract(formants_hz, bins_hz) * voicing + turbulence * hiss * friction
    waveform = spectrum.istft(voice, HOP_LENGTH, n_samples)
    return waveform / (np.sqrt(np.mean(waveform**2)) + np.float32(1e-12))


def _articulation(
    speaker: Speaker, n_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tracks of a random string of vowels, fricatives and pauses, blurred as a tongue moves.

    Returns:
        formants_hz (3, n_frames); voicing, friction and hiss_hz, each (n_frames,).
    """
    frames_per_phone = SAMPLE_RATE_HZ / HOP_LENGTH / speaker.phones_per_s
    length = np.maximum(4, frames_per_phone * rng.lognormal(0.0, 0.4, n_frames)).astype(int)
    n_phones = int(np.searchsorted(np.cumsum(length), n_frames)) + 1
    kind = rng.choice(["vowel", "voiced hiss", "hiss", "pause"], n_phones, p=[0.6, 0.1, 0.2, 0.1])
    phones = np.column_stack(
        [
            VOWELS_HZ[rng.integers(len(VOWELS_HZ), size=n_phones)] * speaker.tract_scale,
            np.select([kind == "vowel", kind == "voiced hiss"], [rng.uniform(0.5, 1.0, n_phones), 0.15], 0.0),
            np.where(np.char.find(kind, "hiss") >= 0, rng.uniform(0.1, 0.6, n_phones), 0.0),
            rng.uniform(2500, 6500, n_phones),
        ]
    )
    tracks = np.repeat(phones, length[:n_phones], axis=0)[:n_frames].T  # (6, n_frames)
    tracks[:3] = scipy.ndimage.gaussian_filter1d(tracks[:3], 4.0, axis=1)
    tracks[3:] = scipy.ndimage.gaussian_filter1d(tracks[3:], 1.5, axis=1)
    return tracks[:3], tracks[3], tracks[4], tracks[5]


def _glottis(speaker: Speaker, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Derivative of the airflow through the glottis, with aspiration while it is open: (n_samples,).

    Source:
        Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels", JASA 1971, pulse C.
    """
    time_s = np.arange(2 * n_samples) / (2 * SAMPLE_RATE_HZ)  # twice the rate keeps the aliases of the edges low
    knots_s = np.arange(0, time_s[-1] + 0.5, 0.25)
    melody = 2 ** (rng.normal(0.0, 0.15, len(knots_s)) - 0.06 * knots_s)
    phase = np.cumsum(speaker.f0_hz * np.interp(time_s, knots_s, melody)) / (2 * SAMPLE_RATE_HZ)
    n_periods = int(phase[-1]) + 2
    phase += np.interp(phase, np.arange(n_periods + 1), rng.normal(0.0, speaker.jitter, n_periods + 1))
    period = np.clip(np.floor(phase), 0, n_periods).astype(int)
    closing, opened = 0.67 * speaker.open_quotient, speaker.open_quotient
    within = phase - np.floor(phase)
    rise = 0.5 - 0.5 * np.cos(np.pi * within / closing)
    fall = np.cos(0.5 * np.pi * (within - closing) / (opened - closing))
    flow = np.select([within < closing, within < opened], [rise, fall], 0.0)
    flow *= rng.normal(1.0, speaker.shimmer, n_periods + 1)[period]
    breath = speaker.breath * rng.standard_normal(len(flow)) * (0.2 + flow)
    return scipy.signal.resample_poly(np.diff(flow, prepend=0.0) + breath, 1, 2)


def _tract(formants_hz: np.ndarray, bins_hz: np.ndarray) -> np.ndarray:
    """Response (n_bins, n_frames) complex64 of five resonances in a row; the upper two hardly move."""
    scale = np.mean(formants_hz[2]) / 2500
    upper_hz = np.array([[3500.0], [4500.0]]) * scale * np.ones(formants_hz.shape[1])
    delay = np.exp(-2j * np.pi * bins_hz / SAMPLE_RATE_HZ).astype(np.complex64)[:, None]
    response = np.ones((len(bins_hz), formants_hz.shape[1]), np.complex64)
    for centre_hz, bandwidth_hz in zip([*formants_hz, *upper_hz], (70, 90, 130, 200, 250), strict=True):
        radius = np.float32(np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ))
        turn = (2 * radius * np.cos(2 * np.pi * centre_hz / SAMPLE_RATE_HZ)).astype(np.float32)
        response *= (1 - turn + radius**2) / (1 - delay * (turn - radius**2 * delay))
    return response
