"""One function makes all features, the same for training, test and new audio."""

import numpy as np
import pytest

from fakevoice import extraction, lookup
from fakevoice.config import Config, load_config, validate
from fakevoice.errors import ConfigError
from fakevoice.extraction import POOLED, check_features, extract, pooled_names
from fakevoice.spectrum import n_frames, power_spectrogram

CONFIG = load_config("demo")
NOISE = 0.1 * np.random.default_rng(0).standard_normal(CONFIG.n_samples).astype(np.float32)
EVERYTHING = [*CONFIG.features, POOLED]


def test_shapes_and_types():
    arrays = extract(NOISE, CONFIG, EVERYTHING)
    frames = n_frames(CONFIG.n_samples, CONFIG.spectrogram.hop_length)
    assert list(arrays) == EVERYTHING
    assert arrays["mel"].shape == (64, frames) and arrays["mfcc"].shape == (40, frames)
    assert arrays[POOLED].shape == (len(pooled_names(CONFIG)),)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())


def test_a_feature_does_not_depend_on_what_else_is_asked_for():
    together = extract(NOISE, CONFIG, EVERYTHING)
    for name in EVERYTHING:
        alone = extract(NOISE, CONFIG, [name])
        assert list(alone) == [name] and np.array_equal(alone[name], together[name])


def test_the_stft_is_computed_once(monkeypatch):
    calls = []
    monkeypatch.setattr(extraction, "power_spectrogram", lambda *args: calls.append(1) or power_spectrogram(*args))
    extract(NOISE, CONFIG, EVERYTHING)
    assert len(calls) == 1


def test_columns_have_the_names_of_their_values():
    names = pooled_names(CONFIG)
    assert len(set(names)) == len(names)
    pooled = dict(zip(names, extract(NOISE, CONFIG, [POOLED])[POOLED], strict=True))
    mel = extract(NOISE, CONFIG, ["mel"])["mel"]
    assert pooled["mel_07_mean"] == pytest.approx(mel[7].mean(), rel=1e-5)
    assert pooled["mel_63_std"] == pytest.approx(mel[63].std(), rel=1e-5)


def test_pooling_no_feature_still_has_rhythm_and_voicing():
    config = load_config("demo", ["pooled=[]"])
    names = pooled_names(config)
    assert names and all(name.startswith(("rhythm", "voicing")) for name in names)
    assert len(extract(NOISE, config, [POOLED])[POOLED]) == len(names)


def test_arguments_reach_the_feature():
    config = load_config("demo", ["features.mel.n_mels=20", "features.mel.fmax_hz=4000"])
    power = power_spectrogram(NOISE, config.spectrogram.n_fft, config.spectrogram.hop_length)
    expected = lookup.load("features", "mel").compute(power, config.sample_rate_hz, n_mels=20, fmax_hz=4000)
    assert np.array_equal(extract(NOISE, config, ["mel"])["mel"], expected)


@pytest.mark.parametrize("word", ["features.mel.n_mel=3", "features.mel.fmax_hz=9000", "features.mfcc.n_mfcc=100"])
def test_impossible_arguments_are_found_before_the_run(word):
    with pytest.raises(ConfigError, match=r"mel|mfcc|fmax"):
        check_features(load_config("demo", [word]))


def test_an_unknown_feature_is_found_before_the_run():
    with pytest.raises(ConfigError, match=r"no features/loudness\.py"):
        check_features(load_config("demo", ["features.loudness={}"]))


def with_waveform(pooled: list[str]) -> Config:
    return validate({**CONFIG.model_dump(), "features": {**CONFIG.features, "waveform": {}}, "pooled": pooled})


def test_a_feature_may_ask_for_the_samples():
    config = with_waveform(["mel"])
    check_features(config)
    arrays = extract(NOISE, config, ["mel", "waveform", POOLED])
    assert np.array_equal(arrays["waveform"], NOISE[None]) and arrays["waveform"].dtype == np.float32
    assert np.array_equal(arrays["mel"], extract(NOISE, config, ["mel"])["mel"])
    assert len(arrays[POOLED]) == len(pooled_names(config))


def test_samples_are_not_pooled():
    with pytest.raises(ConfigError, match=r"pooled: 'waveform' is no spectrum"):
        check_features(with_waveform(["waveform"]))
