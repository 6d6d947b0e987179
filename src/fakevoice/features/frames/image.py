"""The mel spectrogram as a colour picture, as saved to a PNG file and loaded again (Hunter 2007, matplotlib)."""

from functools import cache

import cv2
import numpy as np

from fakevoice.audio.spectrum import Level, TopDb, log_mel
from fakevoice.core.config_sections import Hertz, UpperHertz, Width
from fakevoice.core.errors import ConfigError

N_COLOURS = 256


def compute(
    power: np.ndarray,
    sample_rate_hz: int,
    *,
    n_mels: Width = 128,
    fmin_hz: Hertz = 0.0,
    fmax_hz: UpperHertz | None = None,
    top_db: TopDb = 80.0,
    colormap: str = "magma",
    n_rows: Width | None = None,
    n_columns: Width | None = None,
) -> np.ndarray:
    """Red, green and blue of each pixel, the three colours stacked; the highest band is the first row.

    Colours go from the quietest to the loudest point of the clip, as matplotlib's ``imshow`` and librosa's
    ``specshow`` draw them, with 8 bits each. A network reads the colours as channels with ``n_channels: 3``.

    Args:
        power: (n_fft // 2 + 1, n_frames) float32 power spectrogram.
        fmax_hz: upper edge; half the sample rate if None.
        top_db: bands further below the loudest band of the clip are raised to this distance.
        colormap: of matplotlib.
        n_rows: height of the picture; one row for each band if None.
        n_columns: width of the picture; one column for each frame if None.

    Returns:
        (3 * n_rows, n_columns) float32 from 0 to 1.

    Raises:
        ConfigError: an unknown colour map, an impossible size, or as `spectrum.log_mel`.
    """
    level_db = log_mel(power, sample_rate_hz, n_mels, fmin_hz, fmax_hz, Level(reference="max", top_db=top_db))
    if (n_rows or 1) < 1 or (n_columns or 1) < 1:
        raise ConfigError(f"image: n_rows {n_rows} and n_columns {n_columns} must be at least 1")
    lowest, highest = level_db.min(), level_db.max()
    brightness = (level_db[::-1] - lowest) / max(highest - lowest, np.finfo(np.float32).tiny)  # from 0 to 1
    colour = np.minimum((brightness * N_COLOURS).astype(np.int64), N_COLOURS - 1)
    pixels = _colours(colormap)[colour]  # (n_mels, n_frames, 3) uint8
    size = (n_columns or pixels.shape[1], n_rows or pixels.shape[0])
    if size != (pixels.shape[1], pixels.shape[0]):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.concatenate(np.moveaxis(pixels, 2, 0)).astype(np.float32) / 255


@cache
def _colours(colormap: str) -> np.ndarray:
    """(256, 3) uint8."""
    from matplotlib import colormaps

    if colormap not in colormaps:
        raise ConfigError(f"image: matplotlib has no colormap {colormap!r}; e.g. magma, viridis or gray")
    return (colormaps[colormap](np.arange(N_COLOURS), bytes=True)[:, :3]).copy()
