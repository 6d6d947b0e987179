"""How often and for how long something with a pitch is heard, by the cepstral peak (Hillenbrand et al. 1994)."""

import numpy as np

from fakevoice.audio.voicing import cepstral_peak

VOICED_DB = 1.5
PERCENTILES = (10, 50, 75, 90, 97)


def pool(waveform: np.ndarray, power: np.ndarray, sample_rate_hz: int, hop_length: int) -> dict[str, float]:
    """Percentiles of the pitch peak in dB, share and runs of the frames that have one, and how much it wavers.

    Args:
        waveform: (n_samples,) float32; not looked at.
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.

    Raises:
        ConfigError: as `voicing.cepstral_peak`.
    """
    peak = cepstral_peak(power, sample_rate_hz)
    voiced = peak > VOICED_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.view(np.int8), [0]])))
    runs = (edges[1::2] - edges[::2]) / (sample_rate_hz / hop_length)
    heights = np.percentile(peak, PERCENTILES).tolist()
    result = {f"voicing_p{q}": height for q, height in zip(PERCENTILES, heights, strict=True)}
    result["voicing_fraction"] = float(voiced.mean())
    result["voicing_longest_s"] = float(runs.max(initial=0.0))
    result["voicing_runs"] = float(len(runs))
    result["voicing_wavering_db"] = float(np.abs(np.diff(peak))[voiced[1:]].mean()) if voiced[1:].any() else 0.0
    return result
