"""Which modules decide what a scene sounds like, and what its statistics are.

A change of the former makes everything that was rendered stale, a change of the latter the pooled statistics.
"""

from fakevoice import lookup
from fakevoice.config import Config

MODULES = (
    "audio",
    "decoder",
    "preprocessing",
    "spectrum",
    "pitch",
    "linear_prediction",
    "noise_shapes",
    "channel",
    "noise_bank",
    "rendering",
)
POOLING = ("pooling", "timbre", "voicing", "speech_frames")  # what pooled statistics alone share


def sound_modules(config: Config) -> list[str]:
    """Names of modules and plug-ins, as `lookup.source_hash` takes them."""
    noises = config.scenes.noises or lookup.names("noises")
    vocoders = config.scenes.vocoders or lookup.names("vocoders")
    return [*MODULES, *(f"noises/{name}" for name in noises), *(f"vocoders/{name}" for name in vocoders)]
