"""One of the made noises under the voice, at a random level (Snyder et al. 2018)."""

from collections.abc import Callable

import numpy as np

from fakevoice.audio.channel import gain, rms
from fakevoice.core import plugins
from fakevoice.core.config_sections import Range, Share

INPUT = "waveform"


def build(
    sample_rate_hz: int,
    *,
    noises: tuple[str, ...] = (),
    snr_db: Range = (0.0, 15.0),
    probability: Share = 0.5,
) -> Callable:
    """Add a noise over the whole clip.

    Args:
        noises: plug-ins of `noises/`; all that there are, where none is named.
        snr_db: level of the clip over that of the noise, both as RMS of all samples.

    Raises:
        ConfigError: there is no such noise.

    Source: Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018 (noises at
    0 to 15 dB).
    """
    makers = [plugins.load("noises", name).make for name in noises or plugins.names("noises")]

    def augment(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= probability:
            return waveform
        noise = makers[rng.integers(len(makers))](len(waveform), sample_rate_hz, rng)
        level = rms(waveform) * gain(-rng.uniform(*snr_db))
        return (waveform + level * noise).astype(np.float32)

    return augment
