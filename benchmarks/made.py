"""What the benchmarks measure on, made on the spot: recordings as DACON's, competitions of them, one finished run."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import yaml
from joblib.externals.loky import get_reusable_executor
from rows import say
from timing import Watched, watch

from fakevoice.core.artifacts import read_json
from fakevoice.core.config import Config, load_config
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, VOICE_TEXT, read_table, write_table
from fakevoice.core.tasks import network_targets
from fakevoice.data.clip_cache import open_clips
from fakevoice.parallel.pool import run_parallel
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render_all
from fakevoice.training.fold_trainer import FoldJob

SOURCE_RATE_HZ, CLIP_S = 32_000, 5.0  # of DACON's files
TRAIN_SHARE, UNLABELED_SHARE = 0.52, 0.012  # of DACON's 106,702 clips
CHUNK = 64
# Codecs cost each scene the same, and most of its time: they say nothing about growth.
PLAIN_SCENES = {"codec_probability": 0, "container": ""}
NO_VOCODERS_OR_ROOMS = {"resynthesis_probability": 0, "room_probability": 0}  # for the same reason
DACON = {"dataset": {"name": "dacon"}}
RUN = ["--config", "demo"]
# The networks and folds of configs/voices.yaml on the demo's voices, trained for one epoch.
VOICES_SIZED = [
    *(f"dataset.args.{split}" for split in ("n_train=160", "n_test=64", "n_unlabeled=32")),
    *("scenes.n_scenes=400", "stacker.n_rounds=100", "ensemble.n_bootstrap=20"),
    *(f"networks.{name}.{word}" for name in ("mel", "mfcc") for word in ("model.args.width=16", "training.n_epochs=1")),
    *(f"scenes.{key}={value!r}" for key, value in PLAIN_SCENES.items()),
]
TINY = [
    *(f"dataset.args.{split}" for split in ("n_train=48", "n_test=8", "n_unlabeled=8")),
    *("scenes.n_scenes=96", "shard_size=32", "stacker.n_rounds=5", "ensemble.n_bootstrap=10"),
    *("folds.n_folds=2", "stacker.min_rows_per_leaf=5"),
    *(f"networks.{name}.training.{word}" for name in ("mel", "mfcc") for word in ("n_epochs=1", "batch_size=16")),
    *(f"networks.{name}.model.args.width=4" for name in ("mel", "mfcc")),
]


def sound(index: int, duration_s: float = CLIP_S, sample_rate_hz: int = SOURCE_RATE_HZ) -> np.ndarray:
    """Syllables of a gliding pitch with overtones up to half the rate, over a faint hiss: (n_samples,) float32."""
    rng = np.random.default_rng([7, index])
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    pitch_hz = rng.uniform(90, 280) * 2 ** (0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 1.5) * time_s))
    pulses = scipy.signal.sawtooth(2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz)
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(1.5, 3.0) * time_s + rng.uniform(0, 6)), 0, 1)
    formant_hz = rng.uniform(400, 1200) / (sample_rate_hz / 2)
    voice = scipy.signal.lfilter(*scipy.signal.butter(2, formant_hz), pulses) + 0.1 * pulses
    waveform = 0.2 * voice * syllables + rng.uniform(0.002, 0.02) * rng.standard_normal(len(time_s))
    return waveform.astype(np.float32)


def write_clip(file: Path, index: int, duration_s: float = CLIP_S) -> None:
    """`sound` as the name says: Vorbis in .ogg, 16-bit samples in .wav."""
    soundfile.write(file, np.clip(sound(index, duration_s), -1, 1), SOURCE_RATE_HZ)


def clips(folder: Path, n_clips: int, duration_s: float = CLIP_S, suffix: str = ".ogg") -> list[Path]:
    """Recordings numbered from 0; those that lie there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"C{index:05d}{suffix}" for index in range(n_clips)]
    missing = [(index, file) for index, file in enumerate(files) if not file.is_file()]
    if missing:
        say(f"making {len(missing)} recordings of {duration_s:g} s")
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    for _ in run_parallel(partial(_write, duration_s), chunks, "", ""):
        pass
    if missing:
        get_reusable_executor().shutdown()  # workers that idle hold memory, and count as work when they end
    return files


def _write(duration_s: float, chunk: list[tuple[int, Path]]) -> None:
    for index, file in chunk:
        write_clip(file, index, duration_s)


def competition(home: Path, name: str, files: list[Path], tree: dict[str, Any], extends: str = "voices") -> Path:
    """A competition in DACON's layout and shares, groups unknown, and its config.

    Args:
        files: hard links to them are its clips.
        tree: what its config has otherwise than that which it extends.

    Returns:
        The config's file.
    """
    folder = home / "data" / name
    n_train, n_unlabeled = round(TRAIN_SHARE * len(files)), max(4, round(UNLABELED_SHARE * len(files)))
    for split in ("train", "test", "unlabeled_data"):
        (folder / split).mkdir(parents=True)
    parts = {"train": files[:n_train], "unlabeled_data": files[n_train : n_train + n_unlabeled]}
    parts["test"] = files[n_train + n_unlabeled :]
    for split, part in parts.items():
        for file in part:
            os.link(file, folder / split / file.name)
    tables = {split: _clip_table(split, parts[split]) for split in ("train", "test")}
    tables["train"]["label"] = np.resize(["fake", "real"], n_train)
    tables["sample_submission"] = tables["test"][["id"]].assign(fake=0.5, real=0.5)
    for table, content in tables.items():
        write_table(folder / f"{table}.csv", content)
    config = home / f"{name}.yaml"
    config.write_text(yaml.safe_dump({"extends": extends, "competition": name, **DACON, **tree}))
    return config


