"""Features: what mel, MFCC, LFCC, chroma and pooled statistics cost beyond decoding, beside librosa, on two cores."""

from functools import partial
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import threadpoolctl
from made import clips
from rows import N_CORES, Row, run_theme, say
from timing import median_ratio, milliseconds, take_turns

from fakevoice.audio.preprocess import read_clip
from fakevoice.core import plugins
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import FakevoiceError
from fakevoice.features.extract import POOLED, extract, pooled_names
from fakevoice.parallel.pool import run_parallel

FEATURES = ("mel", "mfcc", "lfcc", "chroma")
WORDS = [
    *("features.lfcc={}", "features.chroma={}", f"pooled=[{','.join(FEATURES)}]"),
    "statistics=[rhythm,voicing]",  # those of any competition; what `voices` has besides stands in the details
]
N_MELS, N_MFCC, N_LFCC, LOWEST_HZ = 64, 40, 20, 20.0
FLOOR_POWER = 1e-10
# Both sides compute in float32: a power off by 1e-3 of itself is off by .004 dB, and a cepstrum adds up its bands.
TOLERANCE = {"mel": 0.02, "mfcc": 0.02, "lfcc": 0.02, "chroma": 1e-3, POOLED: 0.02}
CLIPS_PER_TASK = 8


def measure(work: Path, tiny: bool) -> list[Row]:
    """Rows 1 to 3."""
    n_clips, n_rounds, n_parallel = (2, 2, 8) if tiny else (24, 4, 160)
    config = load_config("voices", WORDS)
    files = clips(work / "recordings", n_clips)
    with threadpoolctl.threadpool_limits(1):
        return [*_one_core(files, config, n_rounds), _two_cores(files, config, n_parallel, n_rounds)]


def _one_core(files: list[Path], config: Config, n_rounds: int) -> list[Row]:
    say(f"{len(files)} clips: floor, ours and librosa, {n_rounds} rounds")
    deviation = _largest_deviation(files[:4], config)
    calls = {
        "floor": lambda: [read_clip(file, config) for file in files],
        "ours": lambda: [features_of(file, config) for file in files],
        "librosa": lambda: [librosa_features_of(file, config) for file in files],
    }
    seconds = take_turns(calls, n_rounds)
    each = {f"{name}, ms a clip": milliseconds(values, len(files)) for name, values in seconds.items()}
    waveforms = [read_clip(file, config) for file in files]
    each |= {f"of which {name}, ms a clip": value for name, value in _parts(waveforms, config, n_rounds).items()}
    voices = load_config("voices")
    pooled = take_turns({"all": lambda: [extract(waveform, voices, [POOLED]) for waveform in waveforms]}, n_rounds)
    each["not among them: pooled statistics of voices, with their STFT, ms a clip"] = milliseconds(
        pooled["all"], len(waveforms)
    )
    what = "features: OGG file → mel, MFCC, LFCC, chroma, pooled statistics; one core"
    return [
        Row(
            *(1, what, "decode + resample alone"),
            **median_ratio(seconds["ours"], seconds["floor"]),
            reach=1.6,
            moonshot=1.3,
            details=each,
        ),
        Row(
            *(2, "the same, times faster", "librosa, feature by feature"),
            **median_ratio(seconds["librosa"], seconds["ours"]),
            reach=8.0,
            moonshot=15.0,
            larger_is_better=True,
            details={f"largest deviation, {n} (at most {TOLERANCE[n]})": value for n, value in deviation.items()},
        ),
    ]


def features_of(file: Path, config: Config) -> dict[str, np.ndarray]:
    """All features of a file, as the cache and new audio get them."""
    return extract(read_clip(file, config), config, [*FEATURES, POOLED])


