"""One function makes all features, the same for training, test and new audio."""

import numpy as np
import pytest

from fakevoice.audio.spectrum import n_frames, power_spectrogram
from fakevoice.core import plugins
from fakevoice.core.config import Config, load_config, validate
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.features import extract as extraction
from fakevoice.features.extract import POOLED, check_features, extract, extract_on, pooled_names
from fakevoice.pipeline.feature_shards import feature_folders
from fakevoice.pipeline.runner import code_of
from tests.support.code_edits import edit

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


def test_pooling_no_feature_still_has_statistics():
    config = load_config("demo", ["pooled=[]"])
    names = pooled_names(config)
    assert {name.split("_")[0] for name in names} == {*config.statistics} and len(config.statistics) > 1
    assert len(extract(NOISE, config, [POOLED])[POOLED]) == len(names)


def test_statistics_come_after_the_bands_in_the_order_of_the_config():
    config = load_config("demo", ["pooled=[mfcc]", "statistics=[pitch,rhythm,spectral]"])
    names = pooled_names(config)
    kinds = list(dict.fromkeys(name.split("_")[0] for name in names))
    assert kinds == ["mfcc", "pitch", "rhythm", "spectral"]
    pooled = dict(zip(names, extract(NOISE, config, [POOLED])[POOLED], strict=True))
    power = power_spectrogram(NOISE, config.spectrogram.n_fft, config.spectrogram.hop_length)
    for name in config.statistics:
        expected = plugins.load("statistics", name).pool(NOISE, power, config.sample_rate_hz, 256)
        assert {column: pooled[column] for column in expected} == pytest.approx(expected, rel=1e-6)


def test_every_statistic_can_be_asked_for_at_once():
    config = load_config("demo", [f"statistics=[{','.join(plugins.names('statistics'))}]"])
    check_features(config)
    assert len(set(pooled_names(config))) == len(extract(NOISE, config, [POOLED])[POOLED])


def test_an_unknown_statistic_is_found_before_the_run():
    with pytest.raises(ConfigError, match=r"no features/statistics/pich\.py; did you mean 'pitch'"):
        check_features(load_config("demo", ["statistics=[rhythm,pich]"]))


@pytest.mark.parametrize("file", ["features/statistics/rhythm.py", "features/statistics/voicing.py"])
def test_edited_statistics_are_pooled_anew_and_nothing_else(monkeypatch, tmp_path, file):
    before = feature_folders(tmp_path, CONFIG, {})
    edit(monkeypatch, file)
    after = feature_folders(tmp_path, CONFIG, {})
    assert {name for name in before if before[name] != after[name]} == {POOLED}


@pytest.mark.parametrize("word", ["statistics=[rhythm]", "statistics=[voicing,rhythm]", "statistics=[]"])
def test_other_statistics_are_another_folder(tmp_path, word):
    before, after = (feature_folders(tmp_path, config, {}) for config in (CONFIG, load_config("demo", [word])))
    assert {name for name in before if before[name] != after[name]} == {POOLED}


@pytest.mark.parametrize("stage", ["features", "stack"])
def test_stages_know_the_statistics_that_they_read(stage):
    code = code_of(stage, load_config("demo", ["statistics=[pitch]"]))
    assert "features/statistics/pitch.py" in code and "features/statistics/rhythm.py" not in code


def test_arguments_reach_the_feature():
    config = load_config("demo", ["features.mel.n_mels=20", "features.mel.fmax_hz=4000"])
    power = power_spectrogram(NOISE, config.spectrogram.n_fft, config.spectrogram.hop_length)
    expected = plugins.load("features", "mel").compute(power, config.sample_rate_hz, n_mels=20, fmax_hz=4000)
    assert np.array_equal(extract(NOISE, config, ["mel"])["mel"], expected)


@pytest.mark.parametrize("word", ["features.mel.n_mel=3", "features.mel.fmax_hz=9000", "features.mfcc.n_mfcc=100"])
def test_impossible_arguments_are_found_before_the_run(word):
    with pytest.raises(ConfigError, match=r"mel|mfcc|fmax"):
        check_features(load_config("demo", [word]))


def test_an_unknown_feature_is_found_before_the_run():
    with pytest.raises(ConfigError, match=r"no features/frames/loudness\.py"):
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


def test_a_spectrum_of_frames_of_its_own_is_pooled():
    config = validate(
        {**CONFIG.model_dump(), "features": {"cqt": {"hop_length": 500}}, "pooled": ["cqt"], "networks": {}}
    )
    assert check_features(config) == {"cqt": (84, 161)}
    pooled = dict(zip(pooled_names(config), extract(NOISE, config, [POOLED])[POOLED], strict=True))
    assert pooled["cqt_83_mean"] == pytest.approx(extract(NOISE, config, ["cqt"])["cqt"][83].mean(), rel=1e-5)


def test_samples_are_not_pooled():
    with pytest.raises(ConfigError, match=r"pooled: 'waveform' is no spectrum"):
        check_features(with_waveform(["waveform"]))


def test_on_another_device_all_is_the_same_but_for_the_last_digits():
    """PyTorch's own CPU stands in for a GPU: the same code, as it is told by name where to compute."""
    words = ["features.lfcc.deltas=2", "features.linear={}", "features.chroma={}", "features.cqt={}"]
    config = load_config("demo", [*words, "features.mel.deltas=1", "features.waveform={}"])
    names = [*config.features, POOLED]
    waveforms = np.stack([NOISE, 0.01 * np.cumsum(NOISE), np.zeros_like(NOISE)])
    here, there = (extract_on(device, waveforms, config, names) for device in ("cpu", "cpu:0"))
    for name in names:
        assert here[name].shape == there[name].shape and here[name].dtype == there[name].dtype == np.float32
        np.testing.assert_allclose(there[name], here[name], atol=0.02, rtol=1e-4, err_msg=name)
    assert np.array_equal(here["mel"][1], extract(waveforms[1], config, ["mel"])["mel"])


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(FakevoiceError, match="features_device=cuda:7"):
        extract_on("cuda:7", NOISE[None], CONFIG, ["mel"])


def test_no_feature_of_tensors_makes_an_array_of_them():
    """Else the whole batch would travel back from the GPU, feature by feature."""
    torch = pytest.importorskip("torch")
    for name in plugins.names("features"):
        module = plugins.load("features", name)
        if getattr(module, "TAKES_TENSORS", False):
            power = torch.rand(2, 257, 20)
            feature = module.compute(power, 16_000)
            assert isinstance(feature, torch.Tensor) and feature.shape[0] == 2 and feature.shape[2] == 20
            one = module.compute(power[1].numpy(), 16_000)
            np.testing.assert_allclose(feature[1].numpy(), one, atol=1e-3)
