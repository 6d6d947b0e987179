"""Turns rows of the scene tables into sound, the same row always into the same samples."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from fakevoice.audio import channel
from fakevoice.audio.preprocess import fitted, trim
from fakevoice.audio.synthesis.noise_shapes import RECORDED_KINDS
from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.core.random import Stream, generator
from fakevoice.scenes.noise_bank import NoiseBank, extend_noise

TRIM_DB, FADE_S = 40.0, 0.01
CODEC_LEVEL = 0.1  # RMS at which a copy is encoded, so that peaks are not clipped
CONTAINER_QUALITY = 0.4  # what libsndfile and ffmpeg take where nobody says otherwise
Reader = Callable[[str], np.ndarray]


def render(scene, voices: Iterable, read: Reader, bank: NoiseBank, config: Config) -> np.ndarray:
    """The sound of one scene.

    Args:
        scene: a row of the scene table (any object with its columns as attributes).
        voices: its rows of the voice table, in the table's order.
        read: clip id → (n,) float32 at the config's rate.
        bank: the noises that scenes name.

    Returns:
        (n_samples,) float32.
    """
    slots: dict[int, list] = {}
    for row in voices:
        slots.setdefault(row.slot, []).append(row)
    if not config.scenes.states:
        return fitted(read(slots[0][0].clip), config)
    rng = generator(Stream.SCENE_RENDERING, config.seed, int(scene.seed))
    mixture = np.zeros(config.n_samples, np.float32)
    for parts in slots.values():
        voice = _voice([read(part.clip) for part in parts], parts[0], config, rng)
        heard = mixture[round(parts[0].offset_s * config.sample_rate_hz) :]
        heard[: len(voice)] += voice[: len(heard)]
    return _finish(_with_noise(mixture, scene, bank, config, rng), scene, config, rng)


def render_all(
    scenes: pd.DataFrame, voices: pd.DataFrame, read: Reader, bank: NoiseBank, config: Config
) -> Iterator[np.ndarray]:
    """The sound of each scene, as of `render`, in the order of the table.

    Args:
        scenes, voices: rows of the scene tables; voices of other scenes do no harm.
    """
    by_scene: dict[str, list] = {}
    for row in voices.itertuples():
        by_scene.setdefault(row.scene, []).append(row)
    for scene in scenes.itertuples():
        yield render(scene, by_scene.get(scene.scene, ()), read, bank, config)


def _voice(recordings: list[np.ndarray], row, config: Config, rng: np.random.Generator) -> np.ndarray:
    rate, n_samples = config.sample_rate_hz, round(row.duration_s * config.sample_rate_hz)
    pause = np.zeros(round(rng.uniform(0.05, 0.25) * rate), np.float32)
    pieces = [piece for recording in recordings for piece in (_unit(trim(recording, rate, TRIM_DB)), pause)][:-1]
    voice = np.concatenate(pieces)
    start = round(row.start * max(0, len(voice) - n_samples))
    voice = _faded(voice[start : start + n_samples], rate)
    if row.vocoder in channel.CODECS:
        voice = channel.transcode(voice * np.float32(CODEC_LEVEL), rate, row.vocoder, rng.uniform(0.0, 0.6))
    elif row.vocoder:
        voice = plugins.load("vocoders", row.vocoder).resynthesize(voice, rate, rng)
    gains = []
    if row.equalizer_db:
        gains.append(channel.equalizer(rate, row.equalizer_db, rng))
    if row.band_limit_hz or row.low_cut_hz:
        gains.append(channel.band(rate, row.band_limit_hz or rate, row.low_cut_hz))
    room = channel.impulse_response(row.rt60_s, rate, rng) if row.rt60_s else None
    if gains or room is not None:
        voice = channel.filtered(voice, gains, room)
    return _unit(voice) * np.float32(channel.gain(row.gain_db))


def _with_noise(voice: np.ndarray, scene, bank: NoiseBank, config: Config, rng: np.random.Generator) -> np.ndarray:
    n_heard = np.count_nonzero(voice)
    reference = channel.rms(voice) * np.sqrt(len(voice) / n_heard) if n_heard else 1.0  # while somebody speaks
    mixture = voice
    if scene.noise:
        noise = _noise(scene.noise, scene.noise_band_limit_hz, bank, config, rng)
        if scene.noise_active < 1.0:
            noise = noise * _bursts(scene, config, rng)
        snr_db = 0.0 if np.isnan(scene.snr_db) else scene.snr_db
        mixture = mixture + noise * np.float32(reference * channel.gain(-snr_db))
    if scene.event:
        event = _noise(scene.event, 0, bank, config, rng) * _gate(config, rng)
        mixture = mixture + event * np.float32(reference * channel.gain(scene.event_db))
    return mixture


def _finish(mixture: np.ndarray, scene, config: Config, rng: np.random.Generator) -> np.ndarray:
    mixture = _unit(mixture) * np.float32(channel.gain(scene.level_dbfs))
    if scene.clipped:
        mixture = channel.clip(mixture, scene.clipped)
    if scene.codec:
        mixture = channel.transcode(mixture, config.sample_rate_hz, scene.codec, rng.uniform(0.0, 0.6))
    if config.scenes.container:
        mixture = channel.transcode(mixture, config.sample_rate_hz, config.scenes.container, CONTAINER_QUALITY)
    return mixture.astype(np.float32, copy=False)


def _noise(name: str, band_limit_hz: float, bank: NoiseBank, config: Config, rng: np.random.Generator) -> np.ndarray:
    """A noise of the bank by kind and number, as long as a scene: (n_samples,) float32 of RMS 1 or nearly so."""
    kind, segment = name.split(":")
    recorded, gains = bank[int(segment)], []
    if kind in RECORDED_KINDS or len(recorded) < config.n_samples:
        noise = extend_noise(recorded, config.n_samples, config.sample_rate_hz, rng)
    else:
        start = rng.integers(len(recorded) - config.n_samples + 1)
        noise = recorded[start : start + config.n_samples]
        gains.append(channel.equalizer(config.sample_rate_hz, channel.EQUALIZER_DB, rng))
    if band_limit_hz:
        gains.append(channel.band(config.sample_rate_hz, band_limit_hz, 0.0))
    return _unit(channel.filtered(noise, gains)) if gains else noise


def _bursts(scene, config: Config, rng: np.random.Generator) -> np.ndarray:
    """1 in bursts that come back every period, as a short recording that is looped; 0 between them."""
    time_s = np.arange(config.n_samples, dtype=np.float32) / config.sample_rate_hz
    within_s = (time_s + rng.uniform(0.0, scene.noise_period_s)) % scene.noise_period_s
    return np.clip(np.minimum(within_s, scene.noise_active * scene.noise_period_s - within_s) / 0.02, 0.0, 1.0)


def _gate(config: Config, rng: np.random.Generator) -> np.ndarray:
    """1 while an event lasts, 0 elsewhere: it comes and goes as a voice does."""
    duration = rng.uniform(0.3, 0.8 * config.clip_duration_s)
    start = rng.uniform(0.0, config.clip_duration_s - duration)
    time_s = np.arange(config.n_samples, dtype=np.float32) / config.sample_rate_hz
    return np.clip(np.minimum(time_s - start, start + duration - time_s) / 0.05, 0.0, 1.0)


def _unit(waveform: np.ndarray) -> np.ndarray:
    return waveform * np.float32(1 / max(channel.rms(waveform), 1e-6))


def _faded(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    n_fade = min(round(FADE_S * sample_rate_hz), len(waveform) // 2)
    ramp = np.ones(len(waveform), np.float32)
    if n_fade:
        ramp[:n_fade] = np.linspace(0, 1, n_fade)
        ramp[-n_fade:] = np.linspace(1, 0, n_fade)
    return waveform * ramp
