"""The networks of a run as one graph of tensors, from samples to probabilities: what `./run.sh export` writes.

Features, standardisation and crop are computed by the code that training uses. The spectrum is a convolution with the
windowed Fourier basis, since exchange formats know no complex numbers. All is float32, as scoring always is, whatever
precision the networks were trained in.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.signal
import torch
from scipy.special import logit
from torch import nn
from torch.nn import functional as F

from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ConfigError
from fakevoice.core.models import SAMPLE_RATE_HZ
from fakevoice.core.tasks import EPSILON
from fakevoice.ensemble.blend import EXACT_LOG_ODDS, MAX_LOG_ODDS, Blend, possible_combinations
from fakevoice.ensemble.calibration import PROBABILITY_FLOOR
from fakevoice.features.embed import build_encoder, exact, is_encoder
from fakevoice.training.networks import TrainedNetwork, label_log_odds

Curve = Callable[[dict[str, Any], torch.Tensor], torch.Tensor]


def refuse_unexportable(config: Config, networks: dict[str, list[TrainedNetwork]]) -> None:
    """Stop where a network cannot leave the pipeline.

    Raises:
        ConfigError: no network at all; one that reads a feature without a graph of tensors, or that has recurrent
            layers; a calibrator without a curve of tensors. The message says what can be exported.
    """
    if not networks:
        raise ConfigError(f"export: {config.competition} has no networks, and the stacker stays here: name a network")
    features = [f for f in plugins.names("features") if getattr(plugins.load("features", f), "TAKES_TENSORS", False)]
    for name, folds in networks.items():
        network = config.networks[name]
        if is_encoder(config.features[network.feature]):
            if config.sample_rate_hz != SAMPLE_RATE_HZ:
                raise ConfigError(f"export: networks.{name} reads an encoder at 16 kHz: set sample_rate_hz=16000")
        elif network.feature not in features:
            raise ConfigError(
                f"export: networks.{name} reads {network.feature}, which is computed in NumPy alone; networks on "
                f"{', '.join(features)} can be exported"
            )
        if any(isinstance(part, nn.RNNBase) for part in folds[0].model.modules()):
            raise ConfigError(
                f"export: networks.{name} ({network.model.name}) has recurrent layers; networks without them can be "
                "exported, e.g. cnn, resnet, or lcnn with pooling=mean or attention"
            )
    if config.ensemble.calibrator not in CURVES:
        raise ConfigError(f"export: not with the calibrator {config.ensemble.calibrator}, but {', '.join(CURVES)}")


class PowerSpectrogram(nn.Module):
    """As `spectrum.power_spectrogram`, for a batch."""

    def __init__(self, n_fft: int, hop_length: int, pad_mode: str = "constant"):
        super().__init__()
        self.pad_mode = pad_mode
        window = scipy.signal.get_window("hann", n_fft).astype(np.float32)
        basis = np.fft.rfft(np.diag(window)).T  # (n_fft // 2 + 1, n_fft): each row gives one bin of a frame
        parts = np.concatenate([basis.real, basis.imag]).astype(np.float32)
        self.register_buffer("basis", torch.from_numpy(parts)[:, None])
        self.n_fft, self.hop_length = n_fft, hop_length

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(batch, n_fft // 2 + 1, n_frames) of samples (batch, n_samples)."""
        padded = F.pad(waveform[:, None], (self.n_fft // 2, self.n_fft // 2), mode=self.pad_mode)
        real, imaginary = F.conv1d(padded, self.basis, stride=self.hop_length).chunk(2, dim=1)
        return real.square() + imaginary.square()


class Fold(nn.Module):
    """A network of one fold, from what it reads to one logit of each output."""

    def __init__(self, trained: TrainedNetwork, n_outputs: int, task: str):
        super().__init__()
        # a copy, since the run's own may lie on a GPU and is laid out for scoring
        self.model = copy.deepcopy(trained.model).to("cpu", memory_format=torch.contiguous_format).eval()
        given = trained.standardizer
        mean, deviation = torch.from_numpy(given.mean), torch.from_numpy(given.deviation)
        self.standardizer = replace(given, mean=mean, deviation=deviation)
        self.membership = None if trained.membership is None else trained.membership.cpu()
        self.one_of_many = torch.eye(n_outputs, dtype=torch.bool) if task == "multiclass" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) of features (batch, n_bands, n_frames)."""
        logits = self.model(self.standardizer(x)[:, None]).float()
        if self.membership is not None:
            logits = label_log_odds(logits, self.membership)
        if self.one_of_many is None:
            return logits
        furthest = float(logit(1 - EPSILON))  # as `tasks.one_output_each`, without a detour over probabilities
        return label_log_odds(logits, self.one_of_many).clamp(-furthest, furthest)


class FoldLogits(nn.Module):
    """What every network of every fold says of a waveform."""

    def __init__(self, config: Config, networks: dict[str, list[TrainedNetwork]]):
        super().__init__()
        self.power = PowerSpectrogram(config.spectrogram.n_fft, config.spectrogram.hop_length)
        self.features = {name: config.networks[name].feature for name in networks}
        config = exact(config)
        self.args, self.sample_rate_hz = config.features, config.sample_rate_hz
        n_outputs, task = len(config.outputs), config.task
        self.encoders = nn.ModuleDict()
        for feature in dict.fromkeys(self.features.values()):
            if is_encoder(config.features[feature]):
                self.encoders[feature] = _exportable_encoder(config.n_samples, config.features[feature])
        self.networks = nn.ModuleDict(
            {name: nn.ModuleList([Fold(fold, n_outputs, task) for fold in folds]) for name, folds in networks.items()}
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_folds, n_networks, n_outputs) of samples (batch, n_samples) float32."""
        power = self.power(waveform)
        heard = {feature: self._feature(feature, waveform, power) for feature in dict.fromkeys(self.features.values())}
        members = [
            torch.stack([fold(heard[self.features[name]]) for fold in folds], dim=1)
            for name, folds in self.networks.items()
        ]
        return torch.stack(members, dim=2)

    def _feature(self, name: str, waveform: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        if name in self.encoders:
            return self.encoders[name](waveform)
        return plugins.load("features", name).compute(power, self.sample_rate_hz, **self.args[name]).float()


def _exportable_encoder(n_samples: int, args: dict[str, Any]) -> nn.Module:
    """A pretrained encoder without complex numbers, which exchange formats do not have."""
    encoder = build_encoder(n_samples, args)
    power = getattr(encoder.front, "power", None)
    if power is not None:
        encoder.front.power = PowerSpectrogram(power.n_fft, power.hop_length, pad_mode="reflect")
    return encoder


class Exportable(nn.Module):
    """From samples to calibrated probabilities: all networks, the mean over folds, the blend."""

    def __init__(self, logits: FoldLogits, blend: Blend):
        super().__init__()
        self.logits, self.blend = logits, TensorBlend(blend)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Probabilities (batch, n_outputs) float32 of samples (batch, n_samples) float32."""
        return self.blend(self.logits(waveform).mean(dim=1))


class TensorBlend(nn.Module):
    """As `Blend.probability`."""

    def __init__(self, blend: Blend):
        super().__init__()
        for name in ("weights", "intercepts"):
            self.register_buffer(name, torch.tensor(getattr(blend, name), dtype=torch.float32))
        self.register_buffer("combinations", torch.tensor(blend.combinations, dtype=torch.bool))
        possible = possible_combinations(np.array(blend.combinations), blend.conditions)
        self.register_buffer("possible", torch.from_numpy(possible))
        self.curve, self.parameters_of, self.task = CURVES[blend.calibrator], blend.parameters, blend.task

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (batch, n_outputs) of logits (batch, n_members, n_outputs)."""
        scores = logits.flatten(1) @ self.weights.T + self.intercepts
        blended = _compressed(label_log_odds(scores, self.combinations, self.possible))
        columns = [self.curve(parameters, blended[:, i]) for i, parameters in enumerate(self.parameters_of)]
        furthest = float(logit(1 - PROBABILITY_FLOOR))
        probability = torch.stack(columns, dim=1).clamp(-furthest, furthest).sigmoid()
        return probability / probability.sum(dim=1, keepdim=True) if self.task == "multiclass" else probability


def _compressed(log_odds: torch.Tensor) -> torch.Tensor:
    """As `blend` does it."""
    room = MAX_LOG_ODDS - EXACT_LOG_ODDS
    size = log_odds.abs()
    beyond = (size - EXACT_LOG_ODDS).clamp(min=0.0)
    return log_odds.sign() * (size.clamp(max=EXACT_LOG_ODDS) + room - room**2 / (beyond + room))


CURVES: dict[str, Curve] = {  # calibrator → its `apply`, up to the sigmoid
    "identity": lambda p, x: x,
    "platt": lambda p, x: p["scale"] * x + p["shift"],
}
