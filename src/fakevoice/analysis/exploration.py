"""What can be seen before any training: the clips' facts and their spectra."""

import math

import numpy as np
import pandas as pd

from fakevoice.audio.spectrum import log_mel, mel_filter_bank, power_spectrogram
from fakevoice.core.artifacts import read_array
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, FOLD_TEXT, read_table

SHOWN_TICKS_HZ = (200, 500, 1000, 2000, 4000, 8000, 16000)
SHOWN_FRAME_S, SHOWN_HOP_S, SHOWN_MELS, SHOWN_DB = 0.064, 0.010, 64, 80.0
# Slaney's mel scale is linear up to 1 kHz, a stretch that is as high as 0.45 decades above it.
MEL_SCALE = {"value": "symlog", "linthresh": 1000.0, "linscale": 0.9 * 0.448}


def load_clips(config: Config) -> pd.DataFrame:
    """Every clip of the raw folder with what is known about it, as soon as the folds are made.

    Returns:
        The columns of `audit.audit_clips`, label ("" where unknown), and for training clips group and fold.

    Raises:
        ArtifactError: the folds are not made yet.
    """
    prepared, folds = paths(config).stage("prepare"), paths(config).stage("folds")
    if not (folds / "manifest.json").is_file():
        raise ArtifactError(f"no folds in {folds}: ./run.sh folds --config {config.competition}")
    labels = read_table(prepared / "clips.csv", CLIP_TEXT)[["id", "split", "label"]]
    rows = read_table(folds / "folds.csv", FOLD_TEXT)[["id", "group", "fold"]].assign(split="train")
    clips = read_table(prepared / "audit.csv", CLIP_TEXT)
    for table in (labels, rows):
        clips = clips.merge(table, on=["id", "split"], how="left", validate="1:1")
    return clips.fillna({"label": "", "group": ""})


def average_spectra(config: Config) -> pd.DataFrame:
    """Mean level of each mel band around each clip's own mean, by split and label.

    Returns:
        Index frequency_hz (centres of the audit's 40 bands); a column in dB per split and label.
    """
    prepared = paths(config).stage("prepare")
    usable = read_table(prepared / "clips.csv", CLIP_TEXT)[["split", "label"]]
    level_db = read_array(prepared / "fingerprints.npy")
    level_db = level_db[:, : level_db.shape[1] // 2]  # (n_clips, n_mels); the other half are deviations over time
    spectra = pd.DataFrame(level_db).groupby((usable["split"] + " " + usable["label"]).str.strip()).mean().T
    bank = mel_filter_bank(config.sample_rate_hz, 4096, level_db.shape[1], 0.0, config.sample_rate_hz / 2)
    return spectra.set_index(pd.Index(_centres_hz(bank, config.sample_rate_hz), name="frequency_hz"))


def _centres_hz(bank: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    return bank @ np.linspace(0, sample_rate_hz / 2, bank.shape[1]) / bank.sum(axis=1)


def clip_spectrogram(waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mel spectrogram for the eye, the same whatever the features of the config.

    Returns:
        time_s (n_frames,), frequency_hz (n_mels,) and level_db (n_mels, n_frames) float32.
    """
    n_fft = 1 << round(math.log2(SHOWN_FRAME_S * sample_rate_hz))
    hop_length = round(SHOWN_HOP_S * sample_rate_hz)
    level_db = log_mel(power_spectrogram(waveform, n_fft, hop_length), sample_rate_hz, SHOWN_MELS)
    bank = mel_filter_bank(sample_rate_hz, n_fft, SHOWN_MELS, 20.0, sample_rate_hz / 2)
    return np.arange(level_db.shape[1]) * SHOWN_HOP_S, _centres_hz(bank, sample_rate_hz), level_db


def draw_spectrogram(axes, waveform: np.ndarray, sample_rate_hz: int):
    """Draw `clip_spectrogram` on matplotlib axes, 80 dB deep; returns the image, for a colour bar."""
    time_s, frequency_hz, level_db = clip_spectrogram(waveform, sample_rate_hz)
    top = float(level_db.max())
    image = axes.pcolormesh(time_s, frequency_hz, level_db, vmin=top - SHOWN_DB, vmax=top, cmap="magma")
    ticks_hz = [tick for tick in SHOWN_TICKS_HZ if tick <= sample_rate_hz / 2]
    axes.set_yscale(**MEL_SCALE)
    axes.set_yticks(ticks_hz, [str(tick) for tick in ticks_hz])
    axes.set_yticks([], minor=True)
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", ylim=(frequency_hz[0], sample_rate_hz / 2))
    return image