def _parts(waveforms: list[np.ndarray], config: Config, n_rounds: int) -> dict[str, float]:
    """Milliseconds a clip of features alone: the first brings the STFT with it, the pooled ones bring all."""
    calls = {
        name: lambda name=name: [extract(waveform, config, [name]) for waveform in waveforms]
        for name in (*FEATURES, POOLED)
    }
    seconds = take_turns(calls, max(2, n_rounds // 3))
    return {f"{name} with its STFT": milliseconds(values, len(waveforms)) for name, values in seconds.items()}


def librosa_features_of(file: Path, config: Config) -> dict[str, np.ndarray]:
    """The same features as notebooks compute them: each opens the file, and has an STFT of its own."""
    rate, n_fft, hop = config.sample_rate_hz, config.spectrogram.n_fft, config.spectrogram.hop_length
    frames = {"n_fft": n_fft, "hop_length": hop}
    load = partial(librosa.load, file, sr=rate, duration=config.clip_duration_s)
    bands = {"n_mels": N_MELS, "fmin": LOWEST_HZ}
    to_db = partial(librosa.power_to_db, amin=FLOOR_POWER, top_db=None)
    found = {
        "mel": to_db(librosa.feature.melspectrogram(y=load()[0], sr=rate, **frames, **bands)),
        "mfcc": librosa.feature.mfcc(
            S=to_db(librosa.feature.melspectrogram(y=load()[0], sr=rate, **frames, **bands)), n_mfcc=N_MFCC
        ),
        "lfcc": _lfcc(np.abs(librosa.stft(load()[0], **frames)) ** 2, rate, n_fft),
        "chroma": librosa.feature.chroma_stft(y=load()[0], sr=rate, **frames, tuning=0.0),
    }
    waveform = load()[0]
    power = np.abs(librosa.stft(waveform, **frames)) ** 2
    columns = [_over_time(found[name]) for name in config.pooled]
    for name in config.statistics:
        columns.append([*plugins.load("statistics", name).pool(waveform, power, rate, hop).values()])
    return found | {POOLED: np.concatenate(columns).astype(np.float32)}


def _lfcc(power: np.ndarray, rate: int, n_fft: int) -> np.ndarray:
    edges_hz = np.linspace(0, rate / 2, N_LFCC + 2)
    bins_hz = librosa.fft_frequencies(sr=rate, n_fft=n_fft)
    bank = np.array([np.interp(bins_hz, edges_hz[i : i + 3], [0, 1, 0]) for i in range(N_LFCC)])
    return scipy.fft.dct(10 * np.log10(np.maximum(bank @ power, FLOOR_POWER)), axis=0, type=2, norm="ortho")


def _over_time(feature: np.ndarray) -> np.ndarray:
    """Mean, deviation, two percentiles over the mean and mean step of each band, statistic by statistic."""
    spread = [np.percentile(feature, q, axis=1) - feature.mean(axis=1) for q in (10, 90)]
    steps = np.abs(np.diff(feature, axis=1)).mean(axis=1)
    return np.concatenate([feature.mean(axis=1), feature.std(axis=1), *spread, steps])


def _largest_deviation(files: list[Path], config: Config) -> dict[str, float]:
    """Between the two sides, by feature.

    Raises:
        FakevoiceError: it is more than float32 explains.
    """
    names = pooled_names(config)
    found = dict.fromkeys(TOLERANCE, 0.0)
    for file in files:
        ours, theirs = features_of(file, config), librosa_features_of(file, config)
        for name in found:
            found[name] = max(found[name], float(np.abs(ours[name] - theirs[name]).max()))
            if not found[name] <= TOLERANCE[name]:
                at = np.abs(ours[name] - theirs[name]).argmax()
                where = f" in column {names[at]}" if name == POOLED else ""
                raise FakevoiceError(f"{name} of {file.name} is {found[name]:.3g} off librosa's{where}")
    return found


def _two_cores(files: list[Path], config: Config, n_clips: int, n_rounds: int) -> Row:
    tasks = [
        [files[(start + i) % len(files)] for i in range(CLIPS_PER_TASK)] for start in range(0, n_clips, CLIPS_PER_TASK)
    ]
    say(f"{CLIPS_PER_TASK * len(tasks)} clips on 1 and on {N_CORES} cores, {n_rounds} rounds")
    work = partial(_count, config)
    calls = {n: lambda n=n: list(run_parallel(work, tasks, "", "", n)) for n in (1, N_CORES)}
    seconds = take_turns(calls, n_rounds)
    n_done = CLIPS_PER_TASK * len(tasks)
    return Row(
        *(3, f"the same on {N_CORES} cores, times faster", "one core"),
        **median_ratio(seconds[1], seconds[N_CORES]),
        reach=1.85,
        moonshot=1.95,
        larger_is_better=True,
        details={f"{n} cores, clips a second": n_done / float(np.median(seconds[n])) for n in calls},
    )


def _count(config: Config, files: list[Path]) -> int:
    return sum(len(features_of(file, config)) for file in files)


if __name__ == "__main__":
    run_theme(measure, __file__)
