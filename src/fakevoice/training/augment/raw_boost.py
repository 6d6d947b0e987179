"""RawBoost: channel, impulses and coloured noise that need no recordings (Tak et al. 2022)."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal

import numpy as np
import scipy.fft
from pydantic import Field

from fakevoice.audio.channel import gain, rms
from fakevoice.core.config_sections import Range, Share

INPUT = "waveform"
N_NOTCHES, CENTRE_HZ, WIDTH_HZ, HALF_TAPS = 5, (20.0, 8000.0), (100.0, 1000.0), (5, 50)
N_FFT, OVERLAP = 4096, N_NOTCHES * HALF_TAPS[1]  # samples; a cascade has at most OVERLAP taps on each side


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
    gains, responses = [1.0], [_draw_response(sample_rate_hz, rng)]
    for _ in range(n_powers - 1):
        gains.append(gain(rng.uniform(*power_db)))
        responses.append(_draw_response(sample_rate_hz, rng))
    powers = np.tile(unit, (n_powers, 1))
    for power, before in zip(powers[1:], powers[:-1], strict=True):
        power *= before
    total = _filtered_sum(powers, np.array(gains, np.float32)[:, None] * np.stack(responses))
    total -= total.mean()  # even powers have one
    return total * np.float32(rms(waveform) / max(rms(total), 1e-9))


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
    noise = rng.standard_normal(len(waveform), dtype=np.float32)
    noise = _filtered_sum(noise[None], _draw_response(sample_rate_hz, rng)[None])
    return noise * np.float32(rms(waveform) * gain(-rng.uniform(*snr_db)) / max(rms(noise), 1e-9))


def _draw_response(sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Frequency response (N_FFT // 2 + 1,) float32 of a cascade of random notches; its largest gain is 1.

    Each notch is the FIR filter of ``scipy.signal.firwin(n_taps, edges_hz, fs=sample_rate_hz)``, with a Hamming
    window. Its taps are symmetric around 0, so that the response is real and the filter has no delay.
    """
    nyquist_hz = sample_rate_hz / 2
    edges, half_taps = [], []
    for _ in range(N_NOTCHES):
        centre_hz, width_hz = rng.uniform(*CENTRE_HZ), rng.uniform(*WIDTH_HZ)
        low_hz, high_hz = np.clip([centre_hz - width_hz / 2, centre_hz + width_hz / 2], 1.0, nyquist_hz - 1.0)
        n_half = int(rng.integers(HALF_TAPS[0], HALF_TAPS[1] + 1))
        if low_hz < high_hz:  # otherwise the notch is above the highest frequency of this sample rate
            edges.append((low_hz / nyquist_hz, high_hz / nyquist_hz))
            half_taps.append(n_half)
    if not edges:
        return np.ones(N_FFT // 2 + 1, np.float32)
    low, high = np.array(edges).T[:, :, None]  # (n_notches, 1) each
    half = np.array(half_taps)[:, None]
    place = np.arange(HALF_TAPS[1] + 1)  # of a tap; those below 0 are the same
    taps = low * np.sinc(low * place) - high * np.sinc(high * place)
    taps[:, 0] += 1.0
    taps *= np.where(place <= half, 0.54 + 0.46 * np.cos(np.pi * place / half), 0.0)
    taps[:, 1:] *= 2.0
    taps /= taps.sum(axis=1, keepdims=True)  # gain 1 at 0 Hz
    response = (taps.astype(np.float32) @ _cosines()).prod(axis=0)
    return response / np.abs(response).max()


@cache
def _cosines() -> np.ndarray:
    """(HALF_TAPS[1] + 1, N_FFT // 2 + 1) float32: response of a pair of taps at each distance from the middle."""
    place = np.arange(HALF_TAPS[1] + 1)[:, None]
    return np.cos(2 * np.pi / N_FFT * place * np.arange(N_FFT // 2 + 1)).astype(np.float32)


def _filtered_sum(signals: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Sum of signals, each through a filter of its own, by overlap-save: one inverse FFT for all of them.

    Args:
        signals: (n_signals, n_samples) float32.
        responses: (n_signals, N_FFT // 2 + 1) float32, of filters of at most 2 * OVERLAP + 1 taps around 0.

    Returns:
        (n_samples,) float32.
    """
    n_samples, step = signals.shape[1], N_FFT - 2 * OVERLAP
    n_blocks = -(-n_samples // step)
    padded = np.pad(signals, ((0, 0), (OVERLAP, OVERLAP + n_blocks * step - n_samples)))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::step]
    spectra = scipy.fft.rfft(blocks)  # (n_signals, n_blocks, N_FFT // 2 + 1)
    spectra *= responses[:, None]
    filtered = scipy.fft.irfft(spectra.sum(axis=0), N_FFT)
    return filtered[:, OVERLAP : OVERLAP + step].reshape(-1)[:n_samples]
