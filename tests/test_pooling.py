"""Statistics over time: right by hand, finite on anything."""

import numpy as np
import pytest

from fakevoice.pooling import MODULATION_HZ, pool_bands, pool_rhythm, pool_voicing
from fakevoice.spectrum import power_spectrogram

RATE, HOP = 16_000, 256
FRAME_RATE_HZ = RATE / HOP
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
        {"mel_00_mean": 2.0, "mel_00_std": np.sqrt(2.0), "mel_00_p10": 0.4, "mel_00_p90": 3.6, "mel_00_step": 1.0}
    )
    assert [pooled[f"mel_01_{key}"] for key in ("mean", "std", "p10", "p90", "step")] == [5.0, 0.0, 5.0, 5.0, 0.0]
    assert len(pooled) == 10


def test_one_frame_has_no_step():
    assert pool_bands(np.ones((3, 1)), "mel")["mel_00_step"] == 0.0


@pytest.mark.parametrize(("rate_hz", "expected"), [(1.0, "0.5hz"), (3.0, "2hz"), (6.0, "4hz"), (12.0, "8hz")])
def test_rhythm_finds_the_rate_of_the_loudness(rate_hz, expected):
    time_s = np.arange(5 * RATE) / RATE
    loudness = 1 + 0.8 * np.sin(2 * np.pi * rate_hz * time_s)
    pooled = pool_rhythm(power_spectrogram(SOUNDS["noise"] * loudness, 512, HOP), FRAME_RATE_HZ)
    for region in range(4):
        shares = {name: value for name, value in pooled.items() if name.startswith(f"rhythm_{region}") and "hz" in name}
        assert max(shares, key=shares.get) == f"rhythm_{region}_{expected}"
        assert len(shares) == len(MODULATION_HZ) and sum(shares.values()) <= 1.0
        assert pooled[f"rhythm_{region}_depth_db"] > 3.0


def test_voicing_finds_how_long_a_voice_lasts():
    waveform = 0.01 * SOUNDS["noise"]
    waveform[RATE : 3 * RATE : RATE // 125] += 1.0  # pulses at 125 Hz from second 1 to 3
    pooled = pool_voicing(power_spectrogram(waveform, 1024, HOP), RATE, FRAME_RATE_HZ)
    assert pooled["voicing_longest_s"] == pytest.approx(2.0, abs=0.1)
    assert pooled["voicing_fraction"] == pytest.approx(0.4, abs=0.05)
    assert pooled["voicing_runs"] == 1.0
    assert pooled["voicing_p90"] > 2.0 > pooled["voicing_p10"]


def test_noise_has_next_to_no_voicing():
    pooled = pool_voicing(power_spectrogram(SOUNDS["noise"], 1024, HOP), RATE, FRAME_RATE_HZ)
    assert pooled["voicing_fraction"] < 0.02 and pooled["voicing_longest_s"] < 0.1


@pytest.mark.parametrize("name", sorted(SOUNDS))
def test_finite_on_anything(name):
    power = power_spectrogram(SOUNDS[name], 512, HOP)
    pooled = pool_bands(power, "x") | pool_rhythm(power, FRAME_RATE_HZ) | pool_voicing(power, RATE, FRAME_RATE_HZ)
    assert np.isfinite(list(pooled.values())).all()
    assert all(type(value) is float for value in pooled.values())


def test_the_columns_are_the_same_for_every_sound():
    names = []
    for waveform in SOUNDS.values():
        power = power_spectrogram(waveform, 512, HOP)
        names.append([*pool_rhythm(power, FRAME_RATE_HZ), *pool_voicing(power, RATE, FRAME_RATE_HZ)])
    assert all(columns == names[0] for columns in names)
