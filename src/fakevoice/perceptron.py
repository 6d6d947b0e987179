"""A perceptron on the stacker's columns: smooth where trees have steps, so that the two err on other clips.

Batch normalisation, dropout of units and of columns, AdamW under one cycle of the learning rate (Smith & Topin 2018).
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from fakevoice.settings import Perceptron
from fakevoice.storage import write_bytes

LARGEST = 4.0  # deviations from a column's mean; how much further out a clip lies says no more
LEAST_DEVIATION = 1e-6
WARMUP = 0.1  # of the steps


class ColumnPerceptron(nn.Module):
    """Standardisation, two hidden layers, linear head."""

    def __init__(self, n_columns: int, n_outputs: int, settings: Perceptron):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("deviation", torch.ones(n_columns))
        hidden = (
            nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.SiLU(), nn.Dropout(settings.dropout))
            for n_in, n_out in pairwise([n_columns, settings.width, settings.width])
        )
        self.layers = nn.Sequential(nn.Dropout(settings.input_dropout), *hidden)
        self.head = nn.Linear(settings.width, n_outputs)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) from columns (batch, n_columns); one that is not a number counts as its mean."""
        x = ((columns - self.mean) / self.deviation).nan_to_num()
        return self.head(self.layers(x.clamp(-LARGEST, LARGEST)))

    @torch.inference_mode()
    def logits(self, columns: np.ndarray) -> np.ndarray:
        """Logits (n_rows, n_outputs) float64 of columns (n_rows, n_columns)."""
        torch.set_num_threads(1)  # sums depend on how they are split
        return self.eval()(_tensor(columns)).numpy().astype(np.float64)


def fit_perceptron(columns: np.ndarray, target: np.ndarray, settings: Perceptron, seed: int) -> ColumnPerceptron:
    """Fit to all rows; the same rows, settings and seed give the same weights.

    Args:
        columns: (n_rows, n_columns) float32, at least two rows.
        target: (n_rows, n_outputs) of 0 and 1.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    x, y = _tensor(columns), _tensor(target)
    model = ColumnPerceptron(x.shape[1], y.shape[1], settings)
    _standardise(model, columns)
    batch_size = min(settings.batch_size, len(x))
    n_steps = settings.n_epochs * (len(x) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=n_steps + 1, pct_start=WARMUP
    )
    for _ in range(settings.n_epochs):
        whole = torch.randperm(len(x))[: len(x) // batch_size * batch_size]  # one row alone has no variance
        for rows in whole.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _standardise(model: ColumnPerceptron, columns: np.ndarray) -> None:
    known = np.ma.masked_invalid(columns)
    mean, deviation = (known.mean(axis=0).filled(0), known.std(axis=0).filled(0))
    model.mean.copy_(_tensor(mean))
    model.deviation.copy_(_tensor(deviation) + LEAST_DEVIATION)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def save_perceptron(path: Path, model: ColumnPerceptron) -> None:
    """Write weights and standardisation as safetensors."""
    write_bytes(path, safetensors.torch.save(model.state_dict()))


def load_perceptron(path: Path, settings: Perceptron) -> ColumnPerceptron:
    """Read what `save_perceptron` wrote.

    Raises:
        OSError: no file.
        ValueError: not safetensors, or of other settings.
    """
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        model = ColumnPerceptron(len(tensors["mean"]), len(tensors["head.bias"]), settings)
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(str(error)) from error
    return model.eval()
