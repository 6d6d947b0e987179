"""Statistics of bands over time: right by hand, finite on anything."""

import numpy as np
import pytest

from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.features.pooling import pool_bands

RATE, HOP = 16_000, 256
SOUNDS = {
    "silence": np.zeros(5 * RATE, np.float32),
    "constant": np.full(5 * RATE, 0.5, np.float32),
    "noise": np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32),
    "short": np.ones(10, np.float32),
}


def test_statistics_of_a_band_by_hand():
    feature = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0, 5.0]])
    pooled = pool_bands(feature, "mel")
    assert {name: pooled[name] for name in pooled if name.startswith("mel_00")} == pytest.approx(
        {"mel_00_mean": 2.0, "mel_00_std": np.sqrt(2.0), "mel_00_p10": -1.6, "mel_00_p90": 1.6, "mel_00_step": 1.0}
    )
    assert [pooled[f"mel_01_{key}"] for key in ("mean", "std", "p10", "p90", "step")] == [5.0, 0.0, 0.0, 0.0, 0.0]
    assert len(pooled) == 10


def test_one_frame_has_no_step():
    assert pool_bands(np.ones((3, 1)), "mel")["mel_00_step"] == 0.0


@pytest.mark.parametrize("name", sorted(SOUNDS))
def test_finite_on_anything(name):
    pooled = pool_bands(power_spectrogram(SOUNDS[name], 512, HOP), "x")
    assert np.isfinite(list(pooled.values())).all()
    assert all(type(value) is float for value in pooled.values())
