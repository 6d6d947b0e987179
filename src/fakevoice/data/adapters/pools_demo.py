"""Generated pools of voices and music, for trying a competition like DACON 236749; nothing is downloaded.

Real voices come from a source-filter synthesiser, real music from a synthesiser of chords, bass and drums. Fake ones
are further recordings of both after a vocoder or a quantiser. The test mixes other speakers and bands in files of 4 s
and more, together or one after the other. Scores on it say nothing about real generators.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import threadpoolctl

from fakevoice.audio import spectrum
from fakevoice.audio.channel import gain, rms, transcode
from fakevoice.audio.synthesis.source_filter import SAMPLE_RATE_HZ, draw_speaker, record, speak
from fakevoice.core import plugins
from fakevoice.core.errors import DataError
from fakevoice.core.random import Stream, generator
from fakevoice.data.generated_folders import make_folder
from fakevoice.parallel.pool import run_parallel

EXPECTS = "nothing: the demo makes its own folder, in the layout of `pools`"

CLASSES = ["voice_real", "voice_fake", "music_real", "music_fake"]
MARKER = "pools_demo.json"
N_SOURCES = 10  # speakers, and bands, of the pools; the test has others
CLIP_S = (3.0, 8.0)
SHORTEST_S = 4.0  # test file
# Named here, so that a new plug-in does not change the demo.
FAMILIES = {
    "voice": ("checkerboard", "griffin_lim", "harmonic", "lpc", "phase_flat"),
    "music": ("checkerboard", "griffin_lim", "phase_flat", "quantised"),
}
NOISES = ("barks", "birds", "coloured", "crowd", "engine", "hum", "rain", "wind")
STATES = (
    "none",
    *CLASSES,
    *(f"{voice}+{music}" for voice in CLASSES[:2] for music in CLASSES[2:]),
)
DURATIONS_S = (4, 10, 25, 60)  # edges of the slices of truth.csv
FORMATS = ("WAV", "FLAC", "MP3")
TELEPHONE_PROBABILITY, STEREO_PROBABILITY, TURNS_PROBABILITY = 0.2, 0.3, 0.3
QUANTISER_DB, N_FFT, HOP_LENGTH = 6.0, 512, 128


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips, as of `pools`."""
    return plugins.load("datasets", "pools").read(folder, classes=classes)


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The sample submission, as of `pools`."""
    return plugins.load("datasets", "pools").template(folder, classes=classes)


def truth(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame | None:
    """Labels of the test with duration and channel, as of `pools`."""
    return plugins.load("datasets", "pools").truth(folder, classes=classes)


def make(folder: Path, *, n_clips: int = 48, n_test: int = 45, longest_s: float = 60.0, seed: int = 0) -> None:
    """Write the pools, the same bytes for the same arguments; a finished folder is left alone.

    Args:
        n_clips: in each of the four pools.
        n_test: files to predict.
        longest_s: of them; the shortest one has 4 s.

    Raises:
        DataError: the folder holds something else, which is not overwritten.
    """
    parameters = {"n_clips": n_clips, "n_test": n_test, "longest_s": longest_s, "seed": seed}
    if not (folder / MARKER).is_file() and folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no {MARKER}; name another folder or empty this one")
    make_folder(folder, MARKER, parameters, _fill)


def _fill(folder: Path, *, n_clips: int, n_test: int, longest_s: float, seed: int) -> None:
    jobs = [(folder, label, index, seed) for label in CLASSES for index in range(n_clips)]
    jobs += [(folder, "noise", index, seed) for index in range(2 * len(NOISES))]
    for _ in run_parallel(_write_clip, jobs, "pools_demo", "clips"):
        pass
    (folder / "test").mkdir()
    tests = [(folder, longest_s, index, seed) for index in range(n_test)]
    rows = list(run_parallel(_write_test_file, tests, "pools_demo test", "files"))
    pd.DataFrame(rows, columns=["id", "label", "duration", "channel"]).to_csv(folder / "truth.csv", index=False)


def _write_clip(job: tuple[Path, str, int, int]) -> None:
    folder, label, index, seed = job
    rng = generator(Stream.POOLS_CLIP, seed, label, index)
    with threadpoolctl.threadpool_limits(1):  # matrix products round differently on more threads
        if label == "noise":
            source = NOISES[index % len(NOISES)]
            waveform = plugins.load("noises", source).make(8 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, rng)
        else:
            waveform, source = _component(label, index, "train", rng.uniform(*CLIP_S), seed, rng)
        waveform = record(waveform, rng)
    home = folder / label.replace("_", "/") / source
    home.mkdir(parents=True, exist_ok=True)
    soundfile.write(home / f"{label}_{index:04d}.flac", waveform, SAMPLE_RATE_HZ)


def _component(
    label: str, index: int, split: str, duration_s: float, seed: int, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """A voice or a piece of music (n_samples,) of RMS 1, and its source or generator family."""
    kind, truth_of = label.split("_")
    source = index % N_SOURCES
    if kind == "voice":
        speaker = draw_speaker(generator(Stream.POOLS_SOURCE, seed, split, truth_of, source))
        waveform = speak(speaker, duration_s, rng)
    else:
        waveform = plugins.load("noises", "music").make(round(duration_s * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, rng)
    if truth_of == "real":
        return waveform, f"{kind}{source:02d}"
    family = FAMILIES[kind][index % len(FAMILIES[kind])]
    fake = _quantised if family == "quantised" else plugins.load("vocoders", family).resynthesize
    waveform = fake(waveform, SAMPLE_RATE_HZ, rng)
    return waveform / max(rms(waveform), 1e-6), family


def _quantised(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Magnitudes in steps of 6 dB, as if a model had predicted tokens; the phase is kept."""
    transform = spectrum.stft(waveform, N_FFT, HOP_LENGTH)
    level_db = spectrum.decibels(np.abs(transform) ** 2)
    step_db = QUANTISER_DB * np.round(level_db / QUANTISER_DB + rng.uniform(-0.5, 0.5))
    return spectrum.istft(transform * 10 ** ((step_db - level_db) / 20), HOP_LENGTH, len(waveform))


