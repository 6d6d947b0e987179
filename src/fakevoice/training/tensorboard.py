"""What TensorBoard shows of one fold of one network, written as it trains: `./run.sh tensorboard`.

Held-out numbers are to look at; nothing is chosen by them. Probabilities are those before calibration.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fakevoice.core.figures import legend_label, new_figure
from fakevoice.metrics.slices import reliability

N_PICTURES = 8  # of the first batch
N_BINS = 10  # of a reliability curve


@contextmanager
def written_to(folder: Path, n_epochs_done: int) -> Iterator[Any]:
    """A TensorBoard writer for the epochs that are still to come.

    A training from the start leaves nothing of an earlier one. One that goes on hides what a killed process has written
    of an epoch that is now made again.

    Args:
        n_epochs_done: whole epochs that an interrupted training left.
    """
    from torch.utils.tensorboard import SummaryWriter

    if not n_epochs_done:
        for old in folder.glob("events.*"):
            old.unlink()
    with _told_once(), SummaryWriter(folder, purge_step=n_epochs_done + 1) as writer:
        yield writer


@contextmanager
def _told_once() -> Iterator[None]:
    """Let what stops TensorBoard's thread, as a full disk does, be raised by the next call of its writer alone.

    The thread keeps its error for that, and would print a traceback besides.
    """
    before = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        if getattr(failed.thread, "exception", None) is not failed.exc_value:
            before(failed)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before


def write_epoch(writer: Any, row: dict[str, float]) -> None:
    """Each number of a row of the learning curve, at its epoch; what reads along sees it at once."""
    for name in row.keys() - {"epoch"}:
        writer.add_scalar(name, row[name], row["epoch"])
    writer.flush()


def write_held_out(writer: Any, epoch: int, label: np.ndarray, probability: np.ndarray, outputs: list[str]) -> None:
    """Precision against recall, and reliability, of each output on the fold that is held back.

    Args:
        label, probability: (n_scenes, n_outputs).
    """
    for index, output in enumerate(outputs):
        writer.add_pr_curve(f"precision_recall/{output}", label[:, index], probability[:, index], epoch)
    writer.add_figure("reliability", draw_reliability(label, probability, outputs), epoch, close=False)


def write_first_batch(writer: Any, x: np.ndarray, y: np.ndarray, columns: list[str]) -> None:
    """What the network sees of its first clips, augmented and standardised.

    Args:
        x: (batch, 1, n_bands, n_frames).
        y: (batch, n_columns), of `columns`; shares where an augmentation mixes clips.
    """
    writer.add_figure("first_batch", draw_batch(x, y, columns), 0, close=False)


def draw_reliability(label: np.ndarray, probability: np.ndarray, outputs: list[str]) -> Figure:
    """What share of the scenes in which a probability was predicted held the output, beside what it should be."""
    figure = new_figure(figsize=(4.5, 4))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for index, output in enumerate(outputs):
        bins = reliability(label[:, index], probability[:, index], N_BINS)
        axes.plot(bins["predicted"], bins["observed"], "o-", markersize=4, label=legend_label(output))
    axes.set(xlabel="probability, before calibration", ylabel="share of scenes that hold it", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure


def draw_batch(x: np.ndarray, y: np.ndarray, columns: list[str]) -> Figure:
    """The first pictures of a batch, each under what it is labelled, on axes that they share: others would be slow."""
    n_shown = min(N_PICTURES, len(x))
    n_columns = (n_shown + 1) // 2
    n_bands, n_frames = x.shape[2:]
    figure = new_figure(figsize=(2.5 * n_columns + 2, 5))
    axes = figure.subplots()
    for index, (picture, share) in enumerate(zip(x[:n_shown, 0], y, strict=False)):
        row, left = divmod(index, n_columns)
        place = {"extent": (left, left + 0.96, -row, 0.9 - row), "origin": "lower", "aspect": "auto"}
        image = axes.imshow(picture, cmap="magma", vmin=-3, vmax=3, **place)
        axes.text(left, 0.9 - row, _label_text(share, columns), fontsize=9, va="bottom")
    axes.set(xlabel=f"{n_frames} frames each", ylabel=f"{n_bands} bands each", xticks=[], yticks=[], frame_on=False)
    axes.set(xlim=(0, n_columns), ylim=(-1, 1))
    figure.colorbar(image, label="deviations from the training mean")
    return figure


def _label_text(share: np.ndarray, columns: list[str]) -> str:
    parts = zip(columns, share, strict=True)
    return " + ".join(name if value == 1 else f"{value:.2g} {name}" for name, value in parts if value) or "none"
