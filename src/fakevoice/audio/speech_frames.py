"""In which frames somebody may be speaking, by level alone: where a clip is loudest over its own floor.

What is pooled over these frames says more of a voice, and less of the noise around it, than what is pooled over all.
"""

from functools import lru_cache

import numpy as np

from fakevoice.audio.spectrum import LOWEST_HZ, Same, log_mel, mel_centres_hz

N_BANDS = 64
SPEECH_HZ = (400.0, 3650.0)
FLOOR_SHARE, LOUD_SHARE, QUIET_SHARE = 0.1, 0.4, 0.2


def band_levels_db(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Level of 64 mel bands, (64, n_frames) float32, read-only.

    Args:
        power: (n_fft // 2 + 1, n_frames) power spectrogram.

    Raises:
        ConfigError: frames so short that bands are empty.
    """
    return log_mel(power, sample_rate_hz, N_BANDS)


def loud_frames(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The 40 % of the frames that stand highest over each band's floor, (n_frames,) bool; never none."""
    return _by_loudness(Same(power), sample_rate_hz)[0]


def quiet_frames(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The 20 % that stand lowest, (n_frames,) bool; never none."""
    return _by_loudness(Same(power), sample_rate_hz)[1]


@lru_cache(maxsize=1)  # one statistic after the other asks for those of the same clip
def _by_loudness(same: Same, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    centre_hz = mel_centres_hz(N_BANDS, LOWEST_HZ, sample_rate_hz / 2)
    is_speech = (centre_hz > SPEECH_HZ[0]) & (centre_hz < SPEECH_HZ[1])
    level_db = band_levels_db(same.array, sample_rate_hz)[is_speech]
    floor_db = np.partition(level_db, int(FLOOR_SHARE * level_db.shape[1]), axis=1)
    over_floor_db = (level_db - floor_db[:, [int(FLOOR_SHARE * level_db.shape[1])]]).mean(axis=0)
    ordered = np.sort(over_floor_db)
    loud = over_floor_db >= ordered[int((1 - LOUD_SHARE) * len(ordered))]
    return loud, over_floor_db <= ordered[int(QUIET_SHARE * len(ordered))]