def _write_test_file(job: tuple[Path, float, int, int]) -> tuple[str, str, str, str]:
    """Write one file of the test; id, label, duration and channel."""
    folder, longest_s, index, seed = job
    rng = generator(Stream.POOLS_TEST, seed, index)
    state = STATES[index % len(STATES)]
    duration_s = SHORTEST_S * (longest_s / SHORTEST_S) ** rng.random()
    with threadpoolctl.threadpool_limits(1):
        waveform = _mixture(state, index, duration_s, seed, rng)
        waveform = record(waveform, rng)
        is_telephone = rng.random() < TELEPHONE_PROBABILITY
        if is_telephone:
            waveform = transcode(waveform.astype(np.float32), SAMPLE_RATE_HZ, str(rng.choice(["ulaw", "alaw", "gsm"])))
    file_format = FORMATS[index % len(FORMATS)]
    clip = f"TEST_{index:04d}"
    channels = np.stack([waveform, waveform], axis=1) if rng.random() < STEREO_PROBABILITY else waveform
    soundfile.write(folder / "test" / f"{clip}.{file_format.lower()}", channels, SAMPLE_RATE_HZ, format=file_format)
    low_s, high_s = next(edges for edges in pairwise(DURATIONS_S) if duration_s <= edges[1])
    return clip, state, f"{low_s} to {high_s} s", "telephone" if is_telephone else "full band"


def _mixture(state: str, index: int, duration_s: float, seed: int, rng: np.random.Generator) -> np.ndarray:
    """All components of a state in noise: (n_samples,)."""
    n_samples = round(duration_s * SAMPLE_RATE_HZ)
    noise = plugins.load("noises", str(rng.choice(NOISES))).make(n_samples, SAMPLE_RATE_HZ, rng)
    mixture = noise * gain(-rng.uniform(15.0, 35.0))
    labels = [] if state == "none" else state.split("+")
    in_turn = len(labels) > 1 and rng.random() < TURNS_PROBABILITY
    cut_s = duration_s * rng.uniform(0.35, 0.65)
    for place, label in enumerate(labels):
        if in_turn:
            start_s, length_s = ((0.0, cut_s), (cut_s, duration_s - cut_s))[place]
        else:
            length_s = duration_s * rng.uniform(0.6, 1.0)
            start_s = rng.uniform(0.0, duration_s - length_s)
        heard, _ = _component(label, index // len(STATES) + place, "test", length_s, seed, rng)
        start = round(start_s * SAMPLE_RATE_HZ)
        part = mixture[start : start + len(heard)]
        part += heard[: len(part)] * gain(rng.uniform(-5.0, 5.0))
    return mixture
