"""A picture of what is heard when: the sound of each recording, and under it the probabilities of its windows."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fakevoice.analysis.exploration import draw_spectrogram
from fakevoice.audio.read import read_audio
from fakevoice.core.artifacts import atomic_file
from fakevoice.core.config import Config
from fakevoice.core.errors import AudioError
from fakevoice.core.figures import legend_label, new_figure

MAX_RECORDINGS = 12
MAX_SHOWN_S = 1800.0


def save_timeline(path: Path, timeline: pd.DataFrame, files: dict[str, Path], config: Config) -> None:
    """Write the picture as PNG, whole or not at all."""
    figure = draw_timeline(timeline, files, config.outputs, config.sample_rate_hz)
    with atomic_file(path) as file:
        figure.savefig(file, dpi=110, format="png")


def draw_timeline(timeline: pd.DataFrame, files: dict[str, Path], outputs: list[str], sample_rate_hz: int) -> Figure:
    """Spectrogram and probabilities of the first recordings, one under the other.

    Args:
        timeline: as of `recordings.Answers`.
        files: id → the file with its sound; without a spectrogram where it cannot be read.
        outputs: names of the probability columns.
        sample_rate_hz: up to half of which frequencies are shown.
    """
    shown = list(timeline.groupby("id", sort=False))[:MAX_RECORDINGS]
    figure = new_figure(figsize=(11, 4.4 * len(shown)), layout="constrained")
    grid = figure.subplots(2 * len(shown), 1, squeeze=False, height_ratios=[1, 1.2] * len(shown)).ravel()
    for (name, rows), above, below in zip(shown, grid[::2], grid[1::2], strict=True):
        end_s = min(float(rows["end_s"].max()), MAX_SHOWN_S)
        try:
            sound = read_audio(files[name], sample_rate_hz, max(end_s, 0.1)).waveform
            draw_spectrogram(above, sound, sample_rate_hz)
            end_s = end_s or len(sound) / sample_rate_hz
        except AudioError as error:
            above.text(0.5, 0.5, error.reason, ha="center", transform=above.transAxes)
            above.set(xlabel="time (s)", ylabel="frequency (Hz)")
        above.set(title=str(name), xlim=(0, 1.02 * end_s or 1))
        draw_probabilities(below, rows.assign(end_s=rows["end_s"].where(rows["end_s"] > 0, end_s)), outputs)
        below.set_xlim(0, 1.02 * end_s or 1)
    return figure


def draw_probabilities(axes: Axes, rows: pd.DataFrame, outputs: list[str]) -> None:
    """The probability of each output at the end of every window, between what single folds say; grey: out of range."""
    rows = rows.sort_values("end_s")
    for output in outputs:
        (line,) = axes.plot(rows["end_s"], rows[output], "o-", markersize=3, label=legend_label(output))
        axes.fill_between(
            rows["end_s"], rows[f"{output}_low"], rows[f"{output}_high"], alpha=0.2, color=line.get_color(), linewidth=0
        )
    outside = rows[rows["distance"] > 1]
    for place, row in enumerate(outside.itertuples()):
        label = "outside of what training covered" if place == 0 else None
        axes.axvspan(row.start_s, row.end_s, color="grey", alpha=0.08, linewidth=0, label=label)
    axes.set(xlabel="end of the window (s)", ylabel="probability", ylim=(-0.02, 1.02))
    axes.set_yticks(np.linspace(0, 1, 5))
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
