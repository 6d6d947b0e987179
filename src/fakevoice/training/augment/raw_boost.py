"""RawBoost: channel, impulses and coloured noise that need no recordings (Tak et al. 2022)."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import scipy.signal
from pydantic import Field

from fakevoice.audio.channel import gain, rms
from fakevoice.core.config_sections import Range, Share

INPUT = "waveform"
N_NOTCHES, CENTRE_HZ, WIDTH_HZ, HALF_TAPS = 5, (20.0, 8000.0), (100.0, 1000.0), (5, 50)


def build(
    sample_rate_hz: int,
    *,
    algorithms: Annotated[tuple[Literal[1, 2, 3], ...], Field(min_length=1)] = (1, 2, 3),
    n_powers: Annotated[int, Field(ge=1, le=100)] = 5,
    power_db: Range = (-20.0, -5.0),
    impulse_share: Share = 0.1,
    impulse_gain: Annotated[float, Field(ge=0, le=1000)] = 2.0,
    snr_db: Range = (10.0, 40.0),
    probability: Share = 0.5,
) -> Callable:
    """Disturb a waveform by the algorithms that are named, one after the other.

    Args:
        algorithms: 1 linear and non-linear convolutive noise, 2 impulsive noise that depends on the signal,
            3 stationary coloured noise that does not.
        n_powers: of the signal that algorithm 1 sums, each through a filter of its own.
        power_db: gain of the powers from the second on.
        impulse_share: of the samples that algorithm 2 disturbs, at most.
        impulse_gain: of an impulse against its sample, at most.
        snr_db: of algorithm 3, over all samples.

    Source: Tak, Kamble, Patino, Todisco & Evans, "RawBoost: a raw data boosting and augmentation method applied to
    automatic speaker verification anti-spoofing", ICASSP 2022; defaults as in their experiments. Here
    algorithm 1 keeps the level of the clip, which would tell an augmented one from another.
    """
    steps: dict[int, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
        1: lambda waveform, rng: _convolved(waveform, sample_rate_hz, n_powers, power_db, rng),
        2: lambda waveform, rng: waveform + _impulses(waveform, impulse_share, impulse_gain, rng),
        3: lambda waveform, rng: waveform + _coloured(waveform, sample_rate_hz, snr_db, rng),
    }

    def augment(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= probability:
            return waveform
        for algorithm in algorithms:
            waveform = steps[algorithm](waveform, rng)
        return waveform.astype(np.float32)

    return augment


def _convolved(
    waveform: np.ndarray, sample_rate_hz: int, n_powers: int, power_db: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Powers of the signal at full scale, each filtered; their sum at the level of the signal."""
    unit = waveform / max(float(np.abs(waveform).max()), 1e-9)
    power, total = unit, _filtered(unit, sample_rate_hz, rng)
    for _ in range(n_powers - 1):
        power = power * unit
        total += gain(rng.uniform(*power_db)) * _filtered(power, sample_rate_hz, rng)
    total -= total.mean()  # even powers have one
    return total * (rms(waveform) / max(rms(total), 1e-9))


def _impulses(waveform: np.ndarray, max_share: float, max_gain: float, rng: np.random.Generator) -> np.ndarray:
    """Samples at random places, each times a random factor around 0."""
    n_places = round(rng.uniform(0, max_share) * len(waveform))
    places = rng.choice(len(waveform), n_places, replace=False, shuffle=False)
    impulses = np.zeros_like(waveform)
    impulses[places] = max_gain * waveform[places] * rng.uniform(-1, 1, n_places) * rng.uniform(-1, 1, n_places)
    return impulses


def _coloured(
    waveform: np.ndarray, sample_rate_hz: int, snr_db: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Filtered white noise at a random level under the signal."""
    noise = _filtered(rng.standard_normal(len(waveform), dtype=np.float32), sample_rate_hz, rng)
    return noise * (rms(waveform) * gain(-rng.uniform(*snr_db)) / max(rms(noise), 1e-9))


def _filtered(waveform: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """(n_samples,) float32 through a cascade of random notches whose highest gain is 1, without its delay."""
    nyquist_hz, taps = sample_rate_hz / 2, np.ones(1)
    for _ in range(N_NOTCHES):
        centre_hz, width_hz = rng.uniform(*CENTRE_HZ), rng.uniform(*WIDTH_HZ)
        edges_hz = np.clip([centre_hz - width_hz / 2, centre_hz + width_hz / 2], 1.0, nyquist_hz - 1.0)
        n_taps = 2 * int(rng.integers(HALF_TAPS[0], HALF_TAPS[1] + 1)) + 1
        if edges_hz[0] < edges_hz[1]:  # otherwise it lies above what this sample rate holds
            taps = np.convolve(taps, scipy.signal.firwin(n_taps, edges_hz, fs=sample_rate_hz))
    taps /= np.abs(np.fft.rfft(taps, 4096)).max()
    return scipy.signal.oaconvolve(waveform, taps.astype(np.float32), mode="same")
