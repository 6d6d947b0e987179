"""Fixed band-pass filters with which networks hear samples (Ravanelli & Bengio 2018)."""

import numpy as np


def sinc_filters(n_filters: int, filter_length: int, sample_rate_hz: int) -> np.ndarray:
    """Band-pass filters between neighbouring points of the mel scale: windowed sincs (Ravanelli & Bengio 2018).

    Returns:
        (n_filters, filter_length) float32.
    """
    top_mel = 2595 * np.log10(1 + sample_rate_hz / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, n_filters + 1) / 2595) - 1)
    cutoff = (2 * edges_hz / sample_rate_hz)[:, None]
    low_pass = cutoff * np.sinc(cutoff * (np.arange(filter_length) - (filter_length - 1) / 2))
    return (np.hamming(filter_length) * np.diff(low_pass, axis=0)).astype(np.float32)
