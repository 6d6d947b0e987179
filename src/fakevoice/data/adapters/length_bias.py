"""Real clips of 10 s against fake ones of 5 s: a competition in which length alone tells the labels.

So was a published tutorial laid out, LJSpeech against MelGAN's resynthesis. Put such recordings here, or
let the adapter make a small set: voices of one synthesiser under both labels, so that whoever hears
five seconds of each must guess, and whoever does better has counted samples.
"""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import soundfile
import threadpoolctl

from fakevoice.audio.synthesis.source_filter import SAMPLE_RATE_HZ, draw_speaker, record, speak
from fakevoice.core.config_sections import Clips
from fakevoice.core.random import Stream, generator
from fakevoice.data.clip_tables import audio_below, class_recordings, clip_table, even_guess
from fakevoice.data.generated_folders import make_folder
from fakevoice.parallel.pool import run_parallel

EXPECTS = """\
real/   recordings of real voices (the folder's name in any case), .wav or .WAV
fake/   recordings of generated voices
test/   optional; the recordings to predict
Names as speaker003_0001.wav tell the speaker. Where this folder does not exist, it is made, with synthetic voices."""

CLASSES = ["fake", "real"]
MARKER = "length_bias.json"
N_UTTERANCES = {"real": 2, "fake": 1}
UTTERANCE_S = 5.0
N_SPEAKERS = 31  # odd, so that a speaker has files of both extensions
NAMED_SPEAKER = re.compile(r"(speaker\d+)_")


def read(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The clips below the folders of the classes, and those to predict.

    Args:
        folder: holds what `EXPECTS` says.
        classes: the labels; each has a folder of its name, in any case.

    Returns:
        id (the path), path, split (train, test), label, group (speaker where the name has it): text.

    Raises:
        DataError: a folder is missing or holds no audio.
    """
    train = [(path, path, "train", label, _speaker(path)) for path, label in class_recordings(folder, classes, EXPECTS)]
    return clip_table(train + [(path, path, "test", "", "") for path in audio_below(folder, folder / "test")])


def template(folder: Path, *, classes: list[str] = CLASSES) -> pd.DataFrame:
    """The recordings to predict, with an even guess in each class column; all text."""
    return even_guess(audio_below(folder, folder / "test"), classes)


def make(folder: Path, *, n_clips: Clips = 240) -> None:
    """Write a set where there is no folder, the same bytes each time; a folder made by somebody else is left alone."""
    if (folder / MARKER).is_file() or not folder.exists():
        make_folder(folder, MARKER, {"n_clips": n_clips}, _fill)


def _speaker(path: str) -> str:
    found = NAMED_SPEAKER.match(PurePosixPath(path).name)
    return found[1] if found else ""


def _fill(folder: Path, *, n_clips: int) -> None:
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    for _ in run_parallel(_render, [(folder, index) for index in range(n_clips)], "length_bias", "clips"):
        pass


def _render(job: tuple[Path, int]) -> None:
    """Write one clip. Two in a row share speaker and extension, and only the label differs."""
    folder, index = job
    label, pair = CLASSES[index % 2], index // 2
    speaker = pair % N_SPEAKERS
    voice = draw_speaker(generator(Stream.LENGTH_BIAS_SPEAKER, 0, speaker))
    rng = generator(Stream.LENGTH_BIAS_CLIP, 0, index)
    with threadpoolctl.threadpool_limits(1):  # matrix products round differently on more threads
        # The melody falls within an utterance: one of ten seconds would end lower than one of five.
        waveform = np.concatenate([speak(voice, UTTERANCE_S, rng) for _ in range(N_UTTERANCES[label])])
        waveform = record(waveform, rng)
    name = f"speaker{speaker:03d}_{index:04d}{'.WAV' if pair % 2 else '.wav'}"
    soundfile.write(folder / label / name, waveform, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