def _clip_table(split: str, files: list[Path]) -> pd.DataFrame:
    return pd.DataFrame({"id": [f.stem for f in files], "path": [f"./{split}/{f.name}" for f in files]})


def environment(home: Path) -> dict[str, str]:
    """With it a command of the line reads and writes below `home` alone."""
    return {"FAKEVOICE_HOME": str(home), "FAKEVOICE_DATA": str(home / "data")}


def run_command(home: Path, *words: str | Path) -> Watched:
    """Run what `./run.sh` hands over to, on the data below `home`."""
    return watch([sys.executable, "-m", "fakevoice", *words], environment(home))


@dataclass(frozen=True)
class Run:
    """A run, finished or as far as some stage.

    Attributes:
        home: FAKEVOICE_HOME of it.
        words: of the command line that made it, after the command.
    """

    home: Path
    words: list[str]
    config: Config
    paths: Paths

    @classmethod
    def at(cls, home: Path, words: list[str]) -> "Run":
        """The run of ``--config NAME key=value ...``; this process has its folders in the environment from now on."""
        os.environ.update(environment(home))
        config = load_config(words[1], words[2:])
        return cls(home, words, config, paths(config))

    @property
    def scenes(self) -> pd.DataFrame:
        return read_table(self.paths.stage("scenes") / "scenes.csv", SCENE_TEXT)

    @property
    def voices(self) -> pd.DataFrame:
        return read_table(self.paths.stage("scenes") / "voices.csv", VOICE_TEXT)

    @property
    def features(self) -> dict[str, Path]:
        """Feature → its folder in the cache."""
        index = read_json(self.paths.stage("features") / "features.json")
        return {name: self.paths.cache / folder for name, folder in index.items()}

    def rendered(self, scenes: pd.DataFrame, voices: pd.DataFrame) -> Iterator[np.ndarray]:
        """The sound of some of its scenes, (n_samples,) float32 each, from what the stages before have kept."""
        tables = {
            name: read_table(self.paths.stage("prepare") / f"{name}.csv", CLIP_TEXT) for name in ("clips", "audit")
        }
        sounds = open_clips(tables["clips"], tables["audit"], self.paths.cache, self.paths.raw, self.config)
        return render_all(scenes, voices, sounds.read, NoiseBank.load(self.paths.stage("scenes")), self.config)

    def weights(self, network: str, fold: int = 0) -> Path:
        """File of a trained network."""
        return self.paths.stage("train") / network / f"fold{fold}" / "weights.safetensors"

    def precision(self, network: str) -> str:
        """What a network computes in, fp32 or bf16: as the config says, or what the run has found faster."""
        asked = self.config.networks[network].training.precision
        if asked != "auto":
            return asked
        return read_json(self.paths.stage("train") / network / "precision.json")["precision"]

    def job(self, name: str, folder: Path, training: dict[str, Any], width: int | None = None) -> FoldJob:
        """The training of fold 0 of a network, with other settings and elsewhere, in the precision of the run.

        Args:
            training: settings of the training that are other ones.
            width: of the network; the config's if None.
        """
        network = self.config.networks[name]
        model = network.model if width is None else network.model.model_copy(update={"args": {"width": width}})
        training = {"precision": self.precision(name)} | training
        update = {"training": network.training.model_copy(update=training), "model": model}
        network, fold = network.model_copy(update=update), self.scenes["fold"].to_numpy(np.int64)
        target = network_targets(self.scenes["state"], network, self.config)
        features = self.features[network.feature]
        return FoldJob(name, network, self.config, features, target, fold, 0, folder, folder / "tensorboard")


def finished_run(work: Path, tiny: bool) -> Run:
    """The demo, run to its end with networks, folds and boosters as large as those of `voices`; made once."""
    home, words = work / "home", [*RUN, *(TINY if tiny else VOICES_SIZED)]
    if not (home / "submissions").is_dir():
        say("one whole run of the demo")
        run_command(home, "all", *words)
    return Run.at(home, words)


def drawn_run(home: Path, files: list[Path], tree: dict[str, Any], extends: str = "voices") -> Run:
    """A `competition` of some files, as many scenes drawn from them as there are files, and nothing else done."""
    words = ["--config", str(competition(home, "drawn", files, tree, extends)), f"scenes.n_scenes={len(files)}"]
    run_command(home, "scenes", *words)
    return Run.at(home, words)
