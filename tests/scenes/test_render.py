"""A row of the tables is a sound: always the same, as loud and as noisy as the row says."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio import channel
from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.scenes import render as rendering
from fakevoice.scenes.draw import VOICE_COLUMNS
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render, render_all

RATE = 16_000
CONFIG = load_config("demo", ["scenes.n_scenes=10", "scenes.container=''"])
IN_CONTAINER = load_config("demo", ["scenes.n_scenes=10", "scenes.container=vorbis"])
KINDS = plugins.names("noises")
MADE = {kind: f"{kind}:{3 + index}" for index, kind in enumerate(KINDS)}
BANK = NoiseBank.join(
    [("mined", "u", 0.0, 0, sound) for sound in np.random.default_rng(5).standard_normal((3, 24_000))]
    + [(kind, "", 0.0, 0, plugins.load("noises", kind).make(128_000, RATE, np.random.default_rng(6))) for kind in KINDS]
)
RECORDINGS = {
    "long": 0.1 * np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32),
    "short": 0.1 * np.random.default_rng(2).standard_normal(RATE // 4).astype(np.float32),
    "sample": np.ones(1, np.float32),
    "silence": np.zeros(RATE, np.float32),
    "constant": np.full(RATE, 0.5, np.float32),
}


def scene_of(**changes) -> SimpleNamespace:
    row = {"scene": "S0", "state": "real", "fold": 0, "seed": 7, "snr_db": 10.0, "noise": "", "event": ""}
    row |= {"event_db": 0.0, "codec": "", "level_dbfs": -20.0, "clipped": 0.0}
    row |= {"noise_band_limit_hz": 0, "noise_active": 1.0, "noise_period_s": 1.0}
    return SimpleNamespace(**(row | changes))


def voice_of(*clips: str, **changes) -> pd.DataFrame:
    row = dict.fromkeys(VOICE_COLUMNS, 0.0) | {"scene": "S0", "slot": 0, "group": "g", "label": "real", "vocoder": ""}
    row |= {"gain_db": 0.0, "offset_s": 1.0, "duration_s": 2.0, "start": 0.5}
    return pd.DataFrame([row | changes | {"part": part, "clip": clip} for part, clip in enumerate(clips)])


def sound(scene: SimpleNamespace, voices: pd.DataFrame, config=CONFIG) -> np.ndarray:
    waveform = render(scene, voices.itertuples(), RECORDINGS.__getitem__, BANK, config)
    assert waveform.shape == (config.n_samples,) and waveform.dtype == np.float32 and np.isfinite(waveform).all()
    return waveform


EVERYTHING = {"noise": "mined:1", "event": MADE["rain"], "codec": "vorbis", "clipped": 0.01}
EVERYTHING |= {"noise_band_limit_hz": 3000, "noise_active": 0.5}
EFFECTS = {"vocoder": "lpc", "rt60_s": 0.3, "equalizer_db": 8.0, "band_limit_hz": 4000.0, "low_cut_hz": 100.0}


def test_a_copy_through_a_codec_is_the_recording_with_its_artefacts():
    plain, copied = (sound(scene_of(), voice_of("long", vocoder=name)) for name in ("", "gsm"))
    assert 0.2 < np.corrcoef(plain, copied)[0, 1] < 0.99  # noise keeps half of its band below 4 kHz


def test_a_file_longer_than_the_noise_is_filled_with_it():
    long = CONFIG.model_copy(update={"clip_duration_s": 20.0})
    waveform = sound(scene_of(noise=MADE["rain"]), voice_of("long"), long)
    blocks = waveform.reshape(20, RATE)
    assert (np.sqrt((blocks**2).mean(axis=1)) > 1e-3).all()


def test_same_row_same_samples():
    voices = voice_of("long", **EFFECTS)
    first, second = sound(scene_of(**EVERYTHING), voices), sound(scene_of(**EVERYTHING), voices)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_of_a_voice_is_heard(name):
    plain, changed = sound(scene_of(), voice_of("long")), sound(scene_of(), voice_of("long", **{name: EFFECTS[name]}))
    assert channel.rms(changed - plain) > 0.02 * channel.rms(plain)


@pytest.mark.parametrize("name", ["codec", "clipped"])
def test_each_effect_of_a_scene_is_heard(name):
    plain, changed = sound(scene_of(), voice_of("long")), sound(scene_of(**{name: EVERYTHING[name]}), voice_of("long"))
    assert channel.rms(changed - plain) > 1e-4 * channel.rms(plain)
    if name == "clipped":
        assert np.abs(changed).max() < np.abs(plain).max()


def test_another_seed_is_another_sound():
    voices = voice_of("long", **EFFECTS)
    first, second = (sound(scene_of(seed=seed, **EVERYTHING), voices) for seed in (7, 8))
    assert np.corrcoef(first, second)[0, 1] < 0.99
    other_run = CONFIG.model_copy(update={"seed": 1})
    assert not np.array_equal(first, sound(scene_of(**EVERYTHING), voices, other_run))


def test_recordings_and_bank_are_left_alone():
    before = {name: waveform.copy() for name, waveform in RECORDINGS.items()}, BANK.samples.copy()
    sound(scene_of(**EVERYTHING), voice_of("long", **EFFECTS))
    assert all(np.array_equal(RECORDINGS[name], waveform) for name, waveform in before[0].items())
    assert np.array_equal(BANK.samples, before[1])


@pytest.mark.parametrize("noise", ["mined:0", MADE["hum"], MADE["coloured"]])
@pytest.mark.parametrize("snr_db", [0.0, 12.0, 25.0])
def test_noise_is_as_far_below_the_voice_as_asked(noise, snr_db):
    voices = voice_of("long")
    voice = sound(scene_of(), voices)
    mixture = sound(scene_of(noise=noise, snr_db=snr_db), voices)
    share = np.dot(mixture, voice) / np.dot(voice, voice)
    rest = mixture - share * voice
    heard = np.abs(voice) > 0
    measured_db = 20 * np.log10(share * channel.rms(voice[heard]) / channel.rms(rest))
    assert measured_db == pytest.approx(snr_db, abs=1.0)


@pytest.mark.parametrize("level_dbfs", [-34.0, -20.0])
@pytest.mark.parametrize("noise", ["", MADE["rain"]])
def test_the_scene_is_as_loud_as_asked(level_dbfs, noise):
    waveform = sound(scene_of(noise=noise, level_dbfs=level_dbfs), voice_of("long"))
    assert 20 * np.log10(channel.rms(waveform)) == pytest.approx(level_dbfs, abs=0.1)


def test_a_voice_lies_where_the_row_says():
    heard = np.flatnonzero(sound(scene_of(), voice_of("long")))
    assert heard[0] == pytest.approx(1.0 * RATE, abs=2) and heard[-1] == pytest.approx(3.0 * RATE, abs=2)


def test_a_voice_may_go_on_with_other_recordings():
    heard = np.abs(sound(scene_of(), voice_of("short", "short", "short"))) > 0
    edges = np.flatnonzero(np.diff(heard.astype(int)))
    assert 0.70 * RATE < heard.sum() <= 0.75 * RATE  # three quarters of a second, cut to whole frames
    assert 0.80 * RATE <= edges[-1] - edges[0] <= 1.25 * RATE  # two pauses of 0.05 to 0.25 s


def test_the_gain_between_two_voices():
    loud, quiet = voice_of("long", offset_s=0.0), voice_of("long", offset_s=2.5, slot=1, gain_db=-6.0)
    waveform = sound(scene_of(), pd.concat([loud, quiet]))
    ratio_db = 20 * np.log10(channel.rms(waveform[: 2 * RATE]) / channel.rms(waveform[int(2.5 * RATE) :]))
    silence_db = 20 * np.log10(np.sqrt(2.5 / 2))  # the second part ends with half a second of nothing
    assert ratio_db == pytest.approx(6.0 + silence_db, abs=0.2)


def test_no_voice_is_noise_alone():
    asked = []
    waveform = render(scene_of(noise=MADE["rain"], snr_db=np.nan, state="none"), (), asked.append, BANK, CONFIG)
    assert not asked and channel.rms(waveform) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("clip", sorted(RECORDINGS))
@pytest.mark.parametrize("vocoder", ["", *plugins.names("vocoders")])
def test_odd_recordings_never_break_a_scene(clip, vocoder):
    voices = voice_of(clip, **(EFFECTS | {"vocoder": vocoder}))
    assert np.abs(sound(scene_of(noise="mined:2", clipped=0.01), voices)).max() > 0
    sound(scene_of(), voices)


@pytest.mark.parametrize("noise", KINDS)
def test_every_noise_can_be_an_event(noise):
    quiet, with_event = sound(scene_of(), voice_of("long")), sound(scene_of(event=MADE[noise]), voice_of("long"))
    assert not np.array_equal(quiet, with_event)


def power_db(waveform: np.ndarray, low_hz: float, high_hz: float) -> float:
    hz = np.fft.rfftfreq(len(waveform), 1 / RATE)
    inside = (hz >= low_hz) & (hz < high_hz)
    return float(10 * np.log10(np.mean(np.abs(np.fft.rfft(waveform))[inside] ** 2) + 1e-12))


def noise_alone(**changes) -> np.ndarray:
    return sound(scene_of(state="none", snr_db=np.nan, **{"noise": "mined:0", **changes}), voice_of("long").iloc[:0])


@pytest.mark.parametrize("noise", ["mined:0", MADE["rain"]])
def test_the_noise_has_a_band_limit_of_its_own(noise):
    limited, full = (noise_alone(noise=noise, noise_band_limit_hz=cutoff_hz) for cutoff_hz in (3000, 0))
    assert power_db(limited, 3500, 8000) < power_db(full, 3500, 8000) - 40
    voiced = sound(scene_of(noise=noise, noise_band_limit_hz=3000), voice_of("long"))
    assert power_db(voiced, 3500, 8000) > power_db(limited, 3500, 8000) + 30  # the voice has none


def noise_beside(voices: pd.DataFrame, **changes) -> np.ndarray:
    """The noise of a scene with a voice, where the voice has an RMS of 1."""
    voice, mixture = sound(scene_of(), voices), sound(scene_of(noise="mined:0", **changes), voices)
    share, heard = np.dot(mixture, voice) / np.dot(voice, voice), np.abs(voice) > 0
    return (mixture - share * voice) / (share * channel.rms(voice[heard]))


def test_a_band_limit_does_not_change_how_loud_the_noise_is():
    limited = noise_beside(voice_of("long"), noise_band_limit_hz=2500)
    assert 20 * np.log10(channel.rms(limited)) == pytest.approx(-10.0, abs=1.0)


def sounding(waveform: np.ndarray) -> np.ndarray:
    """Whether each hundredth of a second is louder than 30 dB under the loudest."""
    level = np.sqrt(np.square(waveform.reshape(-1, RATE // 100)).mean(axis=1))
    return level > 0.03 * level.max()


@pytest.mark.parametrize(("active", "period_s"), [(0.3, 1.0), (0.6, 1.0), (0.5, 2.5)])
def test_bursts_come_back_with_silence_between_them(active, period_s):
    on = sounding(noise_alone(noise_active=active, noise_period_s=period_s))
    assert on.mean() == pytest.approx(active, abs=0.05)
    steps, shift = np.flatnonzero(np.diff(on.astype(int))), round(100 * period_s)
    assert abs(len(steps) - 2 * CONFIG.clip_duration_s / period_s) <= 1
    assert (on[shift:] == on[:-shift]).mean() > 0.95
    assert sounding(noise_alone()).all()


def test_bursts_are_as_loud_as_noise_without_end():
    noise = noise_beside(voice_of("short"), noise_active=0.5, noise_period_s=2.5)
    burst = noise[sounding(noise).repeat(RATE // 100)]
    assert 20 * np.log10(channel.rms(burst)) == pytest.approx(-10.0, abs=1.0)


def test_the_container_comes_last():
    scene, voices = scene_of(**EVERYTHING), voice_of("long", **EFFECTS)
    before, after = sound(scene, voices), sound(scene, voices, IN_CONTAINER)
    expected = channel.transcode(before, RATE, "vorbis", rendering.CONTAINER_QUALITY)
    assert np.array_equal(after, expected) and not np.array_equal(after, before)


def test_clips_alone_pass_through_no_container():
    config = type(CONFIG).model_validate(CONFIG.model_dump(mode="json") | {"scenes": {"container": "vorbis"}})
    assert np.array_equal(sound(scene_of(), voice_of("long"), config)[: 4 * RATE], RECORDINGS["long"])


def test_all_scenes_are_rendered_in_order_each_with_its_own_voices(tmp_path):
    paths = {clip: tmp_path / f"{clip}.wav" for clip in ("long", "short")}
    for clip, path in paths.items():
        soundfile.write(path, RECORDINGS[clip], RATE, subtype="FLOAT")
    scenes = pd.DataFrame([vars(scene_of(scene=name, seed=i, noise="mined:1")) for i, name in enumerate("BAC")])
    voices = pd.concat([voice_of("long", scene="A"), voice_of("short", "long", scene="C"), voice_of("none", scene="D")])
    found = list(render_all(scenes, voices, RECORDINGS.__getitem__, BANK, CONFIG))
    expected = [sound(scene, voices[voices["scene"] == scene.scene]) for scene in scenes.itertuples()]
    assert len(found) == 3 and all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("codec", sorted(channel.CODECS))
def test_every_codec_leaves_the_scene_recognisable(codec):
    voices = voice_of("long", band_limit_hz=3400.0)  # as much as a telephone lets through
    plain, coded = sound(scene_of(), voices), sound(scene_of(codec=codec), voices)
    assert not np.array_equal(plain, coded) and np.corrcoef(plain, coded)[0, 1] > 0.5


@pytest.mark.parametrize("codec", sorted(channel.CODECS))
def test_every_codec_works_at_the_rate_of_every_shipped_config(codec):
    for name in ("dacon", "voices"):
        config = load_config(name, ["clip_duration_s=2"])
        sound(scene_of(codec=codec), voice_of("long", offset_s=0.0), config)


def test_without_states_a_scene_is_its_clip():
    tree = CONFIG.model_dump(mode="json") | {"scenes": {}}
    config = type(CONFIG).model_validate(tree)
    waveform = sound(scene_of(noise=MADE["rain"], codec="gsm"), voice_of("long"), config)
    assert np.array_equal(waveform[: 4 * RATE], RECORDINGS["long"]) and not waveform[4 * RATE :].any()
